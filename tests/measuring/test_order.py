"""Whether order matters: gaps in closed form, and gains of swaps in models that have none other."""

import itertools
import math
import re

import pytest
import torch
from draws import normal
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.measuring import order_gap, swap_gain
from reference_impl.pruning import keep_highest
from reference_impl.quantization import IntegerGrid, symmetric_from_range

NAMES = ("prune", "merge", "distil", "quantize")


@pytest.mark.equation("eq-order-gap")
@given(seed=st.integers(0, 2**31), c=st.floats(-3, 3), k=st.floats(-3, 3))
def test_adding_and_multiplying_differ_by_a_constant(seed, c, k):
    """Oracle: k (x + c) − (k x + c) = c (k − 1), in each of the n entries."""
    x = normal(7, seed=seed).double()
    found = order_gap(x, lambda x: x + c, lambda x: k * x)
    expected = abs(c * (k - 1)) * math.sqrt(7) / math.sqrt(sum(v * v for v in x.tolist()))
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(seed=st.integers(0, 2**31), bits=st.integers(2, 8), sparsity=st.floats(0, 0.9))
def test_a_mask_and_a_symmetric_grid_commute(seed, bits, sparsity):
    """Oracle: 0 is a code, so that a dropped weight is 0 before or after: no gap at all."""
    x = normal(40, seed=seed)
    mask = keep_highest(x.abs(), share=1 - sparsity)
    quantizer = symmetric_from_range(x.min(), x.max(), IntegerGrid(bits, signed=True, narrow=True))
    assert order_gap(x, lambda x: x * mask, quantizer.round_trip) == 0


@pytest.mark.equation("eq-order-swap")
def test_a_swap_gains_what_its_pair_adds_and_nothing_of_other_pairs():
    """Oracle: a result that is a sum of g_AB over the pairs in which A comes before B."""
    chance = torch.Generator().manual_seed(0)
    gains = {p: torch.rand(1, generator=chance).item() for p in itertools.permutations(NAMES, 2)}
    values = {
        order: sum(gains[pair] for pair in itertools.combinations(order, 2))
        for order in itertools.permutations(NAMES)
    }
    for (a, b), gain in gains.items():
        assert swap_gain(values, a, b) == pytest.approx(gain - gains[b, a])


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [("c", "a", "with 'a' right after 'c'"), ("a", "b", "('b', 'a', 'c') is missing")],
)
def test_orders_that_are_missing_are_named(first, second, message):
    """Oracle: one order of three."""
    with pytest.raises(ValueError, match=re.escape(message)):
        swap_gain({("a", "b", "c"): 1.0}, first, second)
