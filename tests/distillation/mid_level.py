"""torchdistill's losses, called with two tensors."""

from typing import Any

from torch import Tensor


def torchdistill(loss: Any, student: Tensor, teacher: Tensor) -> Tensor:
    """Return the loss of two outputs; it looks them up in dictionaries, under the paths s and t."""
    return loss({"s": {"output": student}}, {"t": {"output": teacher}})
