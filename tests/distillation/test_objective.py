"""Hinton's objective against its parts, torch, torchdistill and closed forms."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torchdistill.losses.mid_level import KDLoss
from two_networks import PROBLEMS, drawn, torchdistill

from reference_impl import distillation

problems = PROBLEMS | {"alpha": st.floats(0, 1)}


@pytest.mark.equation("eq-distill-objective")
@given(**problems)
def test_agrees_with_torchs_losses(seed, n, classes, temperature, alpha):
    """Oracle: nn.CrossEntropyLoss and nn.KLDivLoss(reduction="batchmean")."""
    z, v, labels = drawn(seed, n, classes)
    ours = distillation.distillation_objective(z, v, labels, temperature=temperature, alpha=alpha)
    hard = nn.CrossEntropyLoss()(z, labels)
    soft = nn.KLDivLoss(reduction="batchmean")(
        F.log_softmax(z / temperature, 1), F.softmax(v / temperature, 1)
    )
    expected = (1 - alpha) * hard + alpha * temperature**2 * soft
    torch.testing.assert_close(ours, expected, rtol=1e-7, atol=1e-10)


def test_agrees_with_torchdistill_whose_alpha_is_the_other_ones():
    """Oracle: KDLoss with alpha = 1 − α."""
    z, v, labels = drawn(0)
    theirs = torchdistill(KDLoss("s", "output", "t", "output", 4, alpha=0.3), z, v, labels)
    ours = distillation.distillation_objective(z, v, labels, temperature=4, alpha=0.7)
    torch.testing.assert_close(ours, theirs)


@given(**problems)
def test_gradient_is_the_closed_form(seed, n, classes, temperature, alpha):
    """Oracle: ((1 − α) (softmax(z) − y) + α T (q − p)) / n."""
    z, v, labels = drawn(seed, n, classes)
    z.requires_grad_()
    loss = distillation.distillation_objective(z, v, labels, temperature=temperature, alpha=alpha)
    (gradient,) = torch.autograd.grad(loss, z)
    hard = z.detach().softmax(1) - F.one_hot(labels, classes)
    soft = distillation.soften(z.detach(), temperature) - distillation.soften(v, temperature)
    expected = ((1 - alpha) * hard + alpha * temperature * soft) / n
    torch.testing.assert_close(gradient, expected, rtol=1e-7, atol=1e-10)


def test_each_term_alone():
    """Oracle: at α = 1 no label, at α = 0 no teacher and no T is felt; a twin has no soft term."""
    z, v, labels = drawn(1)
    hard = distillation.distillation_objective(z, -v, labels, temperature=9, alpha=0)
    assert torch.equal(hard, F.cross_entropy(z, labels))
    soft = distillation.distillation_objective(z, v, (labels + 1) % 4, temperature=4, alpha=1)
    assert torch.equal(soft, distillation.soft_target_loss(z, v, temperature=4))
    twin = distillation.distillation_objective(z, z.clone(), labels, temperature=20, alpha=0.25)
    torch.testing.assert_close(twin, 0.75 * hard)


def test_at_temperature_one_it_is_a_cross_entropy_with_mixed_targets():
    """Oracle: F.cross_entropy with (1 − α) y + α p, or smoothed by a teacher that knows nothing.

    It is less by α times the teacher's entropy.
    """
    z, v, labels = drawn(3)
    p = v.softmax(1)
    mixed = 0.3 * F.one_hot(labels, 4) + 0.7 * p
    entropy = torch.special.entr(p).sum(1).mean()
    ours = distillation.distillation_objective(z, v, labels, temperature=1, alpha=0.7)
    torch.testing.assert_close(ours, F.cross_entropy(z, mixed) - 0.7 * entropy)
    ours = distillation.distillation_objective(
        z, torch.zeros_like(v), labels, temperature=1, alpha=0.2
    )
    smoothed = F.cross_entropy(z, labels, label_smoothing=0.2)
    torch.testing.assert_close(ours, smoothed - 0.2 * math.log(4))


@pytest.mark.equation("eq-distill-trap")
@given(seed=st.integers(0, 1000), classes=st.integers(1, 8), alpha=st.floats(0, 1))
def test_a_mean_over_the_classes_is_another_alpha(seed, classes, alpha):
    """Oracle: the objective with torch's mean over all elements, up to a factor; 0.09/0.19."""
    z, v, labels = drawn(seed, 5, classes)
    elements = F.kl_div(z.log_softmax(1), v.softmax(1), reduction="none")
    trapped = (1 - alpha) * F.cross_entropy(z, labels) + alpha * elements.mean()
    meant = distillation.effective_alpha(alpha, classes)
    factor = 1 - alpha + alpha / classes
    ours = factor * distillation.distillation_objective(z, v, labels, temperature=1, alpha=meant)
    torch.testing.assert_close(ours, trapped, rtol=1e-7, atol=1e-10)
    assert distillation.effective_alpha(0.9, 10) == pytest.approx(9 / 19)
