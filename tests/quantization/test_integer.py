"""Products of codes in integers against int64 NumPy and Python's exact integers."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from draws import integers
from hypothesis import example, given
from hypothesis import strategies as st

from reference_impl.quantization import (
    IntegerGrid,
    IntegerLinear,
    accumulator_bound,
    exact_products,
    int8_products_are_exact,
    integer,
    integer_matmul,
    largest_depth,
    round_bias,
)
from reference_impl.quantization.integer import INT32_MAX, _refuse_overflow

KINDS = {torch.uint8: (0, 255), torch.int8: (-128, 127)}


@pytest.fixture(params=[True, False], ids=["int_mm", "int64"])
def both_ways(request, monkeypatch):
    """Run a test by ``torch._int_mm``, where that is exact, and without it."""
    if request.param and not int8_products_are_exact():
        pytest.skip("torch._int_mm saturates on this processor")
    monkeypatch.setattr(integer, "int8_products_are_exact", lambda: request.param)


def draw_codes(seed, shape, kind):
    return integers(*KINDS[kind], *shape, seed=seed).to(kind)


def numpy_product(a, b, zero_a, zero_b):
    """Return Σ (q_a − z_a)(q_b − z_b) in int64, before any expansion."""
    return (a.numpy().astype(np.int64) - zero_a) @ (b.numpy().astype(np.int64) - zero_b)


CODE = st.integers(-128, 255)
SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 70), st.integers(1, 9))


@pytest.mark.equation("eq-integer-terms")
@pytest.mark.parametrize("kind_a", KINDS)
@pytest.mark.parametrize("kind_b", KINDS)
@given(shape=SHAPES, zeros=st.tuples(CODE, CODE), seed=st.integers(0, 2**31))
def test_four_terms_are_the_product_of_the_differences(kind_a, kind_b, shape, zeros, seed):
    """Oracle: int64 NumPy on q_a − z_a and q_b − z_b."""
    n, k, m = shape
    a, b = draw_codes(seed, (n, k), kind_a), draw_codes(seed + 1, (k, m), kind_b)
    product = integer_matmul(a, b, zero_a=zeros[0], zero_b=zeros[1])
    assert product.dtype == torch.int32
    assert np.array_equal(product.numpy(), numpy_product(a, b, *zeros))


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("kind", KINDS)
def test_extreme_codes_are_multiplied_exactly(kind):
    """Oracle: K q_a q_b, for the four pairs of ends; sums of two would not fit into 16 bits."""
    for code in KINDS[kind]:
        for weight in KINDS[torch.int8]:
            a = torch.full((3, 1000), code, dtype=kind)
            b = torch.full((1000, 16), weight, dtype=torch.int8)
            assert exact_products(a, b).unique().tolist() == [1000 * code * weight]


@pytest.mark.equation("eq-integer-depth")
@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_depth_reaches_int32s_end_and_no_further(sign):
    """Oracle: Python's integers; 66,311 · 255 · 127 = 2,147,481,735, 1,912 below 2^31 − 1."""
    depth = largest_depth(255, 127)
    assert depth * 255 * 127 == INT32_MAX - 1912
    assert [largest_depth(255, 127, bias) for bias in (1912, 1913)] == [depth, depth - 1]
    a = torch.full((1, depth), 255, dtype=torch.uint8)
    b = torch.full((depth, 1), sign * 127, dtype=torch.int8)
    assert integer_matmul(a, b).item() == sign * depth * 255 * 127
    longer = torch.cat([a, a[:, :1]], dim=1), torch.cat([b, b[:1]])
    with pytest.raises(ValueError, match=r"66312 products of up to 255 · 127 .* 2147514120 >"):
        integer_matmul(*longer)


@pytest.mark.usefixtures("both_ways")
def test_a_term_that_wraps_leaves_the_sum_right():
    """Oracle: Python's integers: Σ q_a q_b is 3.2e9, beyond int32; Σ (q_a − 128) q_b is not."""
    depth = 100_000
    a = torch.full((2, depth), 255, dtype=torch.uint8)
    b = torch.full((depth, 1), 127, dtype=torch.int8)
    assert integer_matmul(a, b, zero_a=128).flatten().tolist() == [depth * 127 * 127] * 2
    layer = IntegerLinear(b.t(), torch.tensor([7], dtype=torch.int32), IntegerGrid(8), 128)
    assert layer.accumulate(a).flatten().tolist() == [depth * 127 * 127 + 7] * 2


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("shape", [(1, 1, 1), (16, 1, 4), (9, 2, 3), (1, 3, 2), (4, 5, 1)])
def test_small_products_are_exact_in_every_layout(shape):
    """Oracle: int64 NumPy; torch._int_mm misreads the transpose of a column of weights."""
    n, k, m = shape
    a, weight = draw_codes(5, (n, k), torch.uint8), draw_codes(6, (m, k), torch.int8)
    for left in (a, a.t().contiguous().t()):
        for right in (weight.t(), weight.t().clone(memory_format=torch.contiguous_format)):
            assert np.array_equal(exact_products(left, right), numpy_product(a, weight.t(), 0, 0))


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("a_strides", [(8, 1), (1, 1), (0, 1), (1, 0), (1, 3), (9, 1)])
@pytest.mark.parametrize("b_strides", [(5, 1), (1, 1), (0, 1), (1, 0), (1, 8), (6, 1)])
def test_codes_that_share_memory_are_multiplied_as_they_read(rows, a_strides, b_strides):
    """Oracle: int64 NumPy; torch._int_mm misreads overlapping rows and a row that was a column."""
    a = draw_codes(5, (200,), torch.uint8).as_strided((rows, 8), a_strides)
    b = draw_codes(6, (200,), torch.int8).as_strided((8, 5), b_strides)
    assert np.array_equal(exact_products(a, b), numpy_product(a, b, 0, 0))


def test_zero_points_may_be_numpys_and_wide_codes_take_the_slow_way():
    """Oracle: int64 NumPy; products of NumPy's bytes would wrap around."""
    a, b = draw_codes(5, (2, 40), torch.uint8), draw_codes(6, (40, 3), torch.int8)
    product = integer_matmul(a, b, zero_a=np.uint8(200), zero_b=np.int8(-100))
    assert np.array_equal(product.numpy(), numpy_product(a, b, 200, -100))
    a, b = integers(-(2**15), 2**15 - 1, 4, 3), torch.tensor([[1], [-2], [3]])
    for kind in (torch.int16, torch.int32, torch.int64):
        product = integer_matmul(a.to(kind), b.to(kind), zero_a=5)
        assert np.array_equal(product.numpy(), numpy_product(a, b, 5, 0))


def test_the_probe_refuses_a_processor_that_saturates(monkeypatch):
    """Oracle: sums of pairs kept within 16 bits, as instructions without VNNI keep them."""

    def saturating(a, b):
        products = a.int().unsqueeze(2) * b.int().unsqueeze(0)
        pairs = products[:, 0::2] + products[:, 1::2]
        return pairs.clamp(-(2**15), 2**15 - 1).sum(dim=1).int()

    monkeypatch.setattr(torch, "_int_mm", saturating)
    assert not int8_products_are_exact.__wrapped__()
    for ends in ({"min": -(2**22)}, {"max": 2**22}):  # of one sign alone
        monkeypatch.setattr(torch, "_int_mm", lambda a, b, e=ends: (a.int() @ b.int()).clamp(**e))
        assert not int8_products_are_exact.__wrapped__()
    monkeypatch.setattr(torch, "_int_mm", lambda a, b: (a.long() @ b.long()).int())
    assert int8_products_are_exact.__wrapped__()


@pytest.mark.equation("eq-integer-bound")
@given(st.integers(1, 10**6), st.integers(1, 256), st.integers(1, 256), st.integers(0, INT32_MAX))
@example(1, 1, 1, INT32_MAX - 1)  # by hand: 1 · 1 · 1 + (2^31 − 2) = 2^31 − 1
@example(1, 1, 1, INT32_MAX)
def test_the_largest_depth_is_where_the_bound_leaves_int32(depth, a, b, bias):
    """Oracle: the inequality K A B + |bias| ≤ 2^31 − 1, in Python's integers."""
    safe = depth * a * b + bias <= 2**31 - 1
    assert (depth <= largest_depth(a, b, bias)) == safe
    assert accumulator_bound(depth, a, b, bias) == depth * a * b + bias
    with nullcontext() if safe else pytest.raises(ValueError, match=f"int32: {depth} products"):
        _refuse_overflow(depth, a, b, bias)


@pytest.mark.equation("eq-integer-accumulator")
@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("grid", [IntegerGrid(8), IntegerGrid(8, signed=True), IntegerGrid(3)])
def test_a_layers_accumulators_are_the_sum_with_its_bias(grid):
    """Oracle: int64 NumPy: Σ (q_a − z_a) q_b + q_bias."""
    weight = draw_codes(1, (6, 40), torch.int8)
    bias = integers(-9999, 9999, 6, seed=2).int()
    codes = integers(grid.q_min, grid.q_max, 9, 40, seed=3).to(grid.dtype)
    zero = grid.q_min + 2
    found = IntegerLinear(weight, bias, grid, zero).accumulate(codes)
    assert found.dtype == torch.int32
    expected = numpy_product(codes, weight.t(), zero, 0) + bias.numpy()
    assert np.array_equal(found.numpy(), expected)


def test_a_layer_keeps_copies_and_what_does_not_depend_on_the_input():
    """Oracle: by hand: 100 − 3 · (2 − 1 + 4) = 85, and 100 for codes of the real 0."""
    weight, bias = torch.tensor([[2, -1, 4]], dtype=torch.int8), torch.tensor([100]).int()
    layer = IntegerLinear(weight, bias, IntegerGrid(8), 3)
    weight[0, 0], bias[0] = 99, 0
    assert layer.offset.tolist() == [85]
    assert layer.accumulate(torch.full((1, 3), 3, dtype=torch.uint8)).item() == 100


@pytest.mark.equation("eq-integer-bias")
@given(bias=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=5), scale=st.floats(1e-5, 10))
def test_a_rounded_bias_is_off_by_half_a_unit_at_most(bias, scale):
    """Oracle: the bound |s q_b − b| ≤ s/2, in float64; the tie 0.5 goes to 0, and 1.5 to 2."""
    exact = torch.tensor(bias, dtype=torch.float64)
    codes = round_bias(exact, torch.tensor(scale, dtype=torch.float64))
    assert codes.dtype == torch.int32
    error = (codes.double() * scale - exact).abs().max().item()
    assert error <= scale / 2 * (1 + 1e-9) + 1e-12
    each = round_bias(torch.tensor([1.0, 1.0, 3.0]), torch.tensor([[2.0], [0.25], [2.0]]))
    assert each.tolist() == [0, 4, 2]
