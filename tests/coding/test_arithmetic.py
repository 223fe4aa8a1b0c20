"""The arithmetic coder against exact fractions, ideal lengths and another range coder."""

import math
from fractions import Fraction

import constriction
import pytest
import torch
from draws import generator
from hypothesis import given
from hypothesis import strategies as st

from reference_impl import coding

BITS = st.lists(st.integers(0, 1), max_size=400)


def ideal(bits: list[int]) -> float:
    """Return Σ −log₂ of Krichevsky's and Trofimov's probabilities, in exact fractions."""
    seen, total = [0, 0], 0.0
    for bit in bits:
        p = Fraction(2 * seen[bit] + 1, 2 * sum(seen) + 2)
        total -= math.log2(p)
        seen[bit] += 1
    return total


@pytest.mark.equation("eq-coding-adaptive", "eq-coding-interval")
@given(BITS)
def test_bits_take_what_their_probabilities_ask_for(bits):
    """Oracle: exact fractions; at most 8 bits more, to write whole bytes, and rounding."""
    encoder, p = coding.Encoder(), coding.Probability()
    for bit in bits:
        encoder.code(p, bit)
    data = encoder.finish()
    assert encoder.bits == pytest.approx(ideal(bits), abs=0.01 + 0.001 * len(bits))
    assert 8 * len(data) <= encoder.bits + 9
    decoder, p = coding.Decoder(data), coding.Probability()
    assert [decoder.code(p) for _ in bits] == bits


@given(st.floats(0.0005, 0.9995), st.integers(0, 2**31))
def test_long_messages_take_the_entropy_of_another_range_coder(share, seed):
    """Oracle: ``constriction``'s range coder, which is told the share beforehand."""
    drawn = (torch.rand(3000, generator=generator(seed)) < share).int()
    encoder, p = coding.Encoder(), coding.Probability()
    for bit in drawn.tolist():
        encoder.code(p, bit)
    told = constriction.stream.model.Bernoulli(share, perfect=False)
    other = constriction.stream.queue.RangeEncoder()
    other.encode(drawn.numpy(), told)
    learning = 0.5 * math.log2(3000) + 8
    assert 8 * len(encoder.finish()) <= other.num_bits() + learning + 32
    decoder, p = coding.Decoder(encoder.finish()), coding.Probability()
    assert [decoder.code(p) for _ in range(3000)] == drawn.tolist()


def test_a_carry_runs_through_bytes_of_255():
    """Oracle: the bits; 1s of a probability near 1 fill the bytes before the carry."""
    bits = [1] * 900 + [0] + [1] * 900 + [0, 1] * 40
    encoder, p = coding.Encoder(), coding.Probability()
    for bit in bits:
        encoder.code(p, bit)
    decoder, p = coding.Decoder(encoder.finish()), coding.Probability()
    assert [decoder.code(p) for _ in bits] == bits


@given(st.lists(st.integers(-(2**24) + 1, 2**24 - 1), max_size=30))
def test_integers_are_read_as_they_were_written(values):
    """Oracle: the integers."""
    encoder, integers = coding.Encoder(), coding.Integers()
    for value in values:
        assert integers.code(encoder, value) == value
    decoder, integers = coding.Decoder(encoder.finish()), coding.Integers()
    assert [integers.code(decoder) for _ in values] == values


def test_integers_of_more_than_24_digits_are_refused():
    """Oracle: the limit."""
    with pytest.raises(ValueError, match="at most 24 binary digits"):
        coding.Integers().code(coding.Encoder(), 2**24)


@pytest.mark.equation("eq-coding-density")
@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300), st.integers(0, 300))
def test_classes_are_half_an_octave_wide(in_row, before, in_column, above):
    """Oracle: the logarithm of r c in exact fractions."""
    in_row, in_column = min(in_row, before), min(in_column, above)
    r = Fraction(2 * in_row + 1, 2 * before + 2)
    c = Fraction(2 * in_column + 1, 2 * above + 2)
    product = math.floor(2**16 * r * c)
    expected = math.floor(2 * math.log2(product) + 1e-9) + 1 if product else 0
    assert coding.density_class(in_row, before, in_column, above) == expected


@pytest.mark.equation("eq-coding-density")
def test_uneven_rows_and_columns_take_fewer_bits_by_density():
    """Oracle: the same table without; in a table of even density the classes cost a little."""
    random = torch.rand(60, 80, generator=generator(1))
    share = torch.linspace(0, 1, 80) ** 4
    uneven = (random < 0.8 * share[torch.randperm(80, generator=generator())]).long()
    even = (random < 0.15).long()
    bits = {}
    for name, table in (("uneven", uneven), ("even", even)):
        for by_density in (False, True):
            coding.code_table(encoder := coding.Encoder(), table.clone(), by_density=by_density)
            bits[name, by_density] = encoder.bits
    assert bits["uneven", True] < 0.9 * bits["uneven", False]
    assert bits["even", False] < bits["even", True] < 1.05 * bits["even", False]


TABLES = st.tuples(st.integers(1, 20), st.integers(1, 20), st.floats(0, 5), st.integers(0, 2**31))


def drawn_tables(sizes: list[tuple[int, int, float, int]]) -> list[torch.Tensor]:
    found = []
    for rows, columns, spread, seed in sizes:
        g = generator(seed)
        integers = (torch.randn(rows, columns, generator=g) * spread).round().long()
        exponents = torch.randint(-60, 60, (rows,), generator=g)
        found.append(coding.from_integers(integers, exponents))
    return found


@pytest.mark.equation("eq-coding-steps")
@given(st.lists(TABLES, min_size=1, max_size=4))
def test_tables_are_read_exactly(sizes):
    """Oracle: the weights; the bits that each kind of content takes are all there are."""
    tables = drawn_tables(sizes)
    data, items = coding.write_tables(tables)
    read = coding.read_tables(data, [tuple(t.shape) for t in tables])
    assert all(torch.equal(one, other) for one, other in zip(read, tables, strict=True))
    assert 8 * len(data) <= sum(items.values()) + 9


@pytest.mark.equation("eq-coding-steps")
@given(st.integers(-500, 400), st.integers(-(2**23), 2**23))
def test_steps_are_quarters_of_an_octave(exponent, integer):
    """Oracle: 2^(exponent/4) in float64, rounded to float32."""
    found = coding.steps(torch.tensor([exponent])).item()
    assert found == pytest.approx(2.0 ** (exponent / 4), rel=2**-24)
    w = coding.from_integers(torch.tensor([[integer]]), torch.tensor([exponent]))
    assert w.item() == pytest.approx(integer * found, rel=2**-24)


@pytest.mark.equation("eq-coding-steps")
@given(st.integers(-60, 60), st.lists(st.integers(65, 3000), min_size=2, max_size=9))
def test_a_row_without_small_integers_has_a_step_too(exponent, integers):
    """Oracle: the weights; a bias of a last layer may be tens of steps for each of its outputs."""
    weights = coding.from_integers(torch.tensor([integers]), torch.tensor([exponent]))
    found, exponents = coding.as_integers(weights)
    assert torch.equal(coding.from_integers(found, exponents), weights)
    assert exponents.item() >= exponent


def test_weights_that_have_no_step_are_refused():
    """Oracle: normal numbers; which table it is."""
    even = torch.tensor([[0.5, 1.5]])
    with pytest.raises(ValueError, match="table 1 is not"):
        coding.write_tables([even, torch.randn(3, 5, generator=generator())])
    data, _ = coding.write_tables([even])
    with pytest.raises(ValueError, match="bytes more"):
        coding.read_tables(data.ljust(4, b"\0") + bytes(9), [(1, 2)])
