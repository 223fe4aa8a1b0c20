"""The contrastive loss against hand values, and its bound on Gaussians of known information."""

import math

import pytest
import torch
import torch.nn.functional as F
from draws import generator, normal
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from reference_impl.distillation import contrastive_loss, information_bound, pair_scores

DOUBLE = torch.float64


def gaussians(rho, n, seed, d=1):
    """Return f and g, d pairs of coordinates with correlation ρ: I = −½ d log(1 − ρ²)."""
    f, noise = torch.randn(2, n, d, generator=generator(seed), dtype=DOUBLE)
    return f, rho * f + math.sqrt(1 - rho**2) * noise


def log_ratio(f, g, rho):
    """Return log p(f, g) / (p(f) p(g)) of every pair, from the densities."""
    squares = f.square().sum(1)[:, None] + g.square().sum(1)
    exponent = (2 * rho * f @ g.T - rho**2 * squares) / (2 * (1 - rho**2))
    return exponent + information(rho, f.shape[1])


def information(rho, d=1):
    return -0.5 * d * math.log(1 - rho**2)


def bounds(rho, n, d=1, runs=200, change=1.0):
    pairs = [gaussians(rho, n, seed, d) for seed in range(runs)]
    return torch.stack([information_bound(change * log_ratio(f, g, rho)) for f, g in pairs])


def surely_below(values, limit):
    """Whether the mean of independent values lies below a limit, up to four standard errors."""
    return bool(values.mean() < limit + 4 * values.std() / len(values) ** 0.5)


def test_scores_are_the_matrix_of_cosine_similarities():
    """Oracle: ``F.cosine_similarity``, divided by τ, which is 0.1 if none is given."""
    f, g = gaussians(0.5, 5, 0, d=3)
    cosines = F.cosine_similarity(f[:, None], g[None], dim=2)
    torch.testing.assert_close(pair_scores(7 * f, g), cosines / 0.1)
    torch.testing.assert_close(pair_scores(7 * f, g, temperature=0.2), cosines / 0.2)


@pytest.mark.equation("eq-relation-contrast", "eq-relation-posterior")
@given(seed=st.integers(0, 1000), n=st.integers(2, 8))
def test_loss_is_that_of_a_classifier_of_pairs(seed, n):
    """Oracle: binary cross-entropy of the odds e^s/N, its sum over all pairs divided by n."""
    scores = 3 * normal(n, n, seed=seed, dtype=DOUBLE)
    odds, belong = scores - math.log(n - 1), torch.eye(n, dtype=DOUBLE)
    summed = F.binary_cross_entropy_with_logits(odds, belong, reduction="sum")
    torch.testing.assert_close(contrastive_loss(scores), summed / n)


@given(seed=st.integers(0, 1000), n=st.integers(2, 8), size=st.sampled_from([1.0, 30.0, 1e4]))
def test_the_bound_never_exceeds_log_n_which_perfect_scores_reach(seed, n, size):
    """Oracle: −log of probabilities is not negative; s = 0: log N − log(N + 1) − N log((N+1)/N)."""
    scores = size * normal(n, n, seed=seed, dtype=DOUBLE)
    others = n - 1
    assert information_bound(scores) <= math.log(others)
    perfect = torch.full((n, n), -100.0).fill_diagonal_(100.0)
    assert information_bound(perfect).item() == pytest.approx(math.log(others))
    unknowing = math.log(others / n) - others * math.log(n / others)
    assert information_bound(torch.zeros(n, n)).item() == pytest.approx(unknowing, rel=1e-4)


@pytest.mark.equation("eq-relation-bound", "eq-relation-nat")
@pytest.mark.parametrize(("rho", "n"), [(0.0, 64), (0.5, 64), (0.9, 16), (0.9, 256), (0.99, 64)])
def test_with_the_best_scores_the_bound_lies_a_nat_below_the_information(rho, n):
    """Oracle: −½ log(1 − ρ²) of Gaussians; the best score is the logarithm of densities' ratio.

    At ρ = 0.5 little more than one nat is missing.
    """
    values = bounds(rho, n)
    assert surely_below(values, min(information(rho) - 1, math.log(n - 1)))
    if rho == 0.5:
        assert values.mean() > information(rho) - 1.02


@pytest.mark.parametrize("others", [1, 3, 100, 10**6])
@pytest.mark.parametrize("seed", range(3))
def test_a_nat_is_missing_whatever_the_batch(seed, others):
    """Oracle: exact sums over two discrete features; other scores do worse, the best tend to it."""
    draws = generator(seed)
    joint = torch.rand(4, 5, generator=draws, dtype=DOUBLE) ** 3
    joint /= joint.sum()
    apart = joint.sum(1, keepdim=True) * joint.sum(0)
    best = (joint / apart).log()
    told = (joint * best).sum()

    def bound(s):
        odds = s - math.log(others)
        same, different = (joint * F.logsigmoid(odds)).sum(), (apart * F.logsigmoid(-odds)).sum()
        return math.log(others) + same + others * different

    assert bound(best) <= told - 1
    assert bound(best + torch.randn(4, 5, generator=draws, dtype=DOUBLE)) < bound(best)
    if others == 10**6:
        assert bound(best).item() == pytest.approx(told.item() - 1, abs=1e-4)


@pytest.mark.equation("eq-relation-gaussian")
@pytest.mark.parametrize("change", [0.25, 0.5, 2.0, 4.0, -1.0])
def test_no_multiple_of_the_best_scores_is_better(change):
    """Oracle: h at the best scores is the posterior, which no other probability beats."""
    best, other = bounds(0.8, 64), bounds(0.8, 64, change=change)
    assert surely_below(other - best, 0)
    assert other.mean() < best.mean()


def test_a_larger_batch_sees_more_of_a_large_information():
    """Oracle: I = 8.07 nats, log N = 1.95, 3.43 and 5.54."""
    found = [bounds(0.98, n, d=5, runs=20).mean() for n in (8, 32, 256)]
    assert information(0.98, d=5) == pytest.approx(8.07, abs=0.01)
    assert found[0] < found[1] < found[2]
    for value, n in zip(found, (8, 32, 256), strict=True):
        assert value < math.log(n - 1)


def test_learned_scores_approach_the_best_ones_from_below():
    """Oracle: the best scores; quadratic scores a fg − b (f² + g²) + c contain them."""
    rho, n = 0.9, 128
    parameters = torch.zeros(3, dtype=DOUBLE, requires_grad=True)
    optimizer = torch.optim.Adam([parameters], lr=0.05)

    def scores(f, g):
        a, b, c = parameters
        return a * f @ g.T - b * (f.square() + g.square().T) + c

    for seed in range(400):
        loss = contrastive_loss(scores(*gaussians(rho, n, 1000 + seed)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        drawn = [gaussians(rho, n, seed) for seed in range(200)]
        learned = torch.stack([information_bound(scores(*pair)) for pair in drawn])
    best = bounds(rho, n)
    assert surely_below(learned - best, 0)
    assert learned.mean() > best.mean() - 0.05
    assert learned.mean() < information(rho)


def test_infonce_bounds_more_tightly_here():
    """Oracle: log n − cross-entropy of the row, also below I and log n, with the same scores."""
    rho, n = 0.9, 64
    pairs = [gaussians(rho, n, seed) for seed in range(200)]
    scores = [log_ratio(f, g, rho) for f, g in pairs]
    infonce = torch.stack([math.log(n) - F.cross_entropy(s, torch.arange(n)) for s in scores])
    ours = torch.stack([information_bound(s) for s in scores])
    assert surely_below(infonce, information(rho))
    assert surely_below(ours - infonce, 0)


def test_half_precision_is_computed_in_32_bits():
    """Oracle: the same scores in 64 bits; features of two precisions meet in the wider one."""
    scores = (10 * normal(64, 64)).half()
    found = contrastive_loss(scores)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(contrastive_loss(scores.double()).item(), rel=1e-5)
    f, g = gaussians(0.5, 5, 0, d=3)
    expected = pair_scores(f.float().double(), g)
    torch.testing.assert_close(pair_scores(f.float(), g), expected, rtol=1e-5, atol=1e-5)


def test_gradient_reaches_both_adapters():
    """Oracle: finite differences; unlike the other losses the teacher's side learns, too."""
    f, g = (x.requires_grad_() for x in gaussians(0.5, 4, 0, d=3))
    assert gradcheck(lambda *both: contrastive_loss(pair_scores(*both)), (f, g))


def test_silent_features_and_huge_scores_have_finite_values_and_gradients():
    """Oracle: a vector of length 0 has no direction; −log h is −s where the wrong ones cost 10⁴."""
    f = torch.zeros(3, 2, requires_grad=True)
    scores = pair_scores(f, torch.eye(3)[:, :2])
    contrastive_loss(scores).backward()
    assert torch.equal(scores, torch.zeros(3, 3))
    assert torch.equal(f.grad, torch.zeros(3, 2))
    scores = torch.tensor([[-1e4, 1e4], [1e4, -1e4]], requires_grad=True)
    loss = contrastive_loss(scores)
    loss.backward()
    assert loss.item() == pytest.approx(2e4)
    assert scores.grad.tolist() == [[-0.5, 0.5], [0.5, -0.5]]
