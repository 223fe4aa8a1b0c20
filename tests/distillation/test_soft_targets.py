"""Losses between logits against hand values, torch, torchdistill, closed forms and limits."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from scipy.special import rel_entr
from scipy.special import softmax as scipy_softmax
from torch import nn
from torchdistill.losses.mid_level import KDLoss
from two_networks import PROBLEMS, drawn, torchdistill

from reference_impl.distillation import (
    logit_matching_loss,
    soft_cross_entropy,
    soft_target_loss,
    soften,
)


def test_temperature_softens_and_keeps_the_order():
    """Oracle: the order of the logits; the entropy grows with T."""
    logits = drawn(0, 20, 6)[0]
    warmer = [soften(logits, temperature) for temperature in (0.5, 1, 2, 4, 8)]
    assert all((p.gather(1, logits.argsort(1)).diff(dim=1) >= 0).all() for p in warmer)
    assert (torch.stack([torch.special.entr(p).sum() for p in warmer]).diff() > 0).all()


@pytest.mark.equation("eq-distill-softmax")
@given(**PROBLEMS)
def test_softened_is_scipys_softmax_of_divided_logits(seed, n, classes, temperature):
    """Oracle: scipy.special.softmax."""
    logits = drawn(seed, n, classes)[0]
    expected = scipy_softmax(logits.numpy() / temperature, axis=1)
    torch.testing.assert_close(soften(logits, temperature), torch.from_numpy(expected))


@given(**PROBLEMS)
def test_soft_target_loss_is_torchs_batchmean_times_t_squared(seed, n, classes, temperature):
    """Oracle: nn.KLDivLoss(reduction="batchmean"); Gibbs' inequality, zero for twins.

    Its reduction="mean" is as many times too small as there are classes, and says so itself.
    """
    z, v, _ = drawn(seed, n, classes)
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
    z, v, _ = drawn(1)
    p, q = (scipy_softmax(x.numpy() / 3, axis=1) for x in (v, z))
    expected = 9 * rel_entr(p, q).sum(axis=1).mean()
    found = soft_target_loss(z, v, temperature=3)
    assert found.item() == pytest.approx(expected, rel=1e-12)
    theirs = torchdistill(KDLoss("s", "output", "t", "output", 3, alpha=0), z, v)
    torch.testing.assert_close(found, 9 * theirs)


@pytest.mark.equation("eq-distill-cross-entropy", "eq-distill-meant")
@given(**PROBLEMS)
def test_soft_cross_entropy_is_torchs_and_kl_plus_the_teachers_entropy(
    seed, n, classes, temperature
):
    """Oracle: F.cross_entropy with probabilities as targets; Gibbs' decomposition."""
    z, v, _ = drawn(seed, n, classes)
    ours = soft_cross_entropy(z, v, temperature=temperature)
    p = F.softmax(v / temperature, 1)
    torch.testing.assert_close(ours, F.cross_entropy(z / temperature, p), rtol=1e-7, atol=1e-11)
    kl = soft_target_loss(z, v, temperature=temperature) / temperature**2
    entropy = torch.special.entr(p).sum(1).mean()
    torch.testing.assert_close(ours, kl + entropy, rtol=1e-7, atol=1e-11)


@pytest.mark.equation("eq-distill-gradient")
@given(**PROBLEMS)
def test_gradient_is_t_times_q_minus_p_over_n(seed, n, classes, temperature):
    """Oracle: the closed form; that of the cross-entropy lacks T²."""
    z, v, _ = drawn(seed, n, classes)
    z.requires_grad_()
    expected = (soften(z, temperature) - soften(v, temperature)).detach() / n
    (of_kl,) = torch.autograd.grad(soft_target_loss(z, v, temperature=temperature), z)
    (of_ce,) = torch.autograd.grad(soft_cross_entropy(z, v, temperature=temperature), z)
    torch.testing.assert_close(of_kl, temperature * expected, rtol=1e-7, atol=1e-10)
    torch.testing.assert_close(of_ce, expected / temperature, rtol=1e-7, atol=1e-10)


@pytest.mark.equation("eq-distill-limit")
@pytest.mark.parametrize("spread", [1.0, 3.0])
def test_hot_soft_targets_become_logit_matching_as_one_over_t(spread):
    """Oracle: the limit, in value and gradient; ten times T, a tenth of the distance."""
    z, v, _ = drawn(9, 50, 10, spread)
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
    z, v, _ = drawn(10, 6, 10)
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


@pytest.mark.parametrize("temperature", [1e3, 1e4, 1e5, 1e6])
def test_a_hot_loss_in_float32_is_that_of_float64(temperature):
    """Oracle: the limit, `logit_matching_loss`; Gibbs' inequality."""
    draws = torch.Generator().manual_seed(1)
    z, v = (3 * torch.randn(128, 10, generator=draws) for _ in range(2))
    found = soft_target_loss(z, v, temperature=temperature)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(logit_matching_loss(z, v).item(), rel=1e-2)
    each = zip(z[:, None], v[:, None], strict=True)
    assert all(soft_target_loss(a, b, temperature=temperature) > 0 for a, b in each)
