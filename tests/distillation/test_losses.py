"""What the family's losses have in common, against autograd, float64, closed forms, symmetry."""

from functools import partial

import pytest
import torch
from torch.autograd import gradcheck
from two_networks import drawn

from reference_impl import distillation


def unlabelled(loss):
    return lambda student, teacher, labels: loss(student, teacher)


def of_maps(*both):
    return distillation.attention_transfer_loss(*(x.view(-1, 1, 2, 2) for x in both))


OF_LOGITS = {
    "soft_target_loss": unlabelled(partial(distillation.soft_target_loss, temperature=3)),
    "soft_cross_entropy": unlabelled(partial(distillation.soft_cross_entropy, temperature=3)),
    "logit_matching_loss": unlabelled(distillation.logit_matching_loss),
    "distillation_objective": partial(
        distillation.distillation_objective, temperature=3, alpha=0.6
    ),
    "decoupled_loss": partial(distillation.decoupled_loss, temperature=3),
}
OF_FEATURES = {
    "hint_loss": unlabelled(distillation.hint_loss),
    "attention_transfer_loss": unlabelled(of_maps),
    "similarity_preserving_loss": unlabelled(distillation.similarity_preserving_loss),
    "distance_relation_loss": unlabelled(distillation.distance_relation_loss),
    "angle_relation_loss": unlabelled(distillation.angle_relation_loss),
}
LOSSES = OF_LOGITS | OF_FEATURES | {"correlation_loss": unlabelled(distillation.correlation_loss)}
OF_EACH_EXAMPLE = [*OF_LOGITS, "hint_loss", "attention_transfer_loss"]
NOT_ZERO_FOR_A_TWIN = {"soft_cross_entropy", "distillation_objective"}

every_loss = pytest.mark.parametrize("name", LOSSES)


@every_loss
def test_gradients_are_finite_differences_and_the_teacher_gets_none(name):
    """Oracle: gradcheck; the teacher is held constant, and its twin has nothing to learn."""
    student, teacher, labels = drawn()
    student.requires_grad_()
    teacher.requires_grad_()
    assert gradcheck(lambda z: LOSSES[name](z, teacher, labels), (student,))
    loss = LOSSES[name](student, teacher, labels)
    loss.backward()
    assert loss.shape == ()
    assert teacher.grad is None
    if name not in NOT_ZERO_FOR_A_TWIN:
        assert LOSSES[name](teacher, teacher, labels).item() == pytest.approx(0, abs=1e-12)


@every_loss
def test_the_order_of_the_examples_does_not_matter_and_nothing_given_changes(name):
    """Oracle: symmetry of sums; copies."""
    given = drawn(1)
    before = [x.clone() for x in given]
    order = torch.tensor([3, 0, 4, 1, 2])
    moved = LOSSES[name](*(x[order] for x in given))
    torch.testing.assert_close(moved, LOSSES[name](*given))
    assert all(torch.equal(x, copy) for x, copy in zip(given, before, strict=True))


@pytest.mark.parametrize("name", OF_EACH_EXAMPLE)
def test_the_loss_of_a_batch_is_the_mean_of_its_examples(name):
    """Oracle: example by example, so no division by the classes, and none missing by the batch."""
    given = drawn(2)
    each = [LOSSES[name](*(x[i : i + 1] for x in given)) for i in range(5)]
    torch.testing.assert_close(LOSSES[name](*given), torch.stack(each).mean())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@every_loss
def test_every_floating_type_works_and_half_precision_is_computed_in_float32(name, dtype):
    """Oracle: float64 of the rounded numbers; the squares of features exceed float16's 65504."""
    student, teacher, labels = drawn(3, spread=300 if name in OF_FEATURES else 3)
    student, teacher = student.to(dtype).requires_grad_(), teacher.to(dtype)
    loss = LOSSES[name](student, teacher, labels)
    loss.backward()
    expected = LOSSES[name](student.double(), teacher.double(), labels)
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert loss.item() == pytest.approx(expected.item(), rel=2e-5)
    assert student.grad.dtype == dtype


@pytest.mark.parametrize("size", [1e3, 1e15])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("soft_target_loss", lambda size: 3**2 * (2 * size / 3)),
        ("soft_cross_entropy", lambda size: 2 * size / 3),
        ("logit_matching_loss", lambda size: 2 * (2 * size) ** 2 / (2 * 3)),
        ("distillation_objective", lambda size: 0.4 * 2 * size + 0.6 * 3**2 * (2 * size / 3)),
        ("decoupled_loss", lambda size: 3**2 * (2 * size / 3) + 8 * 3**2 * (size / 3)),
    ],
)
def test_who_is_sure_of_the_wrong_class_pays_by_the_gap(name, expected, size):
    """Oracle: −log q of logits (−a, 0, a) against (a, 0, −a), a ≫ T; gradients stay finite."""
    teacher = torch.tensor([[size, 0.0, -size]])
    student = -teacher.clone().requires_grad_()
    loss = OF_LOGITS[name](student, teacher, torch.tensor([0]))
    (gradient,) = torch.autograd.grad(loss, student)
    assert loss.item() == pytest.approx(expected(size), rel=1e-5)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("name", ["soft_target_loss", "soft_cross_entropy", "logit_matching_loss"])
def test_a_constant_added_and_the_order_of_classes_change_nothing(name):
    """Oracle: the invariance of a softmax, and of centred logits; one class has none to learn."""
    z, v, labels = drawn(6)
    loss, shift = partial(LOSSES[name], labels=labels), torch.arange(5.0).double()[:, None]
    torch.testing.assert_close(loss(z + shift, v - 3 * shift), loss(z, v))
    columns = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(loss(z[:, columns], v[:, columns]), loss(z, v))
    assert loss(z[:, :1], v[:, :1]).item() == 0
