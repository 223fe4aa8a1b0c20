"""Decoupled distillation against hand values, Hinton's loss, torchdistill, autograd and limits."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchdistill.losses.mid_level import KDLoss
from two_networks import PROBLEMS, drawn, torchdistill

from reference_impl.distillation import decoupled_loss, decoupled_parts, soft_target_loss


def recombined(parts, weight):
    return (parts.target + weight * parts.others).mean()


@pytest.mark.equation("eq-relation-decoupled")
def test_parts_by_hand():
    """Oracle: p = (1/2, 1/4, 1/4), q = (1/4, 1/4, 1/2), y = 0; both parts on paper."""
    p, q = torch.tensor([[0.5, 0.25, 0.25]]), torch.tensor([[0.25, 0.25, 0.5]])
    parts = decoupled_parts(q.log(), p.log(), torch.tensor([0]), temperature=1)
    target = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)  # (1/2, 1/2) against (1/4, 3/4)
    others = 0.5 * math.log(3 / 2) + 0.5 * math.log(3 / 4)  # (1/2, 1/2) against (1/3, 2/3)
    assert parts.p_target.item() == pytest.approx(0.5)
    assert parts.target.item() == pytest.approx(target, abs=1e-6)
    assert parts.others.item() == pytest.approx(others, abs=1e-6)
    weights = {"temperature": 2, "target_weight": 2, "others_weight": 3}
    loss = decoupled_loss(2 * q.log(), 2 * p.log(), torch.tensor([0]), **weights)
    assert loss.item() == pytest.approx(2**2 * (2 * target + 3 * others), abs=1e-6)


@pytest.mark.equation("eq-relation-parts")
@given(**PROBLEMS | {"classes": st.integers(2, 6)})
def test_parts_weighted_by_each_examples_p_make_hintons_loss(seed, n, classes, temperature):
    """Oracle: `soft_target_loss`; TCKD + (1 − p_y) NCKD, example by example; neither below 0."""
    student, teacher, labels = drawn(seed, n, classes)
    parts = decoupled_parts(student, teacher, labels, temperature=temperature)
    whole = soft_target_loss(student, teacher, temperature=temperature)
    together = temperature**2 * recombined(parts, 1 - parts.p_target)
    torch.testing.assert_close(together, whole, rtol=1e-9, atol=1e-12)
    assert min(parts.target.min(), parts.others.min()) >= -1e-15  # two terms that cancel
    if classes == 2:  # one wrong class has all of its distribution
        assert torch.equal(parts.others, torch.zeros(n, dtype=torch.float64))


def test_parts_recombined_are_torchdistills_but_not_with_a_mean_weight():
    """Oracle: KDLoss without labels, which leaves T² out; the batch's mean of p_y spoils it."""
    student, teacher, labels = drawn(2)
    parts = decoupled_parts(student, teacher, labels, temperature=2)
    theirs = torchdistill(KDLoss("s", "output", "t", "output", 2, alpha=0), student, teacher)
    torch.testing.assert_close(recombined(parts, 1 - parts.p_target), theirs)
    assert abs(recombined(parts, 1 - parts.p_target.mean()) - theirs) > 0.05 * theirs


def test_the_target_part_ignores_how_the_others_share_and_the_others_part_ignores_the_target():
    """Oracle: what each is defined on: logits of the others permuted; the target's logit moved."""
    _, teacher, _ = drawn(2)
    student, labels = teacher + 1, torch.zeros(5, dtype=torch.int64)
    shared = student[:, [0, 3, 1, 2]]
    moved = student + torch.tensor([2.0, 0, 0, 0])
    of_shared = decoupled_parts(shared, teacher, labels, temperature=2)
    of_moved = decoupled_parts(moved, teacher, labels, temperature=2)
    torch.testing.assert_close(of_shared.target, torch.zeros(5, dtype=torch.float64))
    torch.testing.assert_close(of_moved.others, torch.zeros(5, dtype=torch.float64))
    assert of_shared.others.min() > 0.001
    assert of_moved.target.min() > 0.001


@pytest.mark.parametrize("size", [30.0, 1e4, 1e30])
def test_a_teacher_that_is_sure_still_tells_of_the_others(size):
    """Oracle: the others' logits (0, 1) of the teacher against (0, 0), whatever the first is."""
    teacher = torch.tensor([[size, 0.0, 1.0]])
    student = torch.tensor([[size, 0.0, 0.0]], requires_grad=True)
    parts = decoupled_parts(student, teacher, torch.tensor([0]), temperature=1)
    p = torch.tensor([0.0, 1.0]).softmax(0)
    assert parts.others.item() == pytest.approx((p * (2 * p).log()).sum().item(), rel=1e-5)
    (parts.target + parts.others).sum().backward()
    expected = torch.tensor([[0.0, 0.5 - p[0], 0.5 - p[1]]])
    torch.testing.assert_close(student.grad, expected, rtol=1e-5, atol=1e-6)


def test_parts_beyond_every_number_are_refused():
    """Oracle: M / T is infinite; a temperature that leaves it finite gives M / T and ln 2."""
    z, v, y = torch.tensor([[1e30, 0, 0]]), torch.tensor([[0, 1e30, 0]]), torch.tensor([0])
    with pytest.raises(ValueError, match="temperature must leave finite parts, got 1e-10"):
        decoupled_parts(z, v, y, temperature=1e-10)
    parts = decoupled_parts(z, v, y, temperature=1e6)
    assert parts.target.item() == pytest.approx(1e24)
    assert parts.others.item() == pytest.approx(math.log(2))
