"""Losses between what two networks compute before their logits: hints and attention.

A student's features rarely have the teacher's shape. An adapter, learned with the student and
thrown away after it (a 1×1 convolution or a linear layer), is applied before the loss. No gradient
reaches the teacher.
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from reference_impl.checked import Finite, Scalar, checked, widened
from reference_impl.distillation.numerics import unit


@checked
def hint_loss(
    student: Finite[Tensor, "n d *shape"], teacher: Finite[Tensor, "n d *shape"]
) -> Scalar:
    """Return Σ (adapt(f) − f')² / size, mean over the batch; size is the features of an example.

    >>> import torch
    >>> hint_loss(torch.tensor([[1.0, 2.0], [3.0, 1.0]]), torch.tensor([[0.0, 0.0], [0.0, 1.0]]))
    tensor(3.5000)

    The student's features come after the adapter; f' are the teacher's. The paper has ½ without the
    division: a weight that suits one layer then suits no other.

    References: Romero et al. 2015, "FitNets: hints for thin deep nets", equation 3.
    Equation: eq-relation-hint, chapter 12.
    """
    return F.mse_loss(widened(student), widened(teacher.detach()))  # over m and over the batch


@checked
def attention_map(features: Finite[Tensor, "n c h w"]) -> Float[Tensor, "n positions"]:
    """Return energy / ‖energy‖, the sum of f² over the channels, at each position of the image.

    Where all features of an example are 0, so is the map.

    >>> import torch
    >>> attention_map(torch.tensor([[[[2.0, 0.0]], [[0.0, 0.0]]]]))
    tensor([[1., 0.]])

    Equation: eq-relation-map, chapter 12.
    """
    return unit.__wrapped__(widened(features).square().sum(dim=1).flatten(1))


@checked
def attention_transfer_loss(
    student: Finite[Tensor, "n c1 h w"], teacher: Finite[Tensor, "n c2 h w"]
) -> Scalar:
    """Return ‖m − m'‖² = 2 − 2 cos(m, m'), mean over the batch, of both networks' attention maps.

    >>> import torch
    >>> student = torch.tensor([2.0, 0.0]).view(1, 1, 1, 2)
    >>> teacher = torch.tensor([3.0, 4.0]).sqrt().view(1, 1, 1, 2)
    >>> round(attention_transfer_loss(student, teacher).item(), 3)
    0.8

    The number of channels may differ, so no adapter is needed. The paper writes the norm without
    a square; its code takes the mean of the squares over the positions, h w times less than this.

    References: Zagoruyko & Komodakis 2017, "Paying more attention to attention", equation 2.
    Equation: eq-relation-attention, chapter 12.
    """
    a, b = attention_map.__wrapped__(student), attention_map.__wrapped__(teacher.detach())
    return (a - b).square().sum(dim=1).mean()
