"""The article's formula and its repair against linear algebra, scikit-learn and random walks."""

import math
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import torch
from draws import generator, normal
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

RING = torch.tensor([[0.0, 0.5, 0.0, 0.5], [0.5, 0.0, 0.5, 0.0]] * 2, dtype=torch.float64)
"""A walk on a circle of four: even and odd places in turn."""

double = partial(normal, dtype=torch.float64)
sizes = {"seed": st.integers(0, 1000), "m": st.integers(1, 9)}


def normalized(f):
    return f / f.sum(1, keepdim=True)


def random_kernel(seed, m=6):
    return normalized(0.1 + torch.rand(m, m, generator=generator(seed), dtype=torch.float64))


def random_rows(seed, m=6):
    return double(m, 3, seed=seed + 1).softmax(1)


def first(n, m=6):
    return torch.arange(m) < n


def two_clouds():
    """Return 40 points of two clouds, their one-hot classes, and which of them are labelled."""
    x, classes = double(40, 2), torch.arange(40) % 2
    x[:, 0] += 3 * classes
    labelled = torch.isin(torch.arange(40), torch.tensor([0, 1, 6, 9]))
    return x, torch.eye(2).double()[classes], labelled


def test_of_equally_far_neighbours_the_first_is_taken_and_no_input_is_its_own():
    """Oracle: by hand: four equal points; each of the others has the first, which has all."""
    expected = [[0, 1 / 3, 1 / 3, 1 / 3], *[[1, 0, 0, 0]] * 3]
    torch.testing.assert_close(
        neighbour_kernel(torch.ones(4, 2), neighbours=1), torch.tensor(expected)
    )


@given(seed=st.integers(0, 1000), width=st.floats(0.1, 10), neighbours=st.integers(1, 6))
def test_kernels_are_scikit_learns_with_rows_divided(seed, width, neighbours):
    """Oracle: its RBF kernel, and its kneighbors_graph with an edge in either direction."""
    x = double(7, 2, 3, seed=seed)
    rows = x.flatten(1).numpy()
    expected = normalized(torch.from_numpy(RBF(width)(rows)))
    torch.testing.assert_close(gaussian_kernel(x, width=width), expected)
    graph = torch.from_numpy(kneighbors_graph(rows, neighbours).toarray())
    expected = normalized(torch.maximum(graph, graph.T))
    torch.testing.assert_close(neighbour_kernel(x, neighbours=neighbours), expected)


@pytest.mark.equation("eq-distill-article")
def test_cascade_is_what_sampling_in_two_stages_gives():
    """Oracle: 200,000 draws of x', then of y, within 6 standard errors; K need not be square."""
    kernel, f, draws = random_kernel(2)[:1], random_rows(2), generator(3)
    inner = torch.multinomial(kernel, 200_000, replacement=True, generator=draws)[0]
    y = torch.multinomial(f[inner], 1, generator=draws)[:, 0]
    measured = y.bincount(minlength=3) / len(y)
    assert (measured - cascade(kernel, f)).abs().max() < 6 * 0.5 / math.sqrt(200_000)


@given(**sizes, n_steps=st.integers(0, 20), n_labelled=st.integers(1, 9))
def test_steps_are_matrix_powers_and_rows_stay_distributions(seed, m, n_steps, n_labelled):
    """Oracle: numpy.linalg.matrix_power, with K's labelled rows those of the unit matrix."""
    kernel, f, labelled = random_kernel(seed, m), random_rows(seed, m), first(n_labelled, m)
    held = torch.where(labelled[:, None], torch.eye(m), kernel)
    for found, matrix in (
        (iterated_cascade(kernel, f, n_steps), kernel),
        (propagate_labels(kernel, f, labelled, n_steps), held),
    ):
        expected = np.linalg.matrix_power(matrix.numpy(), n_steps) @ f.numpy()
        torch.testing.assert_close(found, torch.from_numpy(expected))
        torch.testing.assert_close(found.sum(1), torch.ones(m).double())
        assert found.min() >= -1e-12
        assert (found.max(0).values <= f.max(0).values + 1e-12).all()


@pytest.mark.equation("eq-distill-collapse")
@given(**sizes)
def test_every_row_tends_to_the_stationary_mean(seed, m):
    """Oracle: πᵀ f with π an eigenvector of Kᵀ, by NumPy."""
    kernel, f = random_kernel(seed, m), random_rows(seed, m)
    values, vectors = np.linalg.eig(kernel.numpy().T)
    pi = vectors[:, np.argmax(values.real)].real
    pi = torch.from_numpy(pi / pi.sum())
    torch.testing.assert_close(stationary_distribution(kernel), pi)
    expected = (pi @ f).expand(m, 3)
    torch.testing.assert_close(iterated_cascade(kernel, f, 500), expected)


def test_a_walk_that_stays_at_an_input_spends_all_its_time_there():
    """Oracle: by hand; inputs that are left for good have the share 0."""
    left = torch.tensor([[0.5, 0.5], [0.0, 1.0]])
    torch.testing.assert_close(stationary_distribution(left), torch.tensor([0.0, 1.0]))


def test_a_periodic_kernel_oscillates_and_does_not_converge():
    """Oracle: on a ring of four, even places see the odd ones' mean and the reverse; π is even."""
    f = torch.tensor([1.0, 0.0, 1.0, 0.0], dtype=torch.float64)[:, None]
    assert torch.equal(iterated_cascade(RING, f, 7), 1 - f)
    assert torch.equal(iterated_cascade(RING, f, 8), f)
    torch.testing.assert_close(stationary_distribution(RING), torch.full((4,), 0.25).double())


@given(**sizes, n=st.integers(1, 9))
def test_long_clamped_iteration_is_the_linear_solve(seed, m, n):
    """Oracle: numpy.linalg.solve of (I − K_uu) f_u = K_ul f_l, and 600 clamped steps."""
    kernel, f, labelled = random_kernel(seed, m), random_rows(seed, m), first(n, m)
    found, k = harmonic_solution(kernel, f, labelled), kernel.numpy()
    expected = np.linalg.solve(np.eye(m)[n:, n:] - k[n:, n:], k[n:, :n] @ f.numpy()[:n])
    torch.testing.assert_close(found[n:], torch.from_numpy(expected))
    assert torch.equal(found[:n], f[:n])
    torch.testing.assert_close(propagate_labels(kernel, f, labelled, 600), found)


def scikit(model, x, f, labelled):
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
        kernel = normalized(weights)
        peer = LabelPropagation(kernel=lambda *_: weights.numpy().copy(), **far)
    else:
        kernel = gaussian_kernel(x, width=width)
        peer = LabelPropagation(gamma=1 / (2 * width**2), **far)
    ours, expected = harmonic_solution(kernel, f, labelled), scikit(peer, x, f, labelled)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-7)
    chosen = expected.gather(1, ours.argmax(1, keepdim=True)).squeeze(1)
    torch.testing.assert_close(chosen, expected.amax(1), rtol=1e-5, atol=1e-7)


def exact_solve(left, right):
    solution = Matrix(left).LUsolve(Matrix(right))
    return torch.tensor([float(one) for one in solution], dtype=torch.float64)


@given(seed=st.integers(0, 1000), m=st.integers(2, 6))
def test_inputs_that_are_hardly_ever_left_lose_no_digits(seed, m):
    """Oracle: SymPy's rational numbers; I − K in float64 has lost what is below 2⁻⁵³."""
    powers = -8 * torch.randint(1, 11, (m, m), generator=generator(seed))  # down to 2⁻⁸⁰
    weights = (2.0 ** powers.double()).fill_diagonal_(0)
    kernel = weights + torch.diag(1 - weights.sum(1))  # most of it is to stay
    jumps = [[Fraction(w) for w in row] for row in weights.tolist()]
    laplacian = [[sum(jumps[i]) if i == j else -jumps[i][j] for j in range(m)] for i in range(m)]
    transposed = [list(column) for column in zip(*laplacian, strict=True)]
    expected = exact_solve([*transposed[:-1], [1] * m], [0] * (m - 1) + [1])
    torch.testing.assert_close(stationary_distribution(kernel), expected, rtol=1e-12, atol=0)
    known = min(2, m - 1)
    left, right = [row[known:] for row in laplacian[known:]], [row[0] for row in jumps[known:]]
    expected = exact_solve(left, right)
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


def test_label_spreading_weighs_each_label_by_the_root_of_its_row_sum():
    """Oracle: scikit-learn's LabelSpreading; D^(−1/2) W D^(−1/2) is D^(1/2) K D^(−1/2)."""
    x, f, labelled = two_clouds()
    weights = torch.from_numpy(RBF(1.0)(x.numpy())).fill_diagonal_(0)
    kernel = {"kernel": lambda *_: weights.numpy().copy()}
    peer = LabelSpreading(**kernel, alpha=0.8, max_iter=100_000, tol=1e-13)
    expected = scikit(peer, x, f, labelled)
    plain = spread_labels(normalized(weights), f, labelled, spread=0.8)
    assert (normalized(plain) - expected).abs().max() > 0.01
    weighed = f / weights.sum(1, keepdim=True).sqrt()
    found = spread_labels(normalized(weights), weighed, labelled, spread=0.8)
    torch.testing.assert_close(normalized(found), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.equation("eq-distill-spread")
@given(**sizes, n_labelled=st.integers(1, 9), a=st.floats(0, 0.95))
def test_spread_labels_is_the_fixed_point_of_the_soft_clamp(seed, m, n_labelled, a):
    """Oracle: 600 steps of f ← a K f + (1 − a) y."""
    kernel, f, labelled = random_kernel(seed, m), random_rows(seed, m), first(n_labelled, m)
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


def test_islands_that_each_have_a_label_are_solved():
    """Oracle: each island by itself."""
    kernel, f, labelled = random_kernel(0), random_rows(0, 12), first(2)
    islands = torch.block_diag(kernel, kernel)
    found = harmonic_solution(islands, f, torch.cat([labelled, labelled]))
    alone = [harmonic_solution(kernel, part, labelled) for part in f.split(6)]
    torch.testing.assert_close(found, torch.cat(alone))
