"""Losses between relations of examples: what one example is to another, not what it is.

The two networks' features may have different sizes: only similarities, distances, angles and
correlations are compared, and those are as many as there are examples. No gradient reaches the
teacher.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from reference_impl.checked import Finite, NonNegative, Scalar, Where, checked, readable, widened
from reference_impl.distillation.numerics import unit
from reference_impl.distillation.soft_targets import Temperature, VisiblyFinite

Features = Finite[Tensor, "examples _ ..."]  # flattened to rows
FeaturesOfTwo = Annotated[Features, Where("of two examples or more", lambda x: len(x) >= 2)]
LogitsOfTwo = Annotated[
    VisiblyFinite, Where("of two examples and two classes or more", lambda z: min(z.shape) >= 2)
]


@checked
def similarity_preserving_loss(student: FeaturesOfTwo, teacher: Features) -> Scalar:
    """Return Σ_ij (sim_ij − sim'_ij)² / n²; row i of sim is row i of F Fᵀ divided by its norm.

    >>> import torch
    >>> round(similarity_preserving_loss(torch.eye(2), torch.full((2, 1), 2.0)).item(), 3)
    0.293

    A row of F holds an example's features; sim' is the teacher's.

    References: Tung & Mori 2019, "Similarity-preserving knowledge distillation".
    Equation: eq-relation-similarity, chapter 12.
    """
    a, b = _rows(student), _rows(teacher.detach())
    g_student, g_teacher = unit.__wrapped__(a @ a.T), unit.__wrapped__(b @ b.T)
    return (g_student - g_teacher).square().sum() / len(a) ** 2


@checked
def distance_relation_loss(student: FeaturesOfTwo, teacher: Features) -> Scalar:
    """Return the mean of hub(d_ij − d'_ij) over i ≠ j; d_ij = ‖f_i − f_j‖ over their mean.

    >>> import torch
    >>> corner, line = torch.tensor([[0.0, 0], [1, 0], [0, 1]]), torch.tensor([[0.0], [1], [2]])
    >>> round(distance_relation_loss(corner, line).item(), 3)
    0.108

    hub(e) is ½ e² up to |e| = 1 and |e| − ½ beyond (Huber); d' are the teacher's distances.
    Moving, turning or scaling all examples of a network changes nothing.

    Raises:
        ValueError: if all examples of a network are equal.

    References: Park et al. 2019, "Relational knowledge distillation", section 3.2.1.
    Equation: eq-relation-distance, chapter 12.
    """
    d = _relative_distances("student", _rows(student))
    return F.huber_loss(d, _relative_distances("teacher", _rows(teacher.detach())))


@checked
def angle_relation_loss(student: Features, teacher: Features) -> Scalar:
    """Return the mean of hub(cos_ijk − cos'_ijk) over distinct i, j, k: the cosine at j.

    >>> import torch
    >>> corner, line = torch.tensor([[0.0, 0], [1, 0], [0, 1]]), torch.tensor([[0.0], [1], [2]])
    >>> round(angle_relation_loss(corner, line).item(), 3)
    0.583

    cos_ijk is that of f_i − f_j and f_k − f_j; equal examples have no direction, and it is
    0 and so is its gradient. hub is Huber's function, cos' are the teacher's cosines.
    Takes memory for n³ cosines.

    References: Park et al. 2019, "Relational knowledge distillation", section 3.2.2.
    Equation: eq-relation-angle, chapter 12.
    """
    if (n := len(student)) < 3:
        raise ValueError(f"student must have 3 examples or more, got {n}")
    c, d = _cosines(_rows(student)), _cosines(_rows(teacher.detach()))
    total = F.huber_loss(c, d, reduction="sum") - F.huber_loss(
        c.diagonal(dim1=1, dim2=2), d.diagonal(dim1=1, dim2=2), reduction="sum"
    )
    return total / (n * (n - 1) * (n - 2))


@checked
def correlation_loss(
    student: LogitsOfTwo,
    teacher: VisiblyFinite,
    *,
    temperature: Temperature = 1.0,
    between_classes: NonNegative = 1.0,
    within_classes: NonNegative = 1.0,
) -> Scalar:
    """Return T² (w_row (1 − corr_rows) + w_col (1 − corr_columns)): DIST, of p and q.

    >>> import torch
    >>> p = torch.tensor([[0.6, 0.3, 0.1], [0.1, 0.3, 0.6]])
    >>> round(correlation_loss(p.flip(0).log(), p.log()).item(), 3)  # 1 + 37/38 + 5/3
    3.64

    corr_rows is Pearson's correlation of the softened p and q over the classes, mean over the
    examples, with the weight w_row = ``between_classes``; corr_columns and w_col =
    ``within_classes`` are over the examples, mean over the classes. A correlation is 0, without a
    gradient, where one of the two is constant; and close to 0 for a class whose probabilities
    differ by less than 10⁻¹⁸.

    References: Huang et al. 2022, "Knowledge distillation from a stronger teacher".
    Equation: eq-relation-correlation, chapter 12.
    """
    q = (widened(student) / temperature).softmax(dim=1)
    p = (widened(teacher.detach()) / temperature).softmax(dim=1)
    n, classes = q.shape
    w_row, w_col = between_classes, within_classes
    (rows_q, columns_q), (rows_p, columns_p) = _standardized(q), _standardized(p)
    rows, columns = rows_q * (w_row / n * rows_p), columns_q * (w_col / classes * columns_p)
    return temperature**2 * (w_row + w_col - (rows + columns).sum())


def _rows(features: Float[Tensor, "n _ ..."]) -> Float[Tensor, "n d"]:
    return widened(features).flatten(1)


def _relative_distances(name: str, a: Float[Tensor, "n d"]) -> Float[Tensor, " pairs"]:
    distances = F.pdist(a)  # each pair once
    mean = distances.mean()
    if readable() and mean.item() == 0:
        raise ValueError(f"{name} must have examples that differ, got {len(a)} equal ones")
    return distances / mean


def _cosines(a: Float[Tensor, "n d"]) -> Float[Tensor, "n n n"]:
    """Return cos_ijk as entry (j, i, k); 0 where i = j or k = j."""
    directions = unit.__wrapped__(a[None] - a[:, None])  # entry (j, i): from j to i
    return directions @ directions.mT


def _standardized(
    p: Float[Tensor, "n classes"],
) -> tuple[Float[Tensor, "n classes"], Float[Tensor, "n classes"]]:
    """Return probabilities as rows, and as columns, of mean 0 and length 1.

    The mean of a row is 1 / classes: its sum is 1.
    """
    of_rows, of_columns = 1 / p.shape[1], p.mean(dim=0, keepdim=True)
    return _centred_unit(p, of_rows, 1), _centred_unit(p, of_columns, 0)


def _centred_unit(
    p: Float[Tensor, "n classes"], mean: Float[Tensor, "1 classes"] | float, dim: int
) -> Float[Tensor, "n classes"]:
    """Return p − mean at length 1 along an axis; 0 if nothing but rounding is left of it."""
    centred = p - mean
    length: Tensor = torch.linalg.vector_norm(centred, dim=dim, keepdim=True)
    rounding = 4 * torch.finfo(p.dtype).eps * p.shape[dim] ** 0.5 * mean
    divisor: Tensor = length.masked_fill(length <= rounding, torch.inf)
    return centred / divisor
