"""Student's intervals against SciPy, and against draws whose mean is known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reference_impl.measuring import (
    Interval,
    bonferroni_level,
    mean_interval,
    paired_gain,
    student_quantile,
)

NUMBERS = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=9)


@pytest.mark.parametrize("level", [0.01, 0.5, 0.95, 0.999])
def test_the_quantile_is_that_of_the_closed_forms(level):
    """Oracle: Student's distribution with 1, 2 and 4 degrees of freedom, and the normal limit."""
    one, two, four, many = (student_quantile(level, freedom) for freedom in (1, 2, 4, 10**9))
    assert 2 / math.pi * math.atan(one) == pytest.approx(level)
    assert two / math.sqrt(2 + two**2) == pytest.approx(level)
    sine = four / math.sqrt(4 + four**2)
    assert sine * (3 - sine**2) / 2 == pytest.approx(level)
    assert math.erf(many / 2**0.5) == pytest.approx(level, rel=1e-6)


@given(values=NUMBERS, level=st.floats(0.5, 0.99))
def test_an_interval_is_scipys(values, level):
    """Oracle: SciPy's interval about the mean with the standard error."""
    found = mean_interval(values, level=level)
    half = stats.sem(values) * stats.t.ppf((1 + level) / 2, len(values) - 1)
    assert found.mean == pytest.approx(np.mean(values), abs=1e-9)
    assert found.half_width == pytest.approx(half, rel=1e-6, abs=1e-9)


@pytest.mark.equation("eq-student-gain")
def test_a_paired_gain_is_scipys_paired_test():
    """Oracle: SciPy's related-samples t test; its interval, and whether it rejects."""
    before, after = [87.3, 87.2, 87.9, 87.5, 87.1], [87.9, 88.2, 88.3, 88.4, 87.9]
    test = stats.ttest_rel(after, before)
    low, high = test.confidence_interval(0.95)
    found = paired_gain(after, before)
    assert found.mean - found.half_width == pytest.approx(low)
    assert found.mean + found.half_width == pytest.approx(high)
    assert found.excludes_zero == (test.pvalue < 0.05)
    assert not paired_gain(after, [88.0, 88.1, 88.4, 88.3, 88.0]).excludes_zero


def test_an_interval_is_printed_with_its_margin():
    """Oracle: by hand; sign and zero."""
    assert str(Interval(-0.26, 0.14)) == "-0.3 ± 0.1"
    assert not Interval(0.0, 0.0).excludes_zero
    assert Interval(-0.5, 0.4).excludes_zero


@pytest.mark.equation("eq-order-bonferroni")
@pytest.mark.parametrize(("n", "level"), [(1, 0.95), (24, 0.95), (6, 0.9)])
def test_simultaneous_intervals_hold_as_often_as_the_union_bound_says(n, level):
    """Oracle: n disjoint misses, the worst case, and n independent ones, which miss less."""
    each = bonferroni_level(n, level=level)
    assert 1 - n * (1 - each) == pytest.approx(level)
    assert level <= each**n + 1e-12
