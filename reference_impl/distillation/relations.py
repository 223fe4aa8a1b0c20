"""Losses between relations of examples: what one example is to another, not what it is.

The two networks' features may have different sizes: only similarities, distances, angles and
correlations are compared, and those are as many as there are examples.
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from reference_impl.checks import require_float_tensor, require_real
from reference_impl.distillation.logits import Logits, require_pair, soften

Features = Float[Tensor, "n ..."]


def similarity_preserving_loss(student: Features, teacher: Features) -> Float[Tensor, ""]:
    """Return ‖G_s − G_t‖_F² / n², where row i of G is row i of A Aᵀ divided by its norm.

    Args:
        student: features of n examples, flattened to the rows of A.
        teacher: features of the same examples, of any size; held constant.

    Raises:
        TypeError: if an argument is no floating-point tensor.
        ValueError: if the number of examples differs, or a value is not finite.

    References:
        Tung & Mori 2019, "Similarity-preserving knowledge distillation", equations 1 to 4.
    """
    a, b = _rows(student, teacher, at_least=1)
    return (_similarities(a) - _similarities(b)).square().sum() / len(a) ** 2


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
        Park, Kim, Lu & Cho 2019, "Relational knowledge distillation", equations 5 to 7.
    """
    a, b = _rows(student, teacher, at_least=2)
    return F.huber_loss(_relative_distances("student", a), _relative_distances("teacher", b))


def angle_relation_loss(student: Features, teacher: Features) -> Float[Tensor, ""]:
    """Return the mean of h(c_ijk − c'_ijk) over distinct i, j, k; c is the cosine at j.

    c_ijk = ⟨e_ij, e_kj⟩ with e_ij = (a_i − a_j) / ‖a_i − a_j‖, 0 for equal examples; h is Huber's
    function. Takes memory for n³ cosines.

    Args:
        student: features a of n examples, flattened to rows.
        teacher: features of the same examples, of any size, for c'; held constant.

    Raises:
        TypeError: if an argument is no floating-point tensor.
        ValueError: if the number of examples differs or is below 3, or a value is not finite.

    References:
        Park, Kim, Lu & Cho 2019, "Relational knowledge distillation", equations 8 to 10.
    """
    a, b = _rows(student, teacher, at_least=3)
    n = len(a)
    total = F.huber_loss(_cosines(a), _cosines(b), reduction="sum")  # equal where two meet
    return total / (n * (n - 1) * (n - 2))


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
    that over the examples, mean over the classes. So the teacher is matched up to a scale and a
    shift of each row and each column.

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
        Huang, You, Wang, Qian & Xu 2022, "Knowledge distillation from a stronger teacher",
        equations 5 to 8.
    """
    require_pair("student", student, "teacher", teacher)
    if min(student.shape) < 2:
        raise ValueError(
            f"student must have two examples and two classes or more, got {tuple(student.shape)}"
        )
    beta = require_real("between_classes", between_classes, 0)
    gamma = require_real("within_classes", within_classes, 0)
    q, p = soften(student, temperature), soften(teacher.detach(), temperature)
    rows = 1 - _correlations(q, p).mean()
    columns = 1 - _correlations(q.T, p.T).mean()
    return temperature**2 * (beta * rows + gamma * columns)


def _rows(student: Tensor, teacher: Tensor, *, at_least: int) -> tuple[Tensor, Tensor]:
    """Return both as matrices with one row per example, the teacher's without a gradient."""
    for name, features in (("student", student), ("teacher", teacher)):
        require_float_tensor(name, features)
        if features.ndim < 2:
            raise ValueError(f"{name} must be (n, ...), got shape {tuple(features.shape)}")
    if len(student) != len(teacher):
        raise ValueError(
            f"student must have the {len(teacher)} examples of teacher, got {len(student)}"
        )
    if len(student) < at_least:
        raise ValueError(f"student must have {at_least} examples or more, got {len(student)}")
    return student.flatten(1), teacher.detach().flatten(1)


def _similarities(a: Tensor) -> Tensor:
    return F.normalize(a @ a.T, dim=1)


def _relative_distances(name: str, a: Tensor) -> Tensor:
    distances = F.pdist(a)  # each pair once
    mean = distances.mean()
    if mean == 0:
        raise ValueError(f"{name} must have examples that differ, got {len(a)} equal ones")
    return distances / mean


def _cosines(a: Tensor) -> Tensor:
    """Return c_jik = ⟨e_ij, e_kj⟩ for every j and all i, k; 0 or 1 where two of them meet."""
    directions = F.normalize(a[None] - a[:, None], dim=2)  # entry (j, i): from j to i
    return directions @ directions.mT


def _correlations(x: Tensor, y: Tensor) -> Tensor:
    """Return Pearson's correlation of each row of x with that of y; 0 for a constant row."""
    x, y = (rows - rows.mean(dim=1, keepdim=True) for rows in (x, y))
    return F.cosine_similarity(x, y, dim=1)
