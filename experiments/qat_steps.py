"""Chapter 09: how the steps of quantizers learn, in other ways than the recipe's."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments.measures import accuracies
from reference_impl import compress, quantization
from reference_impl.data import Dataset
from reference_impl.training import QatRecipe, accuracy, fine_tune, load_checkpoint, prepare
from reference_impl.training.quantize import N_START


def clip_first(one: nn.Module, inputs: tuple[Tensor], x_hat: Tensor) -> Tensor:
    """Return x̂ with the derivatives of the paper's order: x / s is clipped, and rounded then.

    A forward hook of a learned quantizer with z = 0.
    """
    if not isinstance(one, compress.LearnedQuantizer) or one.zero_point.any():
        raise ValueError(f"one must be a learned quantizer with z = 0, got {one}")
    s = quantization.scale_gradient(one.scale, one.factor)
    u = (inputs[0] / s).clamp(one.grid.q_min, one.grid.q_max)
    estimate = s * quantization.round_straight_through(u)
    return x_hat.detach() + estimate - estimate.detach()


@dataclass(frozen=True)
class Ordered:
    """A training at 2 bits with the derivatives of one order of rounding and clipping."""

    place: ClassVar = "orders"
    network: str
    edges: int
    first: str  #: round, as `learned_fake_quantize` does, or clip, as the paper does
    seed: int

    def measured(self, dataset: Dataset) -> dict[str, float]:
        """Return the accuracies after the training, in percent."""
        recipe = QatRecipe(bits=2, epochs=3, edges=self.edges, seed=self.seed)
        chain = prepare(load_checkpoint(self.network), recipe, dataset.train)
        if self.first == "clip":
            for one in compress.learned_quantizers(chain):
                one.register_forward_hook(clip_first)
        list(fine_tune(chain, recipe, dataset.train))
        return accuracies(compress.deploy(chain), dataset)


@dataclass(frozen=True)
class FiftySteps:
    """The first 50 steps of the student's training at 4 bits."""

    place: ClassVar = "fifty_steps"
    scaled: bool  #: whether the gradients of the quantizers' steps are multiplied by 1/√(N q_max)
    seed: int

    def measured(self, dataset: Dataset) -> dict[str, float]:
        """Return the largest relative change of a step in one update, and the accuracy in percent.

        The accuracy is that on 2,000 validation images.
        """
        recipe = QatRecipe(bits=4, epochs=1, seed=self.seed)
        few, check = dataset.train[:6400], dataset.validation[:2000]
        chain = prepare(load_checkpoint("student"), recipe, few)
        quantizers = list(compress.learned_quantizers(chain))
        for one in quantizers:
            one.factor = one.factor if self.scaled else 1.0
        largest, before = 0.0, [one.scale.detach().clone() for one in quantizers]
        for _ in fine_tune(chain, recipe, few):
            now = [one.scale.detach().clone() for one in quantizers]
            changes = (s / old - 1 for s, old in zip(now, before, strict=True))
            largest = max(largest, *(float(change.abs().max()) for change in changes))
            before = now
        return {"largest_change": largest, "validation": accuracy(chain, check)}


@dataclass(frozen=True)
class Misled:
    """LeNet-300-100 at 2 bits, an epoch on 12,800 images: other starts and speeds of the steps."""

    place: ClassVar = "misled"
    rate: float  #: by which the steps' learning rate is multiplied
    start: float  #: by which their first values are multiplied
    seed: int

    def measured(self, dataset: Dataset) -> dict[str, Any]:
        """Return the validation accuracy in percent and what became of the steps.

        ``silent`` are the layers whose weight has no gradient at the start, and ``at_bound`` the
        number of steps that end at the bound of `keep_scales_positive`.
        """
        recipe = QatRecipe(bits=2, epochs=1, scale_rate=self.rate, seed=self.seed)
        few = dataset.train[:12_800]
        chain = prepare(load_checkpoint("lenet300"), recipe, few)
        quantizers = list(compress.learned_quantizers(chain))
        with torch.no_grad():
            for one in quantizers:
                one.scale.mul_(self.start)
        loss = F.cross_entropy(chain(few.images[:N_START]), few.labels[:N_START])
        layers = compress.learned_layers(chain)
        found = torch.autograd.grad(loss, [part.layer.weight for part in layers.values()])
        silent = [name for name, to_w in zip(layers, found, strict=True) if not to_w.any()]
        list(fine_tune(chain, recipe, few))
        at_bound = sum(int((one.scale <= one.least * 1.001).sum()) for one in quantizers)
        right = accuracy(chain, dataset.validation)
        return {"validation": right, "silent": silent, "at_bound": at_bound}


@dataclass(frozen=True)
class Speeds:
    """The relative gradients of the student's weights and steps at 4 bits."""

    place: ClassVar = ("speeds",)

    def measured(self, dataset: Dataset) -> dict[str, Any]:
        """Return for each quantizer √(N q_max) and the relative gradient of its steps.

        It is that of 512 training images, divided by the relative gradient of the layer's weight,
        and not multiplied by 1/√(N q_max).
        """
        chain = prepare(load_checkpoint("student"), QatRecipe(bits=4), dataset.train).train()
        batch = dataset.train[:N_START]
        F.cross_entropy(chain(batch.images), batch.labels).backward()

        def relative(parameter: Tensor) -> float:
            gradient = parameter.grad
            return 0.0 if gradient is None else (gradient.norm() / parameter.detach().norm()).item()

        rows = []
        for name, layer in compress.learned_layers(chain).items():
            of_weight = relative(layer.layer.weight)
            quantizers = {"weight": layer.weight_quantizer, "input": layer.input_quantizer}
            for of, one in quantizers.items():
                root, ratio = 1 / one.factor, relative(one.scale) / of_weight / one.factor
                rows.append({"layer": name, "of": of, "root": root, "ratio": ratio})
        return {"student": rows}
