"""What a trained network answers, and how often it is right."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reference_impl.checked import Count, Finite, checked
from reference_impl.data import Examples
from reference_impl.distillation.soft_targets import require_labels
from reference_impl.models import Network, evaluating, refusing


@checked
def predict(
    model: nn.Module, images: Finite[Tensor, "n ..."], *, batch_size: Count = 100
) -> Float[Tensor, "n classes"]:
    """Return the model's outputs in evaluation mode, without gradients.

    ``batch_size`` images pass at a time, which bounds the memory; apart from rounding the outputs
    do not depend on it. The model keeps its mode.
    """
    ours = isinstance(model, Network) and images.ndim == 4  # other networks may need contiguous
    layout = torch.channels_last if ours else torch.preserve_format  # almost twice as fast
    parts = (part.clone(memory_format=layout) for part in images.split(batch_size))
    with evaluating(model), torch.no_grad(), refusing(model):
        return torch.cat([model(part) for part in parts])


@checked
def accuracy(model: nn.Module, examples: Examples, *, batch_size: Count = 100) -> float:
    """Return 100 · (number of examples whose highest logit is that of their label) / n, in percent.

    The model keeps its mode; ``batch_size`` is that of `predict`.
    """
    logits = predict(model, examples.images, batch_size=batch_size)
    if logits.ndim != 2:
        raise ValueError(f"model must return logits (n, classes), got {tuple(logits.shape)}")
    require_labels(examples.labels, logits.shape[1])
    return 100 * (logits.argmax(dim=1) == examples.labels).sum().item() / len(examples)
