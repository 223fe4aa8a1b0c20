"""Losses between logits against hand values, torch, torchdistill, closed forms and limits."""

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from mid_level import torchdistill
from scipy.special import rel_entr
from scipy.special import softmax as scipy_softmax
from torch import nn
from torchdistill.losses.mid_level import KDLoss

from reference_impl.distillation import (
    logit_matching_loss,
    soft_cross_entropy,
    soft_target_loss,
    soften,
)

LOSSES = {
    "soft_target_loss": partial(soft_target_loss, temperature=3.0),
    "soft_cross_entropy": partial(soft_cross_entropy, temperature=3.0),
    "logit_matching_loss": logit_matching_loss,
}


def drawn(seed: int, n: int = 5, classes: int = 4, spread: float = 3.0, dtype=torch.float64):
    draws = torch.Generator().manual_seed(seed)
    return (spread * torch.randn(2, n, classes, generator=draws, dtype=torch.float64)).to(dtype)


problems = {
    "seed": st.integers(0, 10_000),
    "n": st.integers(1, 7),
    "classes": st.integers(1, 8),
    "temperature": st.floats(0.2, 50),
}


def test_temperature_softens_and_keeps_the_order():
    """Oracle: logits (ln 4, 0) give 4 : 1 at T = 1 and 2 : 1 at T = 2; the entropy grows with T."""
    logits = torch.tensor([[math.log(4), 0.0]])
    torch.testing.assert_close(soften(logits, 1), torch.tensor([[0.8, 0.2]]))
    torch.testing.assert_close(soften(logits, 2), torch.tensor([[2 / 3, 1 / 3]]))
    logits, _ = drawn(0, 20, 6)
    warmer = [soften(logits, temperature) for temperature in (0.5, 1, 2, 4, 8)]
    assert all((p.gather(1, logits.argsort(1)).diff(dim=1) >= 0).all() for p in warmer)
    assert (torch.stack([torch.special.entr(p).sum() for p in warmer]).diff() > 0).all()


@pytest.mark.equation("eq-distill-softmax")
@given(**problems)
def test_softened_is_scipys_softmax_of_divided_logits(seed, n, classes, temperature):
    """Oracle: scipy.special.softmax."""
    logits, _ = drawn(seed, n, classes)
    expected = scipy_softmax(logits.numpy() / temperature, axis=1)
    torch.testing.assert_close(soften(logits, temperature), torch.from_numpy(expected))


def test_losses_by_hand():
    """Oracle: p = (1/2, 1/4, 1/4), q = (1/4, 1/4, 1/2) on paper; logits are T log p."""
    p, q = torch.tensor([[0.5, 0.25, 0.25]]), torch.tensor([[0.25, 0.25, 0.5]])
    kl = 0.5 * math.log(2) - 0.25 * math.log(2)
    cross = 0.5 * math.log(4) + 0.25 * math.log(4) + 0.25 * math.log(2)
    for t in (1.0, 3.0):
        z, v = t * q.log(), t * p.log()
        assert soft_target_loss(z, v, temperature=t).item() == pytest.approx(t**2 * kl, abs=1e-6)
        assert soft_cross_entropy(z, v, temperature=t).item() == pytest.approx(cross, abs=1e-6)
    z, v = torch.tensor([[1.0, 2.0, 6.0]]), torch.tensor([[0.0, 3.0, 3.0]])
    # centred: (−2, −1, 3) and (−2, 1, 1); gaps (0, −2, 2); 8 / (2 · 3)
    assert logit_matching_loss(z, v).item() == pytest.approx(4 / 3)
    p, q = p.log(), torch.tensor([[0.98, 0.01, 0.01]]).log()  # swapped, it is another number
    forward = 0.5 * math.log(0.5 / 0.98) + 0.5 * math.log(25)
    reverse = 0.98 * math.log(0.98 / 0.5) + 0.02 * math.log(0.04)
    assert soft_target_loss(q, p, temperature=1).item() == pytest.approx(forward, abs=1e-5)
    assert soft_target_loss(p, q, temperature=1).item() == pytest.approx(reverse, abs=1e-5)


@given(**problems)
def test_soft_target_loss_is_torchs_batchmean_times_t_squared(seed, n, classes, temperature):
    """Oracle: nn.KLDivLoss(reduction="batchmean"); Gibbs' inequality, zero for twins.

    Its reduction="mean" is as many times too small as there are classes, and says so itself.
    """
    z, v = drawn(seed, n, classes)
    both = F.log_softmax(z / temperature, 1), F.softmax(v / temperature, 1)
    ours = soft_target_loss(z, v, temperature=temperature)
    peer = temperature**2 * nn.KLDivLoss(reduction="batchmean")(*both)
    torch.testing.assert_close(ours, peer, rtol=1e-7, atol=1e-11)
    with pytest.warns(UserWarning, match="batchmean"):
        small = temperature**2 * nn.KLDivLoss(reduction="mean")(*both)
    torch.testing.assert_close(ours, classes * small, rtol=1e-7, atol=1e-11)
    assert torch.equal(soft_target_loss.__wrapped__(z, v, temperature=temperature), ours)
    assert ours >= -1e-12
    assert soft_target_loss(v, v, temperature=temperature).item() == 0


@pytest.mark.equation("eq-distill-kl")
def test_soft_target_loss_is_scipys_relative_entropy_and_torchdistills_without_t_squared():
    """Oracle: scipy.special.rel_entr of SciPy's softmax; KDLoss without labels."""
    z, v = drawn(1)
    p, q = (scipy_softmax(x.numpy() / 3, axis=1) for x in (v, z))
    expected = 9 * rel_entr(p, q).sum(axis=1).mean()
    found = soft_target_loss(z, v, temperature=3)
    assert found.item() == pytest.approx(expected, rel=1e-12)
    theirs = torchdistill(KDLoss("s", "output", "t", "output", 3, alpha=0), z, v)
    torch.testing.assert_close(found, 9 * theirs)


@pytest.mark.equation("eq-distill-cross-entropy", "eq-distill-meant")
@given(**problems)
def test_soft_cross_entropy_is_torchs_and_kl_plus_the_teachers_entropy(
    seed, n, classes, temperature
):
    """Oracle: F.cross_entropy with probabilities as targets; Gibbs' decomposition."""
    z, v = drawn(seed, n, classes)
    ours = soft_cross_entropy(z, v, temperature=temperature)
    p = F.softmax(v / temperature, 1)
    torch.testing.assert_close(ours, F.cross_entropy(z / temperature, p), rtol=1e-7, atol=1e-11)
    kl = soft_target_loss(z, v, temperature=temperature) / temperature**2
    entropy = torch.special.entr(p).sum(1).mean()
    torch.testing.assert_close(ours, kl + entropy, rtol=1e-7, atol=1e-11)


def test_one_hot_teachers_make_the_ordinary_cross_entropy():
    """Oracle: F.cross_entropy of labels; a teacher with a lead of 1,000 is one-hot."""
    z, _ = drawn(4)
    labels = torch.tensor([0, 1, 2, 3, 0])
    sure = 1000.0 * F.one_hot(labels, 4).double()
    expected = F.cross_entropy(z, labels)
    torch.testing.assert_close(soft_cross_entropy(z, sure, temperature=1), expected)
    torch.testing.assert_close(soft_target_loss(z, sure, temperature=1), expected)


@pytest.mark.equation("eq-distill-gradient")
@given(**problems)
def test_gradient_is_t_times_q_minus_p_over_n(seed, n, classes, temperature):
    """Oracle: the closed form; that of the cross-entropy lacks T²."""
    z, v = drawn(seed, n, classes)
    z.requires_grad_()
    expected = (soften(z, temperature) - soften(v, temperature)).detach() / n
    (of_kl,) = torch.autograd.grad(soft_target_loss(z, v, temperature=temperature), z)
    (of_ce,) = torch.autograd.grad(soft_cross_entropy(z, v, temperature=temperature), z)
    torch.testing.assert_close(of_kl, temperature * expected, rtol=1e-7, atol=1e-10)
    torch.testing.assert_close(of_ce, expected / temperature, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("name", LOSSES)
def test_a_constant_added_and_the_order_of_classes_change_nothing(name):
    """Oracle: the invariance of a softmax, and of centred logits; one class has none to learn."""
    z, v = drawn(6)
    shift = torch.arange(5.0, dtype=torch.float64)[:, None]
    torch.testing.assert_close(LOSSES[name](z + shift, v - 3 * shift), LOSSES[name](z, v))
    columns = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(LOSSES[name](z[:, columns], v[:, columns]), LOSSES[name](z, v))
    assert LOSSES[name](z[:, :1], v[:, :1]).item() == 0


@pytest.mark.equation("eq-distill-limit")
@pytest.mark.parametrize("spread", [1.0, 3.0])
def test_hot_soft_targets_become_logit_matching_as_one_over_t(spread):
    """Oracle: the limit, in value and gradient; ten times T, a tenth of the distance."""
    z, v = drawn(9, 50, 10, spread)
    z.requires_grad_()
    limit = logit_matching_loss(z, v)
    (to_limit,) = torch.autograd.grad(limit, z)
    distances = []
    for t in (100.0, 1000.0, 10_000.0):
        loss = soft_target_loss(z, v, temperature=t)
        (gradient,) = torch.autograd.grad(loss, z)
        distances.append((gradient - to_limit).norm() / to_limit.norm())
        assert loss.item() == pytest.approx(limit.item(), rel=10 * spread / t)
    assert distances[0] == pytest.approx(10 * distances[1].item(), rel=0.1)
    assert distances[1] == pytest.approx(10 * distances[2].item(), rel=0.1)


@pytest.mark.equation("eq-distill-matching")
def test_logit_matching_is_half_the_variance_of_the_gaps():
    """Oracle: torch.var over the classes; its gradient is the centred gap over n N."""
    z, v = drawn(10, 6, 10)
    z.requires_grad_()
    loss = logit_matching_loss(z, v)
    torch.testing.assert_close(loss, (z - v).var(dim=1, correction=0).mean() / 2)
    (gradient,) = torch.autograd.grad(loss, z)
    gap = (z - v).detach()
    torch.testing.assert_close(gradient, (gap - gap.mean(1, keepdim=True)) / 60)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_softened_limits_in_every_precision(dtype):
    """Oracle: T → ∞ makes classes equal, T → 0 leaves the largest, also where 1 / T overflows."""
    logits = torch.tensor([[1.0, 1000.0, -60_000.0], [-2.0, -5.0, -2.0]], dtype=dtype)
    coldest = torch.tensor([[0, 1, 0], [0.5, 0, 0.5]], dtype=dtype)
    for temperature in (1e-3, 1e-30, 5e-324):
        assert torch.equal(soften(logits, temperature), coldest)
    third = torch.full((1, 3), 1 / 3, dtype=dtype)
    torch.testing.assert_close(soften(logits[1:], 1e6), third, rtol=1e-5, atol=0)
