"""The rate: probabilities that add up to 1, SciPy's geometric distribution, an actual file."""

import pytest
import torch
from draws import generator, normal
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reference_impl import coding


def drawn(seed: int, spread: float = 1.5, shape: tuple[int, ...] = (400,)) -> torch.Tensor:
    return (normal(*shape, seed=seed) * spread).round().long()


@pytest.mark.equation("eq-coding-price")
@given(st.integers(0, 2**31), st.floats(0.3, 4))
def test_prices_are_those_of_a_geometric_distribution(seed, spread):
    """Oracle: ``scipy.stats.geom`` with the ρ that the price of a further step says."""
    integers = drawn(seed, spread)
    found = coding.price(integers)
    rho = 2.0 ** -found.further.item()
    zeros = (integers == 0).sum().item()
    p0 = (zeros + 0.5) / 401
    steps = integers.abs().sum().item()
    assert rho == pytest.approx((steps - (400 - zeros) + 0.5) / (steps + 1), rel=1e-4)
    for m in (1, 2, 5):
        bits = -(stats.geom(1 - rho).logpmf(m) / torch.log(torch.tensor(2.0)).item())
        bits -= torch.log2(torch.tensor((1 - p0) / 2)).item()
        assert (found.first + (m - 1) * found.further).item() == pytest.approx(bits, abs=1e-3)
    assert found.zero.item() <= found.first.item()


@pytest.mark.equation("eq-coding-rate", "eq-coding-price")
def test_the_rate_is_what_a_file_takes():
    """Oracle: the arithmetic coder, which has to learn the probabilities: a few percent."""
    integers = drawn(3, 0.9, (60, 80))
    coding.code_table(encoder := coding.Encoder(), integers.clone(), by_density=False)
    rate = coding.rate(integers.float(), coding.price(integers)).item()
    assert 0.9 * encoder.bits < rate < 1.1 * encoder.bits


@pytest.mark.equation("eq-coding-independent")
def test_rows_and_columns_that_differ_are_cheaper_by_density():
    """Oracle: the probabilities row_i col_j / all that drew the table; the coder's bits."""
    rows, columns = torch.rand(80, generator=generator(1)) ** 2, torch.rand(90) * 0 + 0.5
    columns[::2] = 0.02
    there = torch.rand(80, 90, generator=generator(2)) < rows[:, None] * columns
    table = there.long()
    found = coding.price_by_density(table)
    by_density = coding.rate(table.float(), found).item()
    assert by_density < 0.9 * coding.rate(table.float(), coding.price(table)).item()
    coding.code_table(encoder := coding.Encoder(), table.clone(), by_density=True)
    assert by_density < 1.1 * encoder.bits + 2 * there.sum().item()
    there_p = 1 - 2.0**-found.zero
    inside = (there_p > 0.01) & (there_p < 0.5)
    truth = rows[:, None] * columns
    assert (there_p[inside] - truth[inside]).abs().mean() < 0.05


@pytest.mark.equation("eq-coding-rate")
@given(st.floats(-5, 5))
def test_between_integers_the_rate_is_a_straight_line(u):
    """Oracle: linear interpolation of the bits of the two integers, and its slope."""
    found = coding.price(drawn(1))
    low = torch.tensor(float(torch.tensor(u).floor()))
    share = u - low.item()
    bits = [coding.rate((low + k)[None], found).item() for k in (0, 1)]
    x = torch.tensor([u], requires_grad=True)
    value = coding.rate(x, found)
    assert value.item() == pytest.approx((1 - share) * bits[0] + share * bits[1], abs=1e-4)
    if 0.01 < share < 0.99:
        (slope,) = torch.autograd.grad(value, x)
        assert slope.item() == pytest.approx(bits[1] - bits[0], abs=1e-4)


def test_no_weight_is_kept_from_crossing_zero():
    """Oracle: integers among which 0 is rare: it costs no more than ±1."""
    integers = torch.tensor([-1, 1] * 50 + [0])
    found = coding.price(integers)
    assert 0 <= found.zero < found.first
