"""Losses of relations against hand values, brute force, torchdistill, autograd and invariances."""

from functools import partial
from itertools import permutations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from draws import generator, normal
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradgradcheck
from torchdistill.losses import mid_level
from torchdistill.losses.mid_level import DISTLoss, RKDLoss, SPKDLoss
from two_networks import torchdistill

from reference_impl.distillation import (
    angle_relation_loss,
    correlation_loss,
    distance_relation_loss,
    similarity_preserving_loss,
)

RELATIONS = [similarity_preserving_loss, distance_relation_loss, angle_relation_loss]
LOSSES = [*RELATIONS, correlation_loss]
ZERO = torch.zeros((), dtype=torch.float64)


def drawn(seed=0, n=6, d=4):
    return normal(n, d, seed=seed, dtype=torch.float64)


def huber(error):
    return 0.5 * error**2 if abs(error) <= 1 else abs(error) - 0.5


def test_a_distance_that_is_far_off_costs_its_error_not_the_square():
    """Oracle: by hand: at 0, 0.1, 9 and at 0, 9, 0.1 two errors of 8.9/6 are beyond Huber's 1."""
    student, teacher = torch.tensor([[0.0], [0.1], [9.0]]), torch.tensor([[0.0], [9.0], [0.1]])
    expected = 2 / 3 * (8.9 / 6 - 0.5)
    assert distance_relation_loss(student, teacher).item() == pytest.approx(expected)


@pytest.mark.equation("eq-relation-angle")
@given(seed=st.integers(0, 1000), n=st.integers(3, 6), equal=st.booleans())
def test_angles_are_those_of_all_triples(seed, n, equal):
    """Oracle: a loop over distinct i, j, k; between equal examples the cosine is 0."""
    student, teacher = drawn(seed, n), drawn(seed + 1, n, 3)
    if equal:
        student[1] = student[0]

    def cosine(a, i, j, k):
        return F.cosine_similarity(a[i] - a[j], a[k] - a[j], dim=0).item()

    triples = permutations(range(n), 3)
    expected = np.mean([huber(cosine(student, *t) - cosine(teacher, *t)) for t in triples])
    assert angle_relation_loss(student, teacher).item() == pytest.approx(expected)


@pytest.mark.equation("eq-relation-distance", "eq-relation-correlation")
def test_agreement_with_torchdistill():
    """Oracle: its losses; RKD's mean goes over all n² pairs and n³ triples, equal indices too."""
    student, teacher, n = drawn(0), drawn(1, d=5), 6
    theirs = partial(torchdistill, student=student, teacher=teacher)
    distances = theirs(RKDLoss("s", "t", 1, 0, "mean")) * n / (n - 1)
    torch.testing.assert_close(distances, distance_relation_loss(student, teacher))
    angles = theirs(RKDLoss("s", "t", 0, 1, "mean")) * n**2 / ((n - 1) * (n - 2))
    torch.testing.assert_close(angles, angle_relation_loss(student, teacher))
    for beta, gamma, t in ((1, 1, 1), (2, 0.5, 4)):
        loss = DISTLoss("s", "output", "t", "output", beta=beta, gamma=gamma, tau=t)
        weights = {"temperature": t, "between_classes": beta, "within_classes": gamma}
        found = correlation_loss(student, drawn(1), **weights)
        torch.testing.assert_close(torchdistill(loss, student, drawn(1)), found)


@pytest.mark.equation("eq-relation-similarity")
def test_similarity_agrees_with_torchdistill_up_to_the_norm_of_a_row(monkeypatch):
    """Oracle: SPKDLoss; its ``normalize(G, 1)`` is the norm p = 1, where the paper has p = 2."""
    student, teacher = drawn(0), drawn(1, d=5)
    loss = SPKDLoss("s", "t", "batchmean")
    g, h = (F.normalize(a @ a.T, p=1, dim=1) for a in (student, teacher))
    of_sums = (g - h).square().sum() / 36
    torch.testing.assert_close(torchdistill(loss, student, teacher), of_sums)
    monkeypatch.setattr(mid_level, "normalize", lambda g, _: F.normalize(g, p=2, dim=1))
    theirs = torchdistill(loss, student, teacher)
    torch.testing.assert_close(theirs, similarity_preserving_loss(student, teacher))


@given(seed=st.integers(0, 1000), scale=st.sampled_from([1e-4, 0.3, 5.0, 1e4]))
def test_what_each_relation_is_blind_to_and_what_it_sees(seed, scale):
    """Oracle: a scale and an orthogonal map change no loss, a translation only SP's.

    All see a scale of one feature alone.
    """
    x, turn = drawn(seed), torch.linalg.qr(drawn(seed, 4))[0]
    for loss in RELATIONS:
        torch.testing.assert_close(loss(scale * x @ turn, x), ZERO, atol=1e-12, rtol=0)
        assert loss(x * torch.tensor([30.0, 1, 1, 1]), x) > 1e-4
    for loss in RELATIONS[1:]:
        torch.testing.assert_close(loss(x + 3, x), ZERO, atol=1e-12, rtol=0)
    assert similarity_preserving_loss(x + 3, x) > 1e-4


def test_correlations_are_blind_to_affine_maps_of_rows_or_of_columns():
    """Oracle: Pearson's ρ; probabilities q = λ p + (1 − λ)/C, and columns under the same map."""
    p = drawn().softmax(dim=1)
    mixing = torch.rand(6, 1, dtype=torch.float64, generator=generator())
    of_each_row = mixing * p + (1 - mixing) / 4
    of_all = 0.3 * p + 0.7 / 4
    rows_alone = partial(correlation_loss, within_classes=0)
    torch.testing.assert_close(rows_alone(of_each_row.log(), p.log()), ZERO, atol=1e-12, rtol=0)
    torch.testing.assert_close(correlation_loss(of_all.log(), p.log()), ZERO, atol=1e-12, rtol=0)
    assert correlation_loss(of_each_row.log(), p.log(), between_classes=0) > 0.001


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_equal_or_silent_examples_have_a_moderate_gradient(loss):
    """Oracle: without care it would be nan, or of the size 10¹²."""
    student = drawn()
    student[1], student[2:4] = student[0], 0
    student.requires_grad_()
    loss(student, drawn(1)).backward()
    assert student.grad.isfinite().all()
    assert student.grad.abs().max() < 10


@pytest.mark.parametrize("shape", [(6, 5), (7, 3), (128, 10), (13, 11)])
def test_a_student_without_an_opinion_correlates_with_nothing(shape):
    """Oracle: ρ = 0 by definition: 1 − 0 of rows and of columns; no gradient, no noise.

    The sum of equal numbers, and so their mean, is off by a unit or two.
    """
    teacher, row = normal(*shape), normal(1, shape[1], seed=1)
    for student in (0.0, 0.1, 7.3, row):  # no opinion of classes, none of images
        z = (torch.zeros(shape) + student).requires_grad_()
        loss = correlation_loss(z, teacher, between_classes=float(student is not row))
        loss.backward()
        assert loss.item() == (1 if student is row else pytest.approx(2))
        assert z.grad.abs().max() == 0


@pytest.mark.parametrize("size", [1e-2, 1e-4])
def test_a_faint_opinion_counts(size):
    """Oracle: the same in 64 bits; ρ does not change with the size of the differences."""
    student, teacher = size * drawn(0), drawn(1)
    expected = correlation_loss(student, teacher).item()
    found = correlation_loss(student.float(), teacher.float()).item()
    assert expected < 2.5
    assert found == pytest.approx(expected, abs=0.02)


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
def test_axes_behind_the_first_are_flattened(loss):
    """Oracle: the same numbers as rows; the networks' sizes may differ."""
    student = drawn(0, 6, 12)
    torch.testing.assert_close(loss(student.view(6, 3, 2, 2), drawn(1)), loss(student, drawn(1)))
