"""Losses between what two networks compute before their logits: hints and attention.

A student's features rarely have the teacher's shape. An adapter, learned with the student and
thrown away after it (a 1×1 convolution or a linear layer), is applied before the loss.
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from reference_impl.checks import require_float_tensor, require_floating, require_same_shape
from reference_impl.distillation.numerics import finite, unit, widened


def hint_loss(
    student: Float[Tensor, "n ..."], teacher: Float[Tensor, "n ..."]
) -> Float[Tensor, ""]:
    """Return Σ (f − g)² / m, mean over the batch; m is the number of features of an example.

    The paper has ½ Σ (f − g)², without the division: a weight that suits one layer then suits no
    other.

    Args:
        student: features f, behind the adapter.
        teacher: features g; held constant.

    Raises:
        TypeError: if an argument is no floating-point tensor.
        ValueError: if the shapes differ, there are no features, or a value is not finite.

    References:
        Romero, Ballas, Kahou, Chassang, Gatta & Bengio 2015, "FitNets: hints for thin deep nets",
        equation 3.

    Equation: eq-relation-hint, chapter 10.
    """
    for name, features in (("student", student), ("teacher", teacher)):
        require_floating(name, features)
        if features.ndim < 2:
            raise ValueError(f"{name} must be (n, ...), got shape {tuple(features.shape)}")
    require_same_shape("student", student, "teacher", teacher)
    loss = F.mse_loss(widened(student), widened(teacher.detach()))  # over m and over the batch
    return finite(loss, student, teacher)


def attention_map(features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n positions"]:
    """Return A / ‖A‖ with A_x = Σ_c f_cx², over the positions x, row by row of the image.

    Where all features of an example are 0, so is the map.

    >>> import torch
    >>> attention_map(torch.tensor([[[[2.0, 0.0]], [[0.0, 0.0]]]]))
    tensor([[1., 0.]])

    Args:
        features: f of a convolutional layer, c channels of h×w positions.

    Raises:
        TypeError: if ``features`` is no floating-point tensor.
        ValueError: if it has not four axes, is empty or not finite.

    Equation: eq-relation-map, chapter 10.
    """
    require_float_tensor("features", features)
    return _map("features", features)


def attention_transfer_loss(
    student: Float[Tensor, "n c1 h w"], teacher: Float[Tensor, "n c2 h w"]
) -> Float[Tensor, ""]:
    """Return ‖a − b‖², mean over the batch, of the attention maps a and b: 2 − 2 cos(a, b).

    The number of channels may differ, so no adapter is needed. The paper writes the norm without
    a square; its code takes the mean of the squares over the positions, h w times less than this.

    Args:
        student: features of a layer.
        teacher: features of a layer with as many positions; held constant.

    Raises:
        TypeError: if an argument is no floating-point tensor.
        ValueError: if the positions or the number of examples differ, or as `attention_map`.

    References:
        Zagoruyko & Komodakis 2017, "Paying more attention to attention", equation 2.

    Equation: eq-relation-attention, chapter 10.
    """
    a, b = _map("student", student), _map("teacher", teacher).detach()
    if len(a) != len(b) or student.shape[2:] != teacher.shape[2:]:
        raise ValueError(
            "student must have the examples and positions of teacher, "
            f"{len(b)} of {tuple(teacher.shape[2:])}, got {len(a)} of {tuple(student.shape[2:])}"
        )
    return finite((a - b).square().sum(dim=1).mean(), student, teacher)


def _map(name: str, features: Tensor) -> Tensor:
    require_floating(name, features)
    if features.ndim != 4:
        raise ValueError(f"{name} must be (n, c, h, w), got shape {tuple(features.shape)}")
    return unit(widened(features).square().sum(dim=1).flatten(1))
