"""The article's formula and its repair against linear algebra, scikit-learn and random walks."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.gaussian_process.kernels import RBF
from sklearn.neighbors import kneighbors_graph
from sklearn.semi_supervised import LabelPropagation, LabelSpreading
from sympy import Matrix

from reference_impl.distillation import (
    cascade,
    gaussian_kernel,
    harmonic_solution,
    iterated_cascade,
    neighbour_kernel,
    propagate_labels,
    spread_labels,
    stationary_distribution,
)

WEATHER = torch.tensor([[0.9, 0.1], [0.5, 0.5]], dtype=torch.float64)
RING = torch.tensor([[0.0, 0.5, 0.0, 0.5], [0.5, 0.0, 0.5, 0.0]] * 2, dtype=torch.float64)
"""A walk on a circle of four: even and odd places in turn."""


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_kernel(seed: int, m: int = 6) -> torch.Tensor:
    return normalised(0.1 + torch.rand(m, m, generator=generator(seed), dtype=torch.float64))


def random_rows(seed: int, m: int = 6, classes: int = 3) -> torch.Tensor:
    logits = torch.randn(m, classes, generator=generator(seed + 1), dtype=torch.float64)
    return logits.softmax(1)


def normalised(f: torch.Tensor) -> torch.Tensor:
    return f / f.sum(1, keepdim=True)


def first(n: int, m: int = 6) -> torch.Tensor:
    return torch.arange(m) < n


def two_clouds(n: int = 40) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return points of two clouds, their one-hot classes, and which of them are labelled."""
    x = torch.randn(n, 2, generator=generator(0), dtype=torch.float64)
    classes = torch.arange(n) % 2
    x[:, 0] += 3 * classes
    labelled = torch.zeros(n, dtype=torch.bool)
    labelled[[0, 1, 6, 9]] = True
    return x, torch.nn.functional.one_hot(classes, 2).double(), labelled


problems = {"seed": st.integers(0, 10_000), "m": st.integers(2, 9), "n_steps": st.integers(0, 20)}


def test_kernels_by_hand():
    """Oracle: points 0, 1, 3 and σ = 1/√2, so that w = exp(−d²); of equally far ones the first."""
    x = torch.tensor([[0.0], [1.0], [3.0]])
    weights = torch.tensor([[0, 1, 9], [1, 0, 4], [9, 4, 0]]).neg().exp()
    torch.testing.assert_close(gaussian_kernel(x, width=0.5**0.5), normalised(weights))
    nearest = [[0, 1, 0], [0.5, 0, 0.5], [0, 1, 0]]
    assert neighbour_kernel(x, neighbours=1).tolist() == nearest
    alike = neighbour_kernel(torch.ones(4, 2), neighbours=1)
    assert alike.diag().tolist() == [0, 0, 0, 0]
    assert alike[1:].tolist() == [[1, 0, 0, 0]] * 3


@given(seed=st.integers(0, 1000), width=st.floats(0.1, 10), neighbours=st.integers(1, 6))
def test_kernels_are_scikit_learns_with_rows_divided(seed, width, neighbours):
    """Oracle: its RBF kernel, and its kneighbors_graph with an edge in either direction."""
    x = torch.randn(7, 2, 3, generator=generator(seed), dtype=torch.float64)
    rows = x.flatten(1).numpy()
    expected = normalised(torch.from_numpy(RBF(width)(rows)))
    torch.testing.assert_close(gaussian_kernel(x, width=width), expected)
    graph = torch.from_numpy(kneighbors_graph(rows, neighbours).toarray())
    expected = normalised(torch.maximum(graph, graph.T))
    torch.testing.assert_close(neighbour_kernel(x, neighbours=neighbours), expected)


def test_cascade_by_hand():
    """Oracle: total probability of two stages on paper; the second may have another size."""
    kernel = torch.tensor([[0.75, 0.25, 0.0], [0.0, 0.5, 0.5]])
    f = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    assert cascade(kernel, f).tolist() == [[0.75, 0.25], [0.25, 0.75]]


@pytest.mark.equation("eq-distill-article")
def test_cascade_is_what_sampling_in_two_stages_gives():
    """Oracle: 200,000 draws of x', then of y, within 6 standard errors."""
    kernel, f = random_kernel(2), random_rows(2)
    draws = generator(3)
    inner = torch.multinomial(kernel[:1], 200_000, replacement=True, generator=draws)[0]
    y = torch.multinomial(f[inner], 1, generator=draws)[:, 0]
    measured = y.bincount(minlength=3) / len(y)
    assert (measured - cascade(kernel, f)[0]).abs().max() < 6 * 0.5 / math.sqrt(200_000)


@given(**problems)
def test_rows_stay_distributions(seed, m, n_steps):
    """Oracle: a stochastic matrix keeps sums, signs and range."""
    kernel, f = random_kernel(seed, m), random_rows(seed, m)
    for result in (
        iterated_cascade(kernel, f, n_steps),
        propagate_labels(kernel, f, first(1, m), n_steps),
        harmonic_solution(kernel, f, first(1, m)),
    ):
        torch.testing.assert_close(result.sum(1), torch.ones(m).double())
        assert result.min() >= -1e-12
        assert (result.max(0).values <= f.max(0).values + 1e-12).all()


@given(**problems)
def test_iterating_is_the_matrix_power(seed, m, n_steps):
    """Oracle: numpy.linalg.matrix_power; no step changes nothing."""
    kernel, f = random_kernel(seed, m), random_rows(seed, m)
    expected = np.linalg.matrix_power(kernel.numpy(), n_steps) @ f.numpy()
    torch.testing.assert_close(iterated_cascade(kernel, f, n_steps), torch.from_numpy(expected))


@given(seed=st.integers(0, 1000), m=st.integers(2, 9))
def test_constant_predictors_and_no_others_are_fixed_points(seed, m):
    """Oracle: K 1 = 1; the null space of I − K, by SVD, is spanned by (1, …, 1)."""
    kernel, constant = random_kernel(seed, m), random_rows(seed, 1).expand(m, 3)
    torch.testing.assert_close(cascade(kernel, constant), constant)
    values, vectors = torch.linalg.svd(torch.eye(m) - kernel)[1:]
    assert (values > 1e-9).sum() == m - 1
    torch.testing.assert_close(vectors[-1].abs(), torch.full((m,), m**-0.5).double())


@pytest.mark.equation("eq-distill-collapse")
@given(seed=st.integers(0, 1000), m=st.integers(1, 9))
def test_every_row_tends_to_the_stationary_mean(seed, m):
    """Oracle: πᵀ f with π an eigenvector of Kᵀ, by NumPy."""
    kernel, f = random_kernel(seed, m), random_rows(seed, m)
    values, vectors = np.linalg.eig(kernel.numpy().T)
    pi = vectors[:, np.argmax(values.real)].real
    pi = torch.from_numpy(pi / pi.sum())
    torch.testing.assert_close(stationary_distribution(kernel), pi)
    expected = (pi @ f).expand(m, 3)
    torch.testing.assert_close(iterated_cascade(kernel, f, 500), expected)


def test_stationary_distributions_by_hand():
    """Oracle: 0.9 a + 0.5 b = a; a walk that stays at 1; detailed balance, π_i ∝ Σ_j w_ij."""
    pi = stationary_distribution(WEATHER)
    torch.testing.assert_close(pi, torch.tensor([5 / 6, 1 / 6]).double())
    left = torch.tensor([[0.5, 0.5], [0.0, 1.0]])
    torch.testing.assert_close(stationary_distribution(left), torch.tensor([0.0, 1.0]))
    x = two_clouds()[0]
    degrees = torch.from_numpy(RBF(1.0)(x.numpy())).sum(1)
    pi = stationary_distribution(gaussian_kernel(x, width=1.0))
    torch.testing.assert_close(pi, degrees / degrees.sum())


def test_a_periodic_kernel_oscillates_and_does_not_converge():
    """Oracle: on a ring of four, even places see the odd ones' mean and the reverse; π is even."""
    f = torch.tensor([1.0, 0.0, 1.0, 0.0], dtype=torch.float64)[:, None]
    assert torch.equal(iterated_cascade(RING, f, 7), 1 - f)
    assert torch.equal(iterated_cascade(RING, f, 8), f)
    torch.testing.assert_close(stationary_distribution(RING), torch.full((4,), 0.25).double())


def test_harmonic_solution_by_hand():
    """Oracle: a walk on 0 … 4 between two labelled ends stops at the right one from i in i/4."""
    kernel = torch.zeros(5, 5)
    kernel[0, 0] = kernel[4, 4] = 1
    for i in (1, 2, 3):
        kernel[i, i - 1] = kernel[i, i + 1] = 0.5
    f = torch.tensor([[1.0, 0.0], *[[0.5, 0.5]] * 3, [0.0, 1.0]])
    labelled = torch.tensor([True, False, False, False, True])
    found = harmonic_solution(kernel, f, labelled)
    torch.testing.assert_close(found[:, 1], torch.tensor([0, 0.25, 0.5, 0.75, 1]))


@given(seed=st.integers(0, 1000), m=st.integers(2, 9))
def test_long_clamped_iteration_is_the_linear_solve(seed, m):
    """Oracle: numpy.linalg.solve of (I − K_uu) f_u = K_ul f_l, and 600 clamped steps."""
    kernel, f = random_kernel(seed, m), random_rows(seed, m)
    n_labelled = 1 + seed % (m - 1) if m > 2 else 1
    labelled = first(n_labelled, m)
    found = harmonic_solution(kernel, f, labelled)
    k, rows = kernel.numpy(), f.numpy()
    u, n = slice(n_labelled, None), slice(n_labelled)
    expected = np.linalg.solve(np.eye(m - n_labelled) - k[u, u], k[u, n] @ rows[n])
    torch.testing.assert_close(found[u], torch.from_numpy(expected))
    assert torch.equal(found[labelled], f[labelled])
    torch.testing.assert_close(propagate_labels(kernel, f, labelled, 600), found)


def test_what_unlabelled_rows_hold_at_first_does_not_matter_in_the_end():
    """Oracle: two starts."""
    kernel, f, labelled = random_kernel(4), random_rows(4), first(2)
    other = torch.where(labelled[:, None], f, random_rows(99))
    assert torch.equal(
        harmonic_solution(kernel, f, labelled), harmonic_solution(kernel, other, labelled)
    )
    torch.testing.assert_close(
        propagate_labels(kernel, f, labelled, 600), propagate_labels(kernel, other, labelled, 600)
    )
    assert not torch.allclose(cascade(kernel, f), cascade(kernel, other))


def test_one_step_keeps_the_labels_and_averages_the_others():
    """Oracle: K f by hand, with the first row put back; all labelled leave nothing to do."""
    f, one = torch.eye(2, dtype=torch.float64), torch.tensor([True, False])
    found = propagate_labels(WEATHER, f, one, 1)
    torch.testing.assert_close(found, torch.tensor([[1, 0], [0.5, 0.5]]).double())
    assert torch.equal(propagate_labels(WEATHER, f, one, 0), f)
    assert torch.equal(harmonic_solution(WEATHER, f, ~one | one), f)
    torch.testing.assert_close(spread_labels(WEATHER, f, ~one | one, spread=0), f)


def scikit(model, x: torch.Tensor, f: torch.Tensor, labelled: torch.Tensor) -> torch.Tensor:
    """Return what a model of scikit-learn finds; its warnings are errors here."""
    known = np.where(labelled.numpy(), f.argmax(1).numpy(), -1)
    return torch.from_numpy(model.fit(x.numpy(), known).label_distributions_)


@pytest.mark.equation("eq-distill-harmonic")
@pytest.mark.parametrize("width", [0.5, 2.0, None])
def test_harmonic_solution_is_scikit_learns_label_propagation(width):
    """Oracle: LabelPropagation with γ = 1/(2σ²), or 1/(1 + d): symmetry excuses its columns."""
    x, f, labelled = two_clouds()
    far = {"max_iter": 100_000, "tol": 1e-12}
    if width is None:
        weights = 1 / (1 + torch.cdist(x, x))
        kernel = normalised(weights)
        peer = LabelPropagation(kernel=lambda *_: weights.numpy().copy(), **far)
    else:
        kernel = gaussian_kernel(x, width=width)
        peer = LabelPropagation(gamma=1 / (2 * width**2), **far)
    ours, expected = harmonic_solution(kernel, f, labelled), scikit(peer, x, f, labelled)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-7)
    chosen = expected.gather(1, ours.argmax(1, keepdim=True)).squeeze(1)
    torch.testing.assert_close(chosen, expected.amax(1), rtol=1e-5, atol=1e-7)


def exact_chain(m: int, seed: int) -> tuple[torch.Tensor, list[list[Fraction]]]:
    """Return a kernel with shares down to 2⁻⁸⁰, most of them to stay, and its exact jumps."""
    powers = -8 * torch.randint(1, 11, (m, m), generator=generator(seed))
    weights = (2.0 ** powers.double()).fill_diagonal_(0)
    kernel = weights + torch.diag(1 - weights.sum(1))
    return kernel, [[Fraction(w) for w in row] for row in weights.tolist()]


def exact_solve(left: list[list[Fraction]], right: list[Fraction]) -> torch.Tensor:
    solution = Matrix(left).LUsolve(Matrix(right))
    return torch.tensor([float(one) for one in solution], dtype=torch.float64)


@given(seed=st.integers(0, 1000), m=st.integers(2, 6))
def test_inputs_that_are_hardly_ever_left_lose_no_digits(seed, m):
    """Oracle: SymPy's rational numbers; I − K in float64 has lost what is below 2⁻⁵³."""
    kernel, jumps = exact_chain(m, seed)
    laplacian = [[sum(jumps[i]) if i == j else -jumps[i][j] for j in range(m)] for i in range(m)]
    transposed = [list(column) for column in zip(*laplacian, strict=True)]
    expected = exact_solve([*transposed[:-1], [1] * m], [0] * (m - 1) + [1])
    torch.testing.assert_close(stationary_distribution(kernel), expected, rtol=1e-12, atol=0)
    known = min(2, m - 1)
    expected = exact_solve(
        [row[known:] for row in laplacian[known:]], [r[0] for r in jumps[known:]]
    )
    found = harmonic_solution(kernel, torch.eye(m).double()[:, :2], first(known, m))[known:, 0]
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("width", [0.3, 0.6, 1.5])
def test_narrow_kernels_in_float32_keep_to_what_float64_finds(width):
    """Oracle: float64, and π as the share of a symmetric weight's row sum."""
    x, f, labelled = two_clouds()
    rough = gaussian_kernel(x.float(), width=width)
    found = harmonic_solution(rough, f.float(), labelled)
    expected = harmonic_solution(gaussian_kernel(x, width=width), f, labelled)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(found.sum(1), torch.ones(40), rtol=0, atol=1e-6)
    sums = torch.from_numpy(RBF(width)(x.numpy())).sum(1)
    pi = stationary_distribution(rough).double()
    torch.testing.assert_close(pi, sums / sums.sum(), rtol=1e-4, atol=0)


def test_rows_that_sum_to_one_within_the_tolerance_give_no_negative_share():
    """Oracle: by symmetry one half each; I − a K of the rows as they are has a negative inverse."""
    kernel = torch.tensor([[0.5, 0.500009], [0.500009, 0.5]], dtype=torch.float64)
    f = torch.eye(2, dtype=torch.float64)
    found = spread_labels(kernel, f, first(2, 2), spread=1 - 1e-6)
    torch.testing.assert_close(found, torch.full_like(f, 0.5), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_width_and_inputs_of_any_size_give_the_same_kernel(dtype):
    """Oracle: a kernel knows only ‖x_i − x_j‖ / σ; rows sum to 1 however narrow or wide it is."""
    x = torch.tensor([[0.0, 1.0], [0.5, 0.25], [2.0, 1.0]], dtype=dtype)
    expected, nearest = gaussian_kernel(x, width=0.5), neighbour_kernel(x, neighbours=1)
    for size in (2.0**-12, 2.0**12) if dtype == torch.float16 else (2.0**-100, 2.0**100):
        torch.testing.assert_close(gaussian_kernel(size * x, width=size * 0.5), expected)
        assert torch.equal(neighbour_kernel(size * x, neighbours=1), nearest)
    one = torch.eye(3, dtype=expected.dtype)
    for width, limit in ((1e-200, one), (1e-3, one), (1e200, torch.full_like(one, 1 / 3))):
        torch.testing.assert_close(gaussian_kernel(x, width=width), limit)
    sums = gaussian_kernel(x, width=1.0).double().sum(1)
    torch.testing.assert_close(sums, torch.ones_like(sums), rtol=0, atol=1e-5)


def scikit_spread(weights: torch.Tensor, f: torch.Tensor, labelled: torch.Tensor) -> torch.Tensor:
    peer = LabelSpreading(
        kernel=lambda *_: weights.numpy().copy(), alpha=0.8, max_iter=100_000, tol=1e-13
    )
    return scikit(peer, torch.arange(len(weights))[:, None], f, labelled)


def test_spread_labels_is_scikit_learns_label_spreading_where_all_row_sums_are_equal():
    """Oracle: LabelSpreading on a ring of weights without a diagonal; rows are divided at last."""
    place = torch.arange(9)
    gap = (place[:, None] - place[None]).abs()
    weights = torch.exp(-torch.minimum(gap, 9 - gap).double()).fill_diagonal_(0)
    f, labelled = torch.nn.functional.one_hot(place % 3, 3).double(), first(4, 9)
    ours = spread_labels(normalised(weights), f, labelled, spread=0.8)
    expected = scikit_spread(weights, f, labelled)
    torch.testing.assert_close(normalised(ours), expected, rtol=1e-6, atol=1e-9)


def test_elsewhere_label_spreading_weighs_each_label_by_the_root_of_its_row_sum():
    """Oracle: LabelSpreading; D^(−1/2) W D^(−1/2) is D^(1/2) K D^(−1/2)."""
    x, f, labelled = two_clouds()
    weights = torch.from_numpy(RBF(1.0)(x.numpy())).fill_diagonal_(0)
    expected = scikit_spread(weights, f, labelled)
    plain = spread_labels(normalised(weights), f, labelled, spread=0.8)
    assert (normalised(plain) - expected).abs().max() > 0.01
    root = weights.sum(1, keepdim=True).sqrt()
    weighed = spread_labels(normalised(weights), f / root, labelled, spread=0.8)
    torch.testing.assert_close(normalised(weighed), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.equation("eq-distill-spread")
@given(seed=st.integers(0, 1000), m=st.integers(2, 9), a=st.floats(0, 0.95))
def test_spread_labels_is_the_fixed_point_of_the_soft_clamp(seed, m, a):
    """Oracle: 600 steps of f ← a K f + (1 − a) y."""
    kernel, f, labelled = random_kernel(seed, m), random_rows(seed, m), first(1, m)
    y = f * labelled[:, None]
    g = y
    for _ in range(600):
        g = a * kernel @ g + (1 - a) * y
    torch.testing.assert_close(spread_labels(kernel, f, labelled, spread=a), g)


def test_float32_agrees_with_float64_and_nothing_that_is_given_changes():
    """Oracle: the same in float64; copies."""
    kernel, f, labelled = random_kernel(7), random_rows(7), first(2)
    before = kernel.clone(), f.clone(), labelled.clone()
    for call in (
        lambda k, rows: harmonic_solution(k, rows, labelled),
        lambda k, rows: propagate_labels(k, rows, labelled, 9),
        lambda k, rows: spread_labels(k, rows, labelled, spread=0.5),
        lambda k, rows: iterated_cascade(k, rows, 9),
        lambda k, _: stationary_distribution(k),
    ):
        found = call(kernel.float(), f.float())
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), call(kernel, f), rtol=1e-5, atol=1e-6)
    assert all(torch.equal(a, b) for a, b in zip(before, (kernel, f, labelled), strict=True))


K, ROWS, L = random_kernel(0), random_rows(0), first(2)
ISLANDS = torch.block_diag(K, K)


def test_islands_that_each_have_a_label_are_solved():
    """Oracle: each island by itself."""
    f = random_rows(0, 12)
    labelled = torch.cat([L, L])
    found = harmonic_solution(ISLANDS, f, labelled)
    torch.testing.assert_close(found[:6], harmonic_solution(K, f[:6], L))
    torch.testing.assert_close(found[6:], harmonic_solution(K, f[6:], L))
