"""What a network is asked: its outputs, its accuracy."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reference_impl.checks import require_float_tensor, require_instance, require_int
from reference_impl.data import Examples


def predict(
    model: nn.Module, images: Float[Tensor, "n 1 28 28"], *, batch_size: int = 1000
) -> Float[Tensor, "n classes"]:
    """Return the model's outputs in evaluation mode, without gradients.

    Args:
        model: left in the mode in which it was.
        images: any number; ``batch_size`` of them pass at a time.
        batch_size: bounds the memory; the outputs do not depend on it but for rounding.

    Raises:
        TypeError: if ``model`` is none, or ``images`` is no tensor of floating-point numbers.
        ValueError: if it is empty, holds a nan or an inf, or has a shape the model refuses.
    """
    require_instance("model", model, nn.Module)
    require_float_tensor("images", images)
    require_int("batch_size", batch_size, 1)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            return torch.cat([model(part) for part in images.split(batch_size)])
    finally:
        model.train(was_training)


def accuracy(model: nn.Module, examples: Examples, *, batch_size: int = 1000) -> float:
    """Return 100 · (number of examples whose highest logit is their label's) / n, in percent.

    Args:
        model: left in the mode in which it was.
        examples: what to classify.
        batch_size: as in `predict`.

    Raises:
        TypeError: if ``model`` is none, or ``examples`` are no `Examples`.
    """
    require_instance("examples", examples, Examples)
    answers = predict(model, examples.images, batch_size=batch_size).argmax(dim=1)
    return 100 * (answers == examples.labels).sum().item() / len(examples)
