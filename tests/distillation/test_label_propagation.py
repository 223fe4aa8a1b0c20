"""The article's formula and its repair against linear algebra, scikit-learn and random walks."""

import math
import warnings
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
    weights = 0.1 + torch.rand(m, m, generator=generator(seed), dtype=torch.float64)
    return weights / weights.sum(1, keepdim=True)


def random_rows(seed: int, m: int = 6, classes: int = 3) -> torch.Tensor:
    logits = torch.randn(m, classes, generator=generator(seed + 1), dtype=torch.float64)
    return logits.softmax(1)


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


def test_gaussian_kernel_by_hand():
    """Oracle: points 0, 1, 3 and σ = 1/√2, so that w = exp(−d²)."""
    kernel = gaussian_kernel(torch.tensor([[0.0], [1.0], [3.0]]), width=0.5**0.5)
    weights = torch.tensor([[0, 1, 9], [1, 0, 4], [9, 4, 0]]).neg().exp()
    torch.testing.assert_close(kernel, weights / weights.sum(1, keepdim=True))


@given(seed=st.integers(0, 1000), width=st.floats(0.1, 10))
def test_gaussian_kernel_is_scikit_learns_rbf_with_rows_divided(seed, width):
    """Oracle: sklearn.gaussian_process.kernels.RBF."""
    x = torch.randn(7, 2, 3, generator=generator(seed), dtype=torch.float64)
    weights = RBF(width)(x.flatten(1).numpy())
    expected = torch.from_numpy(weights / weights.sum(1, keepdims=True))
    torch.testing.assert_close(gaussian_kernel(x, width=width), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_gaussian_rows_sum_to_one_however_narrow(dtype):
    """Oracle: the definition; at a width of 10⁻³ all weights but the diagonal's are 0."""
    x = torch.randn(20, 5, generator=generator(1), dtype=torch.float64).to(dtype)
    for width in (1e-3, 1.0, 1e3):
        sums = gaussian_kernel(x, width=width).double().sum(1)
        torch.testing.assert_close(sums, torch.ones_like(sums), rtol=0, atol=1e-5)
    narrow = gaussian_kernel(x, width=1e-3)
    torch.testing.assert_close(narrow, torch.eye(20, dtype=narrow.dtype))


@given(seed=st.integers(0, 1000), neighbours=st.integers(1, 11))
def test_neighbour_kernel_is_scikit_learns_graph_made_symmetric(seed, neighbours):
    """Oracle: kneighbors_graph, an edge in either direction."""
    x = torch.randn(12, 2, 3, generator=generator(seed), dtype=torch.float64)
    graph = kneighbors_graph(x.flatten(1).numpy(), neighbours).toarray()
    weights = np.maximum(graph, graph.T)
    expected = torch.from_numpy(weights / weights.sum(1, keepdims=True))
    torch.testing.assert_close(neighbour_kernel(x, neighbours=neighbours), expected)


def test_neighbour_kernel_by_hand():
    """Oracle: points 0, 1, 3: the last one's nearest is the second, which has two neighbours."""
    kernel = neighbour_kernel(torch.tensor([[0.0], [1.0], [3.0]]), neighbours=1)
    assert kernel.tolist() == [[0, 1, 0], [0.5, 0, 0.5], [0, 1, 0]]


def test_equal_inputs_are_neighbours_of_each_other_and_not_of_themselves():
    """Oracle: the definition; ties go to the first."""
    kernel = neighbour_kernel(torch.ones(4, 2), neighbours=1)
    assert kernel.diag().tolist() == [0, 0, 0, 0]
    assert kernel[1:].tolist() == [[1, 0, 0, 0]] * 3


def test_cascade_by_hand():
    """Oracle: total probability of two stages on paper; the second may have another size."""
    kernel = torch.tensor([[0.75, 0.25, 0.0], [0.0, 0.5, 0.5]])
    f = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    assert cascade(kernel, f).tolist() == [[0.75, 0.25], [0.25, 0.75]]


def test_cascade_is_what_sampling_in_two_stages_gives():
    """Oracle: 200,000 draws of x', then of y, within 6 standard errors.

    Equation: eq-distill-article.
    """
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


@given(seed=st.integers(0, 1000), m=st.integers(1, 9))
def test_a_constant_predictor_is_a_fixed_point(seed, m):
    """Oracle: K 1 = 1."""
    constant = random_rows(seed, 1).expand(m, 3)
    torch.testing.assert_close(cascade(random_kernel(seed, m), constant), constant)


@given(seed=st.integers(0, 1000), m=st.integers(2, 9))
def test_only_constant_predictors_are_fixed_points(seed, m):
    """Oracle: the null space of I − K, by SVD, is spanned by (1, …, 1)."""
    kernel = random_kernel(seed, m)
    values, vectors = torch.linalg.svd(torch.eye(m) - kernel)[1:]
    assert (values > 1e-9).sum() == m - 1
    torch.testing.assert_close(vectors[-1].abs(), torch.full((m,), m**-0.5).double())


@given(seed=st.integers(0, 1000), m=st.integers(1, 9))
def test_every_row_tends_to_the_stationary_mean(seed, m):
    """Oracle: πᵀ f with π an eigenvector of Kᵀ, by NumPy.

    Equation: eq-distill-collapse.
    """
    kernel, f = random_kernel(seed, m), random_rows(seed, m)
    values, vectors = np.linalg.eig(kernel.numpy().T)
    pi = vectors[:, np.argmax(values.real)].real
    pi = torch.from_numpy(pi / pi.sum())
    torch.testing.assert_close(stationary_distribution(kernel), pi)
    expected = (pi @ f).expand(m, 3)
    torch.testing.assert_close(iterated_cascade(kernel, f, 500), expected)


def test_stationary_distribution_by_hand():
    """Oracle: 0.9 a + 0.5 b = a with a + b = 1: a = 5/6."""
    pi = stationary_distribution(WEATHER)
    torch.testing.assert_close(pi, torch.tensor([5 / 6, 1 / 6]).double())


def test_of_symmetric_weights_it_is_the_share_of_the_row_sums():
    """Oracle: detailed balance: π_i ∝ Σ_j w_ij."""
    x = two_clouds()[0]
    degrees = torch.from_numpy(RBF(1.0)(x.numpy())).sum(1)
    pi = stationary_distribution(gaussian_kernel(x, width=1.0))
    torch.testing.assert_close(pi, degrees / degrees.sum())


def test_inputs_that_are_left_for_good_have_no_share():
    """Oracle: a walk from 0 to 1, where it stays."""
    kernel = torch.tensor([[0.5, 0.5], [0.0, 1.0]])
    torch.testing.assert_close(stationary_distribution(kernel), torch.tensor([0.0, 1.0]))


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
    """Oracle: K f by hand, with the first row put back."""
    f = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    found = propagate_labels(WEATHER, f, torch.tensor([True, False]), 1)
    torch.testing.assert_close(found, torch.tensor([[1, 0], [0.5, 0.5]]).double())
    assert torch.equal(propagate_labels(WEATHER, f, torch.tensor([True, False]), 0), f)


def test_all_labelled_leaves_nothing_to_solve():
    """Oracle: f itself."""
    f = random_rows(5)
    assert torch.equal(harmonic_solution(random_kernel(5), f, first(6)), f)


def test_harmonic_solution_is_scikit_learns_label_propagation():
    """Oracle: LabelPropagation with its own Gaussian kernel, γ = 1/(2σ²).

    Equation: eq-distill-harmonic.
    """
    x, f, labelled = two_clouds()
    known = np.where(labelled.numpy(), f.argmax(1).numpy(), -1)
    for width in (0.5, 2.0):
        theirs = LabelPropagation(gamma=1 / (2 * width**2), max_iter=100_000, tol=1e-12)
        theirs.fit(x.numpy(), known)
        ours = harmonic_solution(gaussian_kernel(x, width=width), f, labelled)
        expected = torch.from_numpy(theirs.label_distributions_)
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-7)
        chosen = expected.gather(1, ours.argmax(1, keepdim=True)).squeeze(1)
        torch.testing.assert_close(chosen, expected.amax(1), rtol=1e-5, atol=1e-7)


def exact_chain(m: int, seed: int) -> tuple[torch.Tensor, list[list[Fraction]]]:
    """Return a kernel with shares down to 2⁻⁸⁰, most of them to stay, and its exact jumps."""
    powers = -8 * torch.randint(1, 11, (m, m), generator=generator(seed))
    weights = (2.0 ** powers.double()).fill_diagonal_(0)
    kernel = weights + torch.diag(1 - weights.sum(1))
    return kernel, [[Fraction(w) for w in row] for row in weights.tolist()]


def exact_solve(left: list[list[Fraction]], right: list[Fraction]) -> list[float]:
    return [float(one) for one in Matrix(left).LUsolve(Matrix(right))]


@given(seed=st.integers(0, 1000), m=st.integers(2, 6))
def test_inputs_that_are_hardly_ever_left_lose_no_digits(seed, m):
    """Oracle: SymPy's rational numbers; I − K in float64 has lost what is below 2⁻⁵³."""
    kernel, jumps = exact_chain(m, seed)
    laplacian = [[sum(jumps[i]) if i == j else -jumps[i][j] for j in range(m)] for i in range(m)]
    transposed = [list(column) for column in zip(*laplacian, strict=True)]
    expected = exact_solve([*transposed[:-1], [1] * m], [0] * (m - 1) + [1])
    found = stationary_distribution(kernel)
    torch.testing.assert_close(
        found, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=0
    )
    f = torch.eye(m, dtype=torch.float64)[:, :2]
    labelled = first(2, m) if m > 2 else first(1, m)
    known = int(labelled.sum())
    left = [row[known:] for row in laplacian[known:]]
    expected = exact_solve(left, [row[0] for row in jumps[known:]])
    found = harmonic_solution(kernel, f, labelled)[known:, 0]
    torch.testing.assert_close(
        found, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=0
    )


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


def test_a_way_out_that_underflows_is_refused():
    """Oracle: 10⁻²⁰⁰ twice is below the smallest float."""
    tiny = 1e-200
    kernel = torch.tensor([[1, 0, 0], [0, 1, tiny], [tiny, 1, 0]], dtype=torch.float64)
    with pytest.raises(ValueError, match="kernel must lead every input to one that is kept"):
        harmonic_solution(kernel, torch.eye(3).double(), first(1, 3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_width_and_inputs_of_any_size_give_the_same_kernel(dtype):
    """Oracle: a kernel knows only ‖x_i − x_j‖ / σ."""
    x = torch.tensor([[0.0, 1.0], [0.5, 0.25], [2.0, 1.0]], dtype=dtype)
    expected = gaussian_kernel(x, width=0.5)
    for size in (2.0**-12, 2.0**12) if dtype == torch.float16 else (2.0**-100, 2.0**100):
        torch.testing.assert_close(gaussian_kernel(size * x, width=size * 0.5), expected)
        assert torch.equal(
            neighbour_kernel(size * x, neighbours=1), neighbour_kernel(x, neighbours=1)
        )
    one = torch.eye(3, dtype=expected.dtype)
    torch.testing.assert_close(gaussian_kernel(x, width=1e-200), one)
    torch.testing.assert_close(gaussian_kernel(x, width=1e200), torch.full_like(one, 1 / 3))


def test_any_kernel_of_scikit_learns_label_propagation():
    """Oracle: LabelPropagation with a callable: it divides the columns, which symmetry excuses."""
    x, f, labelled = two_clouds()
    weights = 1 / (1 + torch.cdist(x, x))
    known = np.where(labelled.numpy(), f.argmax(1).numpy(), -1)
    theirs = LabelPropagation(kernel=lambda *_: weights.numpy().copy(), max_iter=100_000, tol=1e-12)
    theirs.fit(x.numpy(), known)
    ours = harmonic_solution(weights / weights.sum(1, keepdim=True), f, labelled)
    torch.testing.assert_close(
        ours, torch.from_numpy(theirs.label_distributions_), rtol=1e-5, atol=1e-7
    )


def scikit_spread(weights: torch.Tensor, known: np.ndarray, a: float) -> torch.Tensor:
    model = LabelSpreading(
        kernel=lambda *_: weights.numpy().copy(), alpha=a, max_iter=100_000, tol=1e-13
    )
    model.fit(np.arange(len(weights))[:, None], known)
    return torch.from_numpy(model.label_distributions_)


def normalised(f: torch.Tensor) -> torch.Tensor:
    return f / f.sum(1, keepdim=True)


def test_spread_labels_is_scikit_learns_label_spreading_where_all_row_sums_are_equal():
    """Oracle: LabelSpreading on a ring of weights without a diagonal; rows are divided at last."""
    place = torch.arange(9)
    gap = (place[:, None] - place[None]).abs()
    gap = torch.minimum(gap, 9 - gap).double()
    weights = torch.exp(-gap).fill_diagonal_(0)
    f = torch.nn.functional.one_hot(place % 3, 3).double()
    labelled = first(4, 9)
    known = np.where(labelled.numpy(), (place % 3).numpy(), -1)
    ours = spread_labels(normalised(weights), f, labelled, spread=0.8)
    expected = scikit_spread(weights, known, 0.8)
    torch.testing.assert_close(normalised(ours), expected, rtol=1e-6, atol=1e-9)


def test_elsewhere_label_spreading_weighs_each_label_by_the_root_of_its_row_sum():
    """Oracle: LabelSpreading; D^(−1/2) W D^(−1/2) is D^(1/2) K D^(−1/2)."""
    x, f, labelled = two_clouds()
    weights = torch.from_numpy(RBF(1.0)(x.numpy())).fill_diagonal_(0)
    known = np.where(labelled.numpy(), f.argmax(1).numpy(), -1)
    expected = scikit_spread(weights, known, 0.8)
    plain = spread_labels(normalised(weights), f, labelled, spread=0.8)
    assert (normalised(plain) - expected).abs().max() > 0.01
    root = weights.sum(1, keepdim=True).sqrt()
    weighed = spread_labels(normalised(weights), f / root, labelled, spread=0.8)
    torch.testing.assert_close(normalised(weighed), expected, rtol=1e-6, atol=1e-8)


@given(seed=st.integers(0, 1000), m=st.integers(2, 9), a=st.floats(0, 0.95))
def test_spread_labels_is_the_fixed_point_of_the_soft_clamp(seed, m, a):
    """Oracle: 600 steps of f ← a K f + (1 − a) y.

    Equation: eq-distill-spread.
    """
    kernel, f, labelled = random_kernel(seed, m), random_rows(seed, m), first(1, m)
    y = f * labelled[:, None]
    g = y
    for _ in range(600):
        g = a * kernel @ g + (1 - a) * y
    torch.testing.assert_close(spread_labels(kernel, f, labelled, spread=a), g)


def test_a_soft_clamp_of_everything_that_hardly_spreads_is_the_labels():
    """Oracle: a = 0."""
    kernel, f = random_kernel(6), random_rows(6)
    torch.testing.assert_close(spread_labels(kernel, f, first(6), spread=0), f)


def test_float32_agrees_with_float64():
    """Oracle: the same in float64."""
    kernel, f, labelled = random_kernel(7), random_rows(7), first(2)
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


def test_what_is_given_stays_as_it_is():
    """Oracle: copies."""
    kernel, f, labelled = random_kernel(8), random_rows(8), first(2)
    before = kernel.clone(), f.clone(), labelled.clone()
    harmonic_solution(kernel, f, labelled)
    propagate_labels(kernel, f, labelled, 3)
    iterated_cascade(kernel, f, 3)
    assert all(torch.equal(a, b) for a, b in zip(before, (kernel, f, labelled), strict=True))


def test_a_teachers_probabilities_over_labels_are_no_kernel():
    """Oracle: the type error in the article's formula: 10 inputs, 3 classes; rows sum to 1."""
    with pytest.raises(ValueError, match=r"kernel must be \(m, m\)"):
        iterated_cascade(random_rows(9, 10), random_rows(9, 10), 1)
    with pytest.raises(ValueError, match="kernel must have the k = 10 of f"):
        cascade(random_rows(9, 10), random_rows(9, 10))


K, ROWS, L = random_kernel(0), random_rows(0), first(2)
ISLANDS = torch.block_diag(K, K)
SIX = torch.ones(6).double()


def wrong_row() -> torch.Tensor:
    kernel = K.clone()
    kernel[3, 0] += 0.01
    return kernel


def negative() -> torch.Tensor:
    kernel = K.clone()
    kernel[2, 0] -= 1
    kernel[2, 1] += 1
    return kernel


EVERY = {
    "cascade": cascade,
    "iterated_cascade": lambda k, f: iterated_cascade(k, f, 2),
    "propagate_labels": lambda k, f: propagate_labels(k, f, L, 2),
    "harmonic_solution": lambda k, f: harmonic_solution(k, f, L),
    "spread_labels": lambda k, f: spread_labels(k, f, L, spread=0.5),
}


@pytest.mark.parametrize("call", EVERY.values(), ids=EVERY)
@pytest.mark.parametrize(
    ("kernel", "f", "error", "message"),
    [
        (wrong_row(), ROWS, ValueError, "kernel must be rows that sum to 1"),
        (negative(), ROWS, ValueError, "kernel must be at least 0, got -0."),
        (K / 0, ROWS, ValueError, "kernel must be finite"),
        (K.long(), ROWS, TypeError, "kernel must hold floating-point numbers"),
        (K[0], ROWS, ValueError, "kernel must be"),
        (K, ROWS[:5], ValueError, "kernel must have the [mk] = 5 of f, got 6"),
        (K, ROWS * math.nan, ValueError, "f must be finite"),
    ],
)
def test_bad_kernels_and_rows_are_named(call, kernel, f, error, message):
    """Oracle: the issue's list of bad input."""
    with pytest.raises(error, match=message):
        call(kernel, f)


@pytest.mark.parametrize(
    ("labelled", "error", "message"),
    [
        (first(0), ValueError, "labelled must be true for an input or more"),
        (first(2, 5), ValueError, "kernel must have the m = . of labelled, got 6"),
        (torch.tensor([0, 1]), TypeError, "labelled must hold bool, got dtype torch.int64"),
    ],
)
def test_bad_labelled_is_named(labelled, error, message):
    """Oracle: the message."""
    for call in (
        lambda: propagate_labels(K, ROWS, labelled, 1),
        lambda: harmonic_solution(K, ROWS, labelled),
        lambda: spread_labels(K, ROWS, labelled, spread=0.5),
    ):
        with pytest.raises(error, match=message):
            call()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: cascade(K, ROWS.float()),
            TypeError,
            "f must have the dtype of kernel, torch.float64",
        ),
        (lambda: iterated_cascade(K, ROWS, -1), ValueError, "n_steps must be at least 0, got -1"),
        (lambda: spread_labels(K, ROWS, L, spread=1), ValueError, r"spread must be in \[0, 1\)"),
        (lambda: gaussian_kernel(SIX[:, None], width=0), ValueError, "width must be above 0"),
        (lambda: gaussian_kernel(SIX, width=1), ValueError, r"x must be \(m, _, ...\), got shape"),
        (
            lambda: neighbour_kernel(SIX[:, None], neighbours=6),
            ValueError,
            "neighbours must be below the 6 inputs of x, got 6",
        ),
        (
            lambda: harmonic_solution(ISLANDS, random_rows(0, 12), first(2, 12)),
            ValueError,
            "kernel must lead every input to one that is kept, got a share of 0",
        ),
        (lambda: stationary_distribution(ISLANDS), ValueError, "kernel must have one π"),
        (lambda: stationary_distribution(torch.eye(3)), ValueError, "kernel must have one π"),
        (lambda: stationary_distribution(K[:5]), ValueError, r"kernel must be \(m, m\)"),
    ],
)
def test_bad_input_is_named(call, error, message):
    """Oracle: the issue's list of bad input; argument, value and expectation are named."""
    with pytest.raises(error, match=message):
        call()


def test_islands_that_each_have_a_label_are_solved():
    """Oracle: each island by itself."""
    f = random_rows(0, 12)
    labelled = torch.cat([L, L])
    found = harmonic_solution(ISLANDS, f, labelled)
    torch.testing.assert_close(found[:6], harmonic_solution(K, f[:6], L))
    torch.testing.assert_close(found[6:], harmonic_solution(K, f[6:], L))


def test_scikit_learn_gives_no_warning_here():
    """Oracle: its own ConvergenceWarning, were the comparisons above not at a fixed point."""
    x, f, labelled = two_clouds()
    known = np.where(labelled.numpy(), f.argmax(1).numpy(), -1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LabelPropagation(gamma=0.5, max_iter=100_000, tol=1e-12).fit(x.numpy(), known)
