"""Lloyd's iteration against scikit-learn, published tables and its own two conditions."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from draws import generator, normal
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.cluster import KMeans

from reference_impl.measuring import mean_squared_error
from reference_impl.quantization import (
    density_start,
    linear_start,
    lloyd,
    normal_codebook,
    optimal_codebook,
    random_start,
)


def sample(seed, count=2000):
    return normal(count, seed=seed).double()


STARTS = {
    "linear": linear_start,
    "density": density_start,
    "random": lambda x, size: random_start(x, size, generator(3)),
}


@pytest.mark.equation("eq-codebook-centroid")
@pytest.mark.parametrize("name", STARTS)
@pytest.mark.parametrize("size", [2, 7, 16])
def test_the_iteration_ends_where_scikit_learns_ends(name, size):
    """Oracle: KMeans from the same start with tolerance 0."""
    x = sample(0)
    start = STARTS[name](x, size)
    run = lloyd(x, start)
    peer = KMeans(size, init=start.numpy()[:, None], n_init=1, tol=0, max_iter=10_000)
    peer.fit(x.numpy()[:, None])
    assert run.converged
    assert run.quantizer.values == pytest.approx(sorted(peer.cluster_centers_[:, 0]), abs=1e-9)
    assert run.errors[-1] * len(x) == pytest.approx(peer.inertia_, rel=1e-9)


@given(seed=st.integers(0, 2**31), name=st.sampled_from(sorted(STARTS)), size=st.integers(1, 20))
def test_no_step_raises_the_error_and_both_conditions_hold_at_the_end(seed, name, size):
    """Oracle: the conditions; and no end is below the exact optimum."""
    x = sample(seed, 300)
    run = lloyd(x, STARTS[name](x, size))
    assert run.converged
    assert all(after <= before + 1e-15 for before, after in pairwise(run.errors))
    codes = run.quantizer.quantize(x)
    for k in codes.unique().tolist():
        assert x[codes == k].mean().item() == pytest.approx(run.quantizer.values[k], abs=1e-12)
    found = mean_squared_error(x, run.quantizer.round_trip(x))
    assert run.errors[-1] == pytest.approx(found, rel=1e-9, abs=1e-15)
    best = optimal_codebook(x, size)
    assert found >= mean_squared_error(x, best.round_trip(x)) - 1e-15


def test_two_steps_by_hand():
    """Oracle: by hand; 1 lies half-way between 0 and 2; three values are 0; the first error."""
    half = lloyd(torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.0, 2.0]))
    assert half.quantizer.values == (0.5, 2.0)
    assert lloyd(torch.tensor([0.0, 0.0, 0.0, 1.0]), torch.tensor([0.0])).errors == (0.25, 0.1875)


def test_a_fixed_number_of_steps_stops_there():
    """Oracle: the longer run's record."""
    x = sample(1)
    whole = lloyd(x, linear_start(x, 16))
    part = lloyd(x, linear_start(x, 16), steps=5)
    assert part.errors == whole.errors[:6]
    assert not part.converged
    assert len(whole.errors) > 6


def test_a_bad_start_is_never_left():
    """Oracle: by hand; of three pairs one start splits the first and joins the others."""
    x = torch.tensor([0.0, 0.1, 5.0, 5.1, 10.0, 10.1], dtype=torch.float64)
    good = lloyd(x, torch.tensor([0.0, 5.0, 10.0]))
    bad = lloyd(x, torch.tensor([0.0, 0.1, 7.0]))
    assert good.errors[-1] == pytest.approx(0.0025)
    assert bad.converged
    assert bad.quantizer.values == pytest.approx((0.0, 0.1, 7.55))
    assert bad.errors[-1] == pytest.approx((4 * 2.5**2 + 4 * 0.05**2) / 6, rel=1e-6)


def test_a_centroid_without_values_stays_and_is_counted():
    """Oracle: by hand; no value is nearest to 50."""
    run = lloyd(torch.tensor([0.0, 1.0, 100.0]), torch.tensor([0.0, 50.0, 100.0]))
    assert run.quantizer.values == (0.5, 50.0, 100.0)
    assert run.empty == 1
    assert lloyd(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 1.0])).empty == 0


def test_starts_by_hand():
    """Oracle: Han et al. 2016, section 3.2: even on the axis; even on the CDF's axis; elements."""
    x = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 93.0])
    assert linear_start(x, 4).tolist() == [0.0, 31.0, 62.0, 93.0]
    drawn = random_start(x, 4, generator(0))
    assert torch.equal(drawn, drawn.sort().values)
    assert len(set(drawn.tolist()) & set(x.tolist())) == 4
    assert not torch.equal(drawn, random_start(x, 4, generator(1)))
    assert torch.equal(drawn, random_start(x, 4, generator(0)))
    assert torch.equal(random_start(x, 8, generator(0)), x.double())


@given(size=st.sampled_from([1, 4, 10]), seed=st.integers(0, 1000))
def test_the_density_start_is_numpys_inverted_cdf(size, seed):
    """Oracle: numpy.quantile, method inverted_cdf, away from its jumps."""
    x = sample(seed, 997)
    places = (np.arange(size) + 0.5) / size
    expected = np.quantile(x.numpy(), places, method="inverted_cdf")
    assert density_start(x, size).tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("size", "error"), [(1, 1.0), (2, 0.3634), (4, 0.1175), (8, 0.03454), (16, 0.009497)]
)
def test_the_normal_codebook_is_what_a_large_sample_needs_and_has_the_published_error(size, error):
    """Oracle: the exact codebook of 200,000 normal quantiles; Max 1960, table I."""
    x = torch.from_numpy(stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000))
    quantizer = normal_codebook(size)
    assert quantizer.values == pytest.approx(optimal_codebook(x, size).values, abs=2e-3)
    assert mean_squared_error(x, quantizer.round_trip(x)) == pytest.approx(error, rel=1e-3)
