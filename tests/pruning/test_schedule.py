"""Schedules of sparsity against their ends, their equation and the rounds one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.pruning import cubic_sparsity, rounds_to

shares = st.floats(0, 0.999)


@pytest.mark.equation("eq-sparse-cubic")
@given(shares, shares, st.integers(1, 200))
def test_the_cubic_schedule_rises_from_end_to_end_and_slows_down(a, b, n):
    """Oracle: its ends, an eighth of the way left at half of the time, monotony, concavity."""
    first, last = min(a, b), max(a, b)
    s = [cubic_sparsity(t, n, final=last, initial=first) for t in range(n + 3)]
    assert s[0] == pytest.approx(first, abs=1e-12)
    assert s[n:] == [last] * 3
    half = cubic_sparsity(n, 2 * n, final=last, initial=first)
    assert half == pytest.approx(last - (last - first) / 8, abs=1e-12)
    rises = np.diff(s)
    assert (rises >= -1e-12).all()
    assert (np.diff(rises) <= 1e-12).all()


@pytest.mark.equation("eq-sparse-rate")
def test_the_cubic_schedule_solves_its_differential_equation():
    """Oracle: ds/dt = 3 (s_f − s) / (n − t), by central differences."""
    n, h = 10**6, 10
    for t in (10_000, 500_000, 900_000):
        low, at, high = (cubic_sparsity(k, n, final=0.9, initial=0.2) for k in (t - h, t, t + h))
        assert (high - low) / (2 * h) == pytest.approx(3 * (0.9 - at) / (n - t), rel=1e-6)


@pytest.mark.equation("eq-sparse-rounds")
@given(shares, st.floats(0.01, 0.95))
def test_rounds_are_the_fewest_that_reach_the_sparsity(sparsity, share):
    """Oracle: dropping round after round."""
    left, r = 1.0, 0
    while 1 - left < sparsity - 1e-12:
        left *= 1 - share
        r += 1
    assert rounds_to(sparsity, share) == r


@pytest.mark.parametrize("share", [1e-9, 1e-12, 1e-17])
def test_rounds_of_a_tiny_share_are_counted_at_once(share):
    """Oracle: (1 − p)^(c / p) → e^(−c) as p → 0."""
    assert rounds_to(0.5, share) == pytest.approx(np.log(2) / share, rel=1e-8)
