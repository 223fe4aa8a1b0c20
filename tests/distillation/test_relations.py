"""Losses of relations against hand values, brute force, torchdistill, autograd and invariances."""

from functools import partial
from itertools import permutations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from mid_level import torchdistill
from torch.autograd import gradcheck, gradgradcheck
from torchdistill.losses import mid_level
from torchdistill.losses.mid_level import DISTLoss, RKDLoss, SPKDLoss

from reference_impl.distillation import (
    angle_relation_loss,
    correlation_loss,
    distance_relation_loss,
    similarity_preserving_loss,
)

RELATIONS = [similarity_preserving_loss, distance_relation_loss, angle_relation_loss]
LOSSES = [*RELATIONS, correlation_loss]
RIGHT_ANGLE = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
ON_A_LINE = torch.tensor([[0.0], [1.0], [2.0]])
ZERO = torch.zeros((), dtype=torch.float64)
named = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)


def drawn(seed: int = 0, n: int = 6, d: int = 4) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=draws, dtype=torch.float64)


def turned(x: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """Return the rows under a random orthogonal map."""
    return x @ torch.linalg.qr(drawn(seed, x.shape[1], x.shape[1]))[0]


def huber(error: float) -> float:
    return 0.5 * error**2 if abs(error) <= 1 else abs(error) - 0.5


def test_similarity_by_hand():
    """Oracle: rows of A Aᵀ: (1, 0), (0, 1) against (1, 1)/√2 twice, n² = 4."""
    student, teacher = torch.eye(2), torch.tensor([[2.0], [2.0]])
    expected = 2 * ((1 - 0.5**0.5) ** 2 + 0.5) / 4
    assert similarity_preserving_loss(student, teacher).item() == pytest.approx(expected)


def test_distances_by_hand():
    """Oracle: 1, 1, √2 and 1, 2, 1 of the pairs 01, 02, 12, each divided by their mean."""
    mine, theirs = np.array([1, 1, 2**0.5]), np.array([1.0, 2.0, 1.0])
    errors = mine / mine.mean() - theirs / theirs.mean()
    expected = np.mean([huber(error) for error in errors])
    assert distance_relation_loss(RIGHT_ANGLE, ON_A_LINE).item() == pytest.approx(expected)


def test_a_pair_that_is_far_off_counts_by_its_magnitude():
    """Oracle: on a line at 0, 0.1, 9 and at 0, 9, 0.1: two errors of 8.9/6, beyond Huber's 1."""
    student, teacher = torch.tensor([[0.0], [0.1], [9.0]]), torch.tensor([[0.0], [9.0], [0.1]])
    expected = 2 / 3 * (8.9 / 6 - 0.5)
    assert distance_relation_loss(student, teacher).item() == pytest.approx(expected)


def test_angles_by_hand():
    """Oracle: cosines 0, ½√2, ½√2 at the corners of the triangle, 1, −1, 1 on the line."""
    expected = (huber(1) + huber(0.5**0.5 + 1) + huber(1 - 0.5**0.5)) / 3
    assert angle_relation_loss(RIGHT_ANGLE, ON_A_LINE).item() == pytest.approx(expected)


def test_correlations_by_hand():
    """Oracle: rows exchanged: ρ = −37/38; −1 of two columns, 0 of the middle one, a constant."""
    p = torch.tensor([[0.6, 0.3, 0.1], [0.1, 0.3, 0.6]])
    rows = np.corrcoef(p.numpy())[0, 1]
    assert rows == pytest.approx(-37 / 38)
    found = partial(correlation_loss, p.flip(0).log(), p.log())
    assert found(within_classes=0).item() == pytest.approx(1 - rows)
    assert found(between_classes=0).item() == pytest.approx(1 + 2 / 3)
    assert found(between_classes=2, within_classes=3).item() == pytest.approx(2 * (1 - rows) + 5)


@given(seed=st.integers(0, 1000), n=st.integers(3, 6))
def test_angles_are_those_of_all_triples(seed, n):
    """Oracle: a loop over distinct i, j, k.

    Equation: eq-relation-angle.
    """
    student, teacher = drawn(seed, n), drawn(seed + 1, n, 3)

    def cosine(a, i, j, k):
        return F.cosine_similarity(a[i] - a[j], a[k] - a[j], dim=0).item()

    errors = [
        cosine(student, *triple) - cosine(teacher, *triple) for triple in permutations(range(n), 3)
    ]
    expected = np.mean([huber(error) for error in errors])
    assert angle_relation_loss(student, teacher).item() == pytest.approx(expected)


def test_agreement_with_torchdistill():
    """Oracle: its losses; RKD's mean goes over all n² pairs and n³ triples, equal indices too.

    Equation: eq-relation-distance.
    """
    student, teacher, n = drawn(0), drawn(1, d=5), 6
    theirs = partial(torchdistill, student=student, teacher=teacher)
    distances = theirs(RKDLoss("s", "t", 1, 0, "mean"))
    torch.testing.assert_close(
        distances * n**2 / (n * (n - 1)), distance_relation_loss(student, teacher)
    )
    angles = theirs(RKDLoss("s", "t", 0, 1, "mean"))
    torch.testing.assert_close(
        angles * n**3 / (n * (n - 1) * (n - 2)), angle_relation_loss(student, teacher)
    )


def test_similarity_agrees_with_torchdistill_but_for_the_norm_of_a_row(monkeypatch):
    """Oracle: SPKDLoss; its ``normalize(G, 1)`` is the norm p = 1, where the paper has p = 2.

    Equation: eq-relation-similarity.
    """
    student, teacher = drawn(0), drawn(1, d=5)
    loss = SPKDLoss("s", "t", "batchmean")
    g, h = (F.normalize(a @ a.T, p=1, dim=1) for a in (student, teacher))
    of_sums = (g - h).square().sum() / 36
    torch.testing.assert_close(torchdistill(loss, student, teacher), of_sums)
    monkeypatch.setattr(mid_level, "normalize", lambda g, _: F.normalize(g, p=2, dim=1))
    theirs = torchdistill(loss, student, teacher)
    torch.testing.assert_close(theirs, similarity_preserving_loss(student, teacher))


@pytest.mark.parametrize(("beta", "gamma", "temperature"), [(1, 1, 1), (2, 0.5, 4)])
def test_correlations_agree_with_torchdistill(beta, gamma, temperature):
    """Oracle: DISTLoss.

    Equation: eq-relation-correlation.
    """
    student, teacher = drawn(0), drawn(1)
    loss = DISTLoss("s", "output", "t", "output", beta=beta, gamma=gamma, tau=temperature)
    found = correlation_loss(
        student,
        teacher,
        temperature=temperature,
        between_classes=beta,
        within_classes=gamma,
    )
    torch.testing.assert_close(torchdistill(loss, student, teacher), found)


@given(seed=st.integers(0, 1000), scale=st.sampled_from([1e-4, 0.3, 5.0, 1e4]))
def test_what_each_relation_is_blind_to(seed, scale):
    """Oracle: a scale and an orthogonal map change no loss, a translation only SP's."""
    x = drawn(seed)
    for loss in RELATIONS:
        torch.testing.assert_close(loss(scale * turned(x, seed), x), ZERO, atol=1e-12, rtol=0)
    for loss in RELATIONS[1:]:
        torch.testing.assert_close(loss(x + 3, x), ZERO, atol=1e-12, rtol=0)


def test_what_each_relation_sees():
    """Oracle: SP sees translations, all see a scale of one feature alone."""
    x = drawn()
    assert similarity_preserving_loss(x + 3, x) > 0.01
    for loss in RELATIONS:
        assert loss(x * torch.tensor([3.0, 1, 1, 1]), x) > 0.001


def test_correlations_are_blind_to_affine_maps_of_rows_or_of_columns():
    """Oracle: Pearson's ρ; probabilities q = λ p + (1 − λ)/C, and columns under the same map."""
    p = drawn().softmax(dim=1)
    mixing = torch.rand(6, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    of_each_row = mixing * p + (1 - mixing) / 4
    of_all = 0.3 * p + 0.7 / 4
    rows_alone = partial(correlation_loss, within_classes=0)
    torch.testing.assert_close(rows_alone(of_each_row.log(), p.log()), ZERO, atol=1e-12, rtol=0)
    torch.testing.assert_close(correlation_loss(of_all.log(), p.log()), ZERO, atol=1e-12, rtol=0)
    assert correlation_loss(of_each_row.log(), p.log(), between_classes=0) > 0.001


@given(seed=st.integers(0, 1000))
def test_each_loss_is_the_same_in_another_order_of_the_examples(seed):
    """Oracle: no example is the first."""
    student, teacher = drawn(seed), drawn(seed + 1)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
    for loss in LOSSES:
        torch.testing.assert_close(loss(student[order], teacher[order]), loss(student, teacher))


@named
def test_gradient_reaches_the_student_alone(loss):
    """Oracle: finite differences; the loss of a twin is 0."""
    student, teacher = drawn(0).requires_grad_(), drawn(1).requires_grad_()
    assert gradcheck(lambda f: loss(f, teacher), (student,))
    loss(student, teacher).backward()
    assert teacher.grad is None
    assert loss(teacher, teacher).item() == pytest.approx(0, abs=1e-12)


@named
def test_equal_or_silent_examples_have_a_moderate_gradient(loss):
    """Oracle: without care it would be nan, or of the size 10¹²."""
    student = drawn(0)
    student[1] = student[0]
    student[2] = 0
    student[3] = 0
    student.requires_grad_()
    loss(student, drawn(1)).backward()
    assert student.grad.isfinite().all()
    assert student.grad.abs().max() < 10


def test_equal_examples_have_no_angle():
    """Oracle: a loop over distinct triples in which the student's cosines at equal ones are 0."""
    student = RIGHT_ANGLE[[0, 1, 2, 2]]
    teacher = drawn(3, 4).float()
    total = 0.0
    for i, j, k in permutations(range(4), 3):
        to_i, to_k = student[i] - student[j], student[k] - student[j]
        mine = F.cosine_similarity(to_i, to_k, dim=0).item()
        theirs = F.cosine_similarity(teacher[i] - teacher[j], teacher[k] - teacher[j], dim=0).item()
        total += huber(mine - theirs)
    assert angle_relation_loss(student, teacher).item() == pytest.approx(total / 24, rel=1e-5)


@pytest.mark.parametrize("constant", [0.0, 0.1, 7.3])
def test_a_student_without_an_opinion_correlates_with_nothing(constant):
    """Oracle: ρ = 0 by definition: 1 − 0 of rows and of columns; no gradient, no noise."""
    student = torch.full((6, 5), constant, requires_grad=True)
    loss = correlation_loss(student, drawn(0, 6, 5).float())
    loss.backward()
    assert loss.item() == pytest.approx(2)
    assert torch.equal(student.grad, torch.zeros(6, 5))


@pytest.mark.parametrize("shape", [(7, 3), (128, 10), (13, 11)])
def test_rounding_is_no_opinion(shape):
    """Oracle: ρ = 0; the sum of equal numbers, and so their mean, is off by a unit or two."""
    draws = torch.Generator().manual_seed(0)
    row = torch.randn(1, shape[1], generator=draws)
    for student in (torch.zeros(shape), row.expand(shape)):  # no opinion of classes, of images
        z = student.clone().requires_grad_()
        loss = correlation_loss(z, torch.randn(shape, generator=draws), between_classes=0)
        loss.backward()
        assert loss.item() == 1
        assert z.grad.abs().max() == 0


@pytest.mark.parametrize("size", [1e-2, 1e-4])
def test_a_faint_opinion_counts(size):
    """Oracle: the same in 64 bits; ρ does not change with the size of the differences."""
    student, teacher = size * drawn(0), drawn(1)
    expected = correlation_loss(student, teacher).item()
    found = correlation_loss(student.float(), teacher.float()).item()
    assert expected < 2.5
    assert found == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_correlations_are_those_of_numpy(temperature):
    """Oracle: ``np.corrcoef`` of each row and of each column, one at a time; T² of both."""
    z, v = 2 * drawn(0, 7, 5), 2 * drawn(1, 7, 5)
    q, p = (x.div(temperature).softmax(dim=1).numpy() for x in (z, v))
    rows = np.mean([np.corrcoef(q[i], p[i])[0, 1] for i in range(7)])
    columns = np.mean([np.corrcoef(q[:, k], p[:, k])[0, 1] for k in range(5)])
    found = correlation_loss(
        z, v, temperature=temperature, between_classes=2, within_classes=0.5
    ).item()
    expected = temperature**2 * (2 * (1 - rows) + 0.5 * (1 - columns))
    assert found == pytest.approx(expected, rel=1e-12)


def test_second_derivatives_of_the_correlations():
    """Oracle: finite differences of the gradient."""
    assert gradgradcheck(correlation_loss, (drawn(0).requires_grad_(), drawn(1)))


@pytest.mark.parametrize("size", [1e-7, 1e-15])
def test_a_class_that_is_hardly_ever_given_counts_like_any_other(size):
    """Oracle: ρ does not change with the size of a column."""
    p = drawn(0, 6, 2).softmax(dim=1).float()
    small = size * torch.tensor([1.0, 3.0, 2.0, 1.0, 1.0, 4.0])
    mine = torch.cat([p, small[:, None]], dim=1)
    theirs = torch.cat([p, small.flip(0)[:, None]], dim=1)
    rho = np.corrcoef(small.double(), small.double().flip(0))[0, 1]
    found = correlation_loss(mine.log(), theirs.log(), between_classes=0)
    assert found.item() == pytest.approx((1 - rho) / 3, abs=1e-5)


@pytest.mark.parametrize("loss", RELATIONS, ids=lambda loss: loss.__name__)
def test_half_precision_does_not_overflow(loss):
    """Oracle: the same numbers in 64 bits; their squares exceed float16's 65504."""
    student, teacher = (300 * drawn(0)).half(), (300 * drawn(1)).half()
    found = loss(student, teacher)
    assert found.dtype == torch.float32
    expected = loss(student.double(), teacher.double())
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loss", RELATIONS, ids=lambda loss: loss.__name__)
def test_axes_behind_the_first_are_flattened(loss):
    """Oracle: the same numbers as rows; the networks' sizes may differ."""
    student = drawn(0, 6, 12)
    torch.testing.assert_close(loss(student.view(6, 3, 2, 2), drawn(1)), loss(student, drawn(1)))


A = drawn()
IMPOSSIBLE = A.where(A < 1, -torch.inf)
"""−inf is a probability of 0, which spoils no sum."""


@pytest.mark.parametrize("loss", RELATIONS, ids=lambda loss: loss.__name__)
@pytest.mark.parametrize(
    ("student", "teacher", "error", "message"),
    [
        (A, A.long(), TypeError, "teacher must hold"),
        (A, A[:5], ValueError, "student must have the"),
        (A[:1], A[:1], ValueError, "student must (be of two|have 3) examples or more"),
        (A * torch.nan, A, ValueError, "student must be finite"),
        (A, A / 0, ValueError, "teacher must be finite"),
        (A[0], A, ValueError, r"student must be \(examples, _, \.\.\.\)"),
    ],
)
def test_bad_features_are_named(loss, student, teacher, error, message):
    """Oracle: the message names argument, value and expectation."""
    with pytest.raises(error, match=message):
        loss(student, teacher)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: distance_relation_loss(0 * A, A), ValueError, "student must have examples that"),
        (lambda: distance_relation_loss(A, 0 * A), ValueError, "got 6 equal ones"),
        (
            lambda: angle_relation_loss(A[:2], A[:2]),
            ValueError,
            "student must (be of two|have 3) examples or more",
        ),
        (lambda: correlation_loss(A[:1], A[:1]), ValueError, "of two examples and two classes"),
        (
            lambda: correlation_loss(A[:, :1], A[:, :1]),
            ValueError,
            "of two examples and two classes",
        ),
        (lambda: correlation_loss(IMPOSSIBLE, A), ValueError, "student must be finite"),
        (lambda: correlation_loss(A, IMPOSSIBLE), ValueError, "teacher must be finite"),
        (lambda: correlation_loss(A, A, temperature=0), ValueError, "temperature must be"),
        (
            lambda: correlation_loss(A, A, within_classes=-1),
            ValueError,
            "within_classes must be at",
        ),
    ],
)
def test_bad_input_is_named(call, error, message):
    """Oracle: the message names argument, value and expectation."""
    with pytest.raises(error, match=message):
        call()
