"""Losses between relations of examples: what one example is to another, not what it is.

The two networks' features may have different sizes: only similarities, distances, angles and
correlations are compared, and those are as many as there are examples.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from reference_impl.checks import require_floating, require_real
from reference_impl.distillation.numerics import finite, unit, widened
from reference_impl.distillation.soft_targets import Logits, require_pair, require_temperature

Features = Float[Tensor, "n ..."]


def similarity_preserving_loss(student: Features, teacher: Features) -> Float[Tensor, ""]:
    """Return ‖G_s − G_t‖_F² / n², where row i of G is row i of A Aᵀ divided by its norm.

    Args:
        student: features of n examples, flattened to the rows of A.
        teacher: features of the same examples, of any size; held constant.

    Raises:
        TypeError: if an argument is no floating-point tensor.
        ValueError: if the number of examples differs or is below 2, or a value is not finite.

    References:
        Tung & Mori 2019, "Similarity-preserving knowledge distillation".

    Equation: eq-relation-similarity, chapter 10.
    """
    a, b = _rows(student, teacher, at_least=2)
    loss = (unit(a @ a.T) - unit(b @ b.T)).square().sum() / len(a) ** 2
    return finite(loss, student, teacher)


def distance_relation_loss(student: Features, teacher: Features) -> Float[Tensor, ""]:
    """Return the mean of h(d_ij − d'_ij) over i ≠ j; d_ij = ‖a_i − a_j‖ / μ, μ their mean.

    h is Huber's function, ½ e² up to |e| = 1 and |e| − ½ beyond. Moving, turning or scaling
    all examples of a network changes nothing.

    Args:
        student: features a of n examples, flattened to rows.
        teacher: features of the same examples, of any size, for d'; held constant.

    Raises:
        TypeError: if an argument is no floating-point tensor.
        ValueError: if the number of examples differs or is below 2, a value is not finite, or
            all examples of a network are equal.

    References:
        Park, Kim, Lu & Cho 2019, "Relational knowledge distillation", section 3.2.1.

    Equation: eq-relation-distance, chapter 10.
    """
    a, b = _rows(student, teacher, at_least=2)
    loss = F.huber_loss(_relative_distances("student", a), _relative_distances("teacher", b))
    return finite(loss, student, teacher)


def angle_relation_loss(student: Features, teacher: Features) -> Float[Tensor, ""]:
    """Return the mean of h(c_ijk − c'_ijk) over distinct i, j, k; c is the cosine at j.

    c_ijk = ⟨e_ij, e_kj⟩ with e_ij = (a_i − a_j) / ‖a_i − a_j‖; between equal examples there is no
    direction, e is 0 and so is its gradient. h is Huber's function. Takes memory for n³ cosines.

    Args:
        student: features a of n examples, flattened to rows.
        teacher: features of the same examples, of any size, for c'; held constant.

    Raises:
        TypeError: if an argument is no floating-point tensor.
        ValueError: if the number of examples differs or is below 3, or a value is not finite.

    References:
        Park, Kim, Lu & Cho 2019, "Relational knowledge distillation", section 3.2.2.

    Equation: eq-relation-angle, chapter 10.
    """
    a, b = _rows(student, teacher, at_least=3)
    n = len(a)
    c, d = _cosines(a), _cosines(b)
    total = F.huber_loss(c, d, reduction="sum") - F.huber_loss(
        c.diagonal(dim1=1, dim2=2), d.diagonal(dim1=1, dim2=2), reduction="sum"
    )
    return finite(total / (n * (n - 1) * (n - 2)), student, teacher)


def correlation_loss(
    student: Logits,
    teacher: Logits,
    *,
    temperature: float = 1.0,
    between_classes: float = 1.0,
    within_classes: float = 1.0,
) -> Float[Tensor, ""]:
    """Return T² (β (1 − ρ_rows) + γ (1 − ρ_columns)): DIST, of the softened probabilities.

    ρ_rows is Pearson's correlation of p and q over the classes, mean over the examples; ρ_columns
    that over the examples, mean over the classes. ρ is 0, without a gradient, where one of the two
    is constant; and close to 0 for a class whose probabilities differ by less than 10⁻¹⁸.

    Args:
        student: logits z, with q = softmax(z / T).
        teacher: logits v, with p = softmax(v / T); held constant.
        temperature: T > 0.
        between_classes: β ≥ 0, of the rows.
        within_classes: γ ≥ 0, of the columns.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if the shapes differ, there are fewer than two examples or classes, a value is
            not finite, T is not above 0 or a weight is below 0.

    References:
        Huang, You, Wang, Qian & Xu 2022, "Knowledge distillation from a stronger teacher".

    Equation: eq-relation-correlation, chapter 10.
    """
    require_pair("student", student, "teacher", teacher)  # −inf would be p = 0, and leave no trace
    if min(student.shape) < 2:
        raise ValueError(
            f"student must have two examples and two classes or more, got {tuple(student.shape)}"
        )
    t = require_temperature(temperature)
    beta = require_real("between_classes", between_classes, 0)
    gamma = require_real("within_classes", within_classes, 0)
    q, p = F.softmax(widened(student) / t, dim=1), F.softmax(widened(teacher.detach()) / t, dim=1)
    n, classes = q.shape
    (rows_q, columns_q), (rows_p, columns_p) = _standardised(q), _standardised(p)
    rows, columns = rows_q * (beta / n * rows_p), columns_q * (gamma / classes * columns_p)
    return finite(t**2 * (beta + gamma - (rows + columns).sum()), student, teacher)


def _rows(student: Tensor, teacher: Tensor, *, at_least: int) -> tuple[Tensor, Tensor]:
    """Return both as matrices with one row per example, the teacher's without a gradient."""
    for name, features in (("student", student), ("teacher", teacher)):
        require_floating(name, features)
        if features.ndim < 2:
            raise ValueError(f"{name} must be (n, ...), got shape {tuple(features.shape)}")
    if len(student) != len(teacher):
        raise ValueError(
            f"student must have the {len(teacher)} examples of teacher, got {len(student)}"
        )
    if len(student) < at_least:
        raise ValueError(f"student must have {at_least} examples or more, got {len(student)}")
    return widened(student).flatten(1), widened(teacher.detach()).flatten(1)


def _relative_distances(name: str, a: Tensor) -> Tensor:
    distances = F.pdist(a)  # each pair once
    mean = distances.mean()
    if mean == 0:
        raise ValueError(f"{name} must have examples that differ, got {len(a)} equal ones")
    return distances / mean


def _cosines(a: Tensor) -> Tensor:
    """Return c_ijk as entry (j, i, k); 0 where i = j or k = j."""
    directions = unit(a[None] - a[:, None])  # entry (j, i): from j to i
    return directions @ directions.mT


def _standardised(p: Tensor) -> tuple[Tensor, Tensor]:
    """Return probabilities as rows, and as columns, of mean 0 and length 1.

    The mean of a row is known: its sum is 1.
    """
    of_rows, of_columns = 1 / p.shape[1], p.mean(dim=0, keepdim=True)
    return _unit_but_for_rounding(p, of_rows, 1), _unit_but_for_rounding(p, of_columns, 0)


def _unit_but_for_rounding(p: Tensor, mean: Tensor | float, dim: int) -> Tensor:
    """Return p − mean at length 1 along an axis; 0 if nothing but rounding is left of it."""
    centred = p - mean
    length: Tensor = torch.linalg.vector_norm(centred, dim=dim, keepdim=True)
    rounding = 4 * torch.finfo(p.dtype).eps * p.shape[dim] ** 0.5 * mean
    divisor: Tensor = length.masked_fill(length <= rounding, torch.inf)
    return centred / divisor
