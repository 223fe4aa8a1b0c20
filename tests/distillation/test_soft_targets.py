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
from torch.autograd import gradcheck
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


temperatures = st.floats(0.2, 50)
problems = {
    "seed": st.integers(0, 10_000),
    "n": st.integers(1, 7),
    "classes": st.integers(1, 8),
    "temperature": temperatures,
}


def test_softened_by_hand():
    """Oracle: logits (ln 4, 0) give 4 : 1 at T = 1 and 2 : 1 at T = 2."""
    logits = torch.tensor([[math.log(4), 0.0]])
    torch.testing.assert_close(soften(logits, 1), torch.tensor([[0.8, 0.2]]))
    torch.testing.assert_close(soften(logits, 2), torch.tensor([[2 / 3, 1 / 3]]))


@given(**problems)
def test_softened_is_scipys_softmax_of_divided_logits(seed, n, classes, temperature):
    """Oracle: scipy.special.softmax.

    Equation: eq-distill-softmax.
    """
    logits, _ = drawn(seed, n, classes)
    expected = scipy_softmax(logits.numpy() / temperature, axis=1)
    torch.testing.assert_close(soften(logits, temperature), torch.from_numpy(expected))


def test_softened_limits():
    """Oracle: T → ∞ makes classes equal, T → 0 leaves the largest."""
    logits = torch.tensor([[3.0, 1.0, 2.0]], dtype=torch.float64)
    hot, cold = soften(logits, 1e6), soften(logits, 1e-3)
    torch.testing.assert_close(hot, torch.full((1, 3), 1 / 3).double(), rtol=1e-5, atol=0)
    assert cold.tolist() == [[1, 0, 0]]


def test_temperature_keeps_the_order_and_softens():
    """Oracle: monotone in T: the order of classes stays, the entropy grows."""
    logits, _ = drawn(0, 20, 6)
    entropy = -math.inf
    for temperature in (0.5, 1, 2, 4, 8):
        p = soften(logits, temperature)
        assert (p.gather(1, logits.argsort(1)).diff(dim=1) >= 0).all()
        now = torch.special.entr(p).sum(1).mean().item()
        assert now > entropy
        entropy = now


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


@given(**problems)
def test_soft_target_loss_is_torchs_batchmean_times_t_squared(seed, n, classes, temperature):
    """Oracle: nn.KLDivLoss(reduction="batchmean")."""
    z, v = drawn(seed, n, classes)
    peer = nn.KLDivLoss(reduction="batchmean")(
        F.log_softmax(z / temperature, 1), F.softmax(v / temperature, 1)
    )
    ours = soft_target_loss(z, v, temperature=temperature)
    torch.testing.assert_close(ours, temperature**2 * peer, rtol=1e-7, atol=1e-11)
    unchecked = soft_target_loss.__wrapped__(z, v, temperature=temperature)
    assert torch.equal(unchecked, ours)


def test_soft_target_loss_is_scipys_relative_entropy():
    """Oracle: scipy.special.rel_entr of SciPy's softmax.

    Equation: eq-distill-kl.
    """
    z, v = drawn(1)
    p, q = (scipy_softmax(x.numpy() / 2, axis=1) for x in (v, z))
    expected = 4 * rel_entr(p, q).sum(axis=1).mean()
    assert soft_target_loss(z, v, temperature=2).item() == pytest.approx(expected, rel=1e-12)


def test_soft_target_loss_is_torchdistills_times_t_squared():
    """Oracle: KDLoss without labels, which leaves T² out."""
    z, v = drawn(2)
    theirs = torchdistill(KDLoss("s", "output", "t", "output", 3, alpha=0), z, v)
    torch.testing.assert_close(soft_target_loss(z, v, temperature=3), 9 * theirs)


def test_the_mean_reduction_is_n_times_too_small_and_warns():
    """Oracle: nn.KLDivLoss(reduction="mean"), which says so itself."""
    z, v = drawn(3, classes=10)
    with pytest.warns(UserWarning, match="batchmean"):
        small = nn.KLDivLoss(reduction="mean")(F.log_softmax(z, 1), F.softmax(v, 1))
    torch.testing.assert_close(soft_target_loss(z, v, temperature=1), 10 * small)


@given(**problems)
def test_soft_cross_entropy_is_torchs_and_kl_plus_the_teachers_entropy(
    seed, n, classes, temperature
):
    """Oracle: F.cross_entropy with probabilities as targets; Gibbs' decomposition.

    Equation: eq-distill-cross-entropy, eq-distill-meant.
    """
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


@given(**problems)
def test_gradient_is_t_times_q_minus_p_over_n(seed, n, classes, temperature):
    """Oracle: the closed form; that of the cross-entropy lacks T².

    Equation: eq-distill-gradient.
    """
    z, v = drawn(seed, n, classes)
    z.requires_grad_()
    expected = (soften(z, temperature) - soften(v, temperature)).detach() / n
    (of_kl,) = torch.autograd.grad(soft_target_loss(z, v, temperature=temperature), z)
    (of_ce,) = torch.autograd.grad(soft_cross_entropy(z, v, temperature=temperature), z)
    torch.testing.assert_close(of_kl, temperature * expected, rtol=1e-7, atol=1e-10)
    torch.testing.assert_close(of_ce, expected / temperature, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_finite_differences_and_the_teacher_gets_none(name):
    """Oracle: gradcheck; the teacher is held constant."""
    z, v = drawn(5)
    z.requires_grad_()
    v.requires_grad_()
    assert gradcheck(lambda student: LOSSES[name](student, v.detach()), (z,))
    loss = LOSSES[name](z, v)
    loss.backward()
    assert v.grad is None
    assert z.grad.abs().max() > 0.01
    assert loss.shape == ()


@pytest.mark.parametrize("name", LOSSES)
def test_a_constant_added_to_an_examples_logits_changes_nothing(name):
    """Oracle: the invariance of a softmax, and of centred logits."""
    z, v = drawn(6)
    shift = torch.arange(5.0, dtype=torch.float64)[:, None]
    torch.testing.assert_close(LOSSES[name](z + shift, v - 3 * shift), LOSSES[name](z, v))


@pytest.mark.parametrize("name", LOSSES)
def test_order_of_examples_and_of_classes_does_not_matter(name):
    """Oracle: symmetry of sums."""
    z, v = drawn(7)
    rows, columns = torch.tensor([3, 0, 4, 1, 2]), torch.tensor([2, 0, 3, 1])
    moved = LOSSES[name](z[rows][:, columns], v[rows][:, columns])
    torch.testing.assert_close(moved, LOSSES[name](z, v))


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_of_a_batch_is_the_mean_of_its_examples(name):
    """Oracle: example by example, so no division by the classes, and none missing by the batch."""
    z, v = drawn(8)
    each = [LOSSES[name](z[i : i + 1], v[i : i + 1]) for i in range(5)]
    torch.testing.assert_close(LOSSES[name](z, v), torch.stack(each).mean())


@given(**problems)
def test_kl_is_not_negative_zero_for_twins_and_not_symmetric(seed, n, classes, temperature):
    """Oracle: Gibbs' inequality."""
    z, v = drawn(seed, n, classes)
    assert soft_target_loss(z, v, temperature=temperature) >= -1e-12
    assert soft_target_loss(v, v, temperature=temperature).item() == 0
    assert logit_matching_loss(v, v).item() == 0


def test_swapping_student_and_teacher_gives_another_number():
    """Oracle: KL((.5, .25, .25) ‖ (.98, .01, .01)) against the reverse, on paper."""
    p, q = torch.tensor([[0.5, 0.25, 0.25]]).log(), torch.tensor([[0.98, 0.01, 0.01]]).log()
    forward = 0.5 * math.log(0.5 / 0.98) + 0.5 * math.log(25)
    reverse = 0.98 * math.log(0.98 / 0.5) + 0.02 * math.log(0.04)
    assert soft_target_loss(q, p, temperature=1).item() == pytest.approx(forward, abs=1e-5)
    assert soft_target_loss(p, q, temperature=1).item() == pytest.approx(reverse, abs=1e-5)


@pytest.mark.parametrize("spread", [1.0, 3.0])
def test_hot_soft_targets_become_logit_matching_as_one_over_t(spread):
    """Oracle: the limit, in value and gradient; ten times T, a tenth of the distance.

    Equation: eq-distill-limit.
    """
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


def test_logit_matching_is_half_the_variance_of_the_gaps():
    """Oracle: torch.var over the classes; its gradient is the centred gap over n N.

    Equation: eq-distill-matching.
    """
    z, v = drawn(10, 6, 10)
    z.requires_grad_()
    loss = logit_matching_loss(z, v)
    torch.testing.assert_close(loss, (z - v).var(dim=1, correction=0).mean() / 2)
    (gradient,) = torch.autograd.grad(loss, z)
    gap = (z - v).detach()
    torch.testing.assert_close(gradient, (gap - gap.mean(1, keepdim=True)) / 60)


@pytest.mark.parametrize("name", LOSSES)
def test_one_class_has_nothing_to_learn(name):
    """Oracle: its probability is 1 whatever the logit."""
    z, v = drawn(11, classes=1)
    assert LOSSES[name](z, v).item() == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("name", LOSSES)
def test_every_floating_type_works_and_half_precision_is_computed_in_float32(name, dtype):
    """Oracle: the loss in float64 of the rounded logits; the gradient has the student's dtype."""
    z, v = drawn(12, dtype=dtype)
    z.requires_grad_()
    loss = LOSSES[name](z, v)
    loss.backward()
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert loss.item() == pytest.approx(LOSSES[name](z.double(), v.double()).item(), rel=1e-5)
    assert z.grad.dtype == dtype
    assert soften(v, 2).dtype == dtype


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("size", [1e3, 1e15])
def test_huge_logits_stay_finite(name, size):
    """Oracle: a student that is sure of the wrong class; log q is taken without q."""
    v = torch.tensor([[size, 0.0, -size]])
    z = torch.tensor([[-size, 0.0, size]], requires_grad=True)
    loss = LOSSES[name](z, v)
    loss.backward()
    assert math.isfinite(loss.item())
    assert z.grad.isfinite().all()


def test_inputs_stay_as_they_are():
    """Oracle: copies, and the flags."""
    z, v = drawn(13)
    copies = z.clone(), v.clone()
    for loss in LOSSES.values():
        assert not loss(z, v).requires_grad
    assert torch.equal(z, copies[0])
    assert torch.equal(v, copies[1])
    assert not v.requires_grad


Z = torch.randn(3, 4)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize(
    ("student", "teacher", "error", "message"),
    [
        ([[1.0]], Z, TypeError, "student must be a torch.Tensor, got list"),
        (Z, Z > 0, TypeError, "teacher must hold floating-point"),
        (Z[0], Z[0], ValueError, r"student must be \(n, classes\), got shape \(4,\)"),
        (Z, Z[:2], ValueError, "student must have the shape of teacher"),
        (Z[:0], Z[:0], ValueError, "student must not be empty"),
        (Z * math.nan, Z, ValueError, "student must be finite, got 12 nan or inf, the first nan"),
    ],
)
def test_bad_logits_are_named(loss, student, teacher, error, message):
    """Oracle: argument, value and expectation are named."""
    with pytest.raises(error, match=message):
        loss(student, teacher)


@pytest.mark.parametrize(
    ("temperature", "error"),
    [(0, ValueError), (math.nan, ValueError), (2e6, ValueError), (True, TypeError)],
)
def test_bad_temperatures_are_named(temperature, error):
    """Oracle: the message."""
    for loss in (soft_target_loss, soft_cross_entropy):
        with pytest.raises(error, match=r"^temperature must be"):
            loss(Z, Z, temperature=temperature)
    with pytest.raises(error, match=r"^temperature must be"):
        soften(Z, temperature)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_one_value_that_is_not_finite_is_named(loss, bad, side):
    """Oracle: the message; a teacher's −∞ alone is p = 0, and leaves no trace in Σ p log q."""
    pair = [torch.tensor([[500.0, 0.0, 1.0]]), torch.tensor([[400.0, 1.0, 0.0]])]
    pair[side][0, 2] = bad
    name = ("student", "teacher")[side]
    with pytest.raises(ValueError, match=f"{name} must be finite, got 1 nan or inf, the first"):
        loss(*pair)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [1e-3, 1e-30, 5e-324])
def test_a_cold_softmax_is_the_largest_class_in_every_precision(dtype, temperature):
    """Oracle: the limit T → 0, also where 1 / T is beyond the range of the logits' type."""
    logits = torch.tensor([[1.0, 1000.0, -60_000.0], [-2.0, -5.0, -2.0]], dtype=dtype)
    expected = torch.tensor([[0, 1, 0], [0.5, 0, 0.5]], dtype=dtype)
    assert torch.equal(soften(logits, temperature), expected)


@pytest.mark.parametrize(
    "call",
    [
        lambda: soft_target_loss(Z, -Z, temperature=1e-300),
        lambda: soft_cross_entropy(Z, -Z, temperature=1e-300),
        lambda: logit_matching_loss(1e30 * Z, Z),
    ],
)
def test_a_loss_that_overflows_is_refused(call):
    """Oracle: the arguments are finite, the loss in float32 is not: no silent nan."""
    with pytest.raises(ValueError, match=r"must give a finite result, got (nan|inf)"):
        call()
