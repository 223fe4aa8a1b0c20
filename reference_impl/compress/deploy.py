"""From a network with learned quantizers to the fixed one that is shipped."""

import copy
from collections import OrderedDict
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reference_impl.checks import require_instance
from reference_impl.compress.fold import NORMS, Norm, fold_batch_norms
from reference_impl.compress.learned import LearnedLayer, learned_layers
from reference_impl.compress.quantized import places, quantize_layers
from reference_impl.quantization import AffineQuantizer


def deploy(chain: nn.Sequential) -> nn.Sequential:
    """Return the chain of `QuantizedLayer` that computes what the learned one does in eval mode.

    Each weight is replaced by its Ŵ. A BatchNorm behind a layer is folded into it: with one step
    per output channel, a Ŵ = (|a| s) (± q) has the codes of Ŵ, or their negatives where a < 0,
    and the step |a| s. So nothing is rounded a second time. (On a grid that is not symmetric −q
    might not exist.) Without BatchNorm, the outputs are the same bits; with it, the same up to
    the rounding of floating-point numbers.

    Args:
        chain: made by `reference_impl.compress.learned.learn_layers`; left as it is.

    Raises:
        TypeError: if ``chain`` is no ``nn.Sequential``.
        ValueError: if it has no learned layer, is in training mode, or as
            `reference_impl.compress.fold.fold_batch_norms`.

    Equation: eq-qat-fold, chapter 07.
    """
    learned = learned_layers(chain)
    if not learned:
        raise ValueError("chain must have a learned layer, got none: see learn_layers")
    behind = {name: after for (name, _), (_, after) in pairwise(places(chain))}
    plain = OrderedDict(
        (name, _restored(module) if isinstance(module, LearnedLayer) else copy.deepcopy(module))
        for name, module in places(chain)
    )
    folded = fold_batch_norms(nn.Sequential(plain).train(chain.training))
    weights = {name: _weight_quantizer(layer, behind.get(name)) for name, layer in learned.items()}
    inputs = {name: layer.input_quantizer.frozen() for name, layer in learned.items()}
    return quantize_layers(folded, weights, inputs)


def norm_factor(norm: Norm) -> Float[Tensor, " out"]:
    """Return a = γ / √(σ² + ε), by which BatchNorm multiplies each channel in eval mode."""
    require_instance("norm", norm, NORMS)
    variance, gamma = norm.running_var, norm.weight
    if variance is None:
        raise ValueError("norm must have running statistics, it keeps none")
    a = torch.rsqrt(variance.double() + norm.eps)
    return a if gamma is None else gamma.detach().double() * a


def _restored(learned: LearnedLayer) -> nn.Module:
    """Return a copy of the layer with Ŵ as its weight."""
    layer = copy.deepcopy(learned.layer)
    with torch.no_grad():
        layer.weight.copy_(learned.weight_quantizer.frozen().round_trip(layer.weight))
    return layer


def _weight_quantizer(learned: LearnedLayer, behind: nn.Module | None) -> AffineQuantizer:
    """Return the quantizer of Ŵ or, if BatchNorm stands behind, of a Ŵ."""
    quantizer = learned.weight_quantizer.frozen()
    if not isinstance(behind, NORMS):
        return quantizer
    a = norm_factor(behind).abs()
    a = torch.where(a > 0, a, torch.ones_like(a))  # a Ŵ = 0 fits any step
    scale = (a.view_as(quantizer.scale) * quantizer.scale.double()).to(quantizer.scale.dtype)
    return AffineQuantizer(scale, quantizer.zero_point, quantizer.grid)
