"""Relative indices and shared weights: the paper's own example, brute force, round trips."""

import pytest
import torch
from draws import generator
from hypothesis import given
from hypothesis import strategies as st

from reference_impl import coding


@pytest.mark.equation("eq-coding-gaps")
def test_the_example_of_the_paper():
    """Oracle: Han, Mao & Dally 2016, figure 2: 3 bits, entries at 1, 4 and 15, a filler at 12."""
    kept = torch.zeros(16, dtype=torch.bool)
    kept[[1, 4, 15]] = True
    gaps, weights = coding.relative_indices(kept, 3)
    assert (gaps + 1).tolist() == [2, 3, 8, 3]  # the paper counts differences, and its first is 1
    assert weights.tolist() == [True, True, False, True]


@pytest.mark.equation("eq-coding-gaps", "eq-coding-positions")
@given(st.integers(1, 8), st.integers(1, 3000), st.floats(0.001, 1), st.integers(0, 2**31))
def test_positions_are_those_of_the_kept_weights(bits, n, density, seed):
    """Oracle: a loop that counts zeros and writes a filler after 2^b of them."""
    kept = torch.rand(n, generator=generator(seed)) < density
    gaps, weights, zeros = [], [], 0
    for one in kept.tolist():
        if one or zeros == 2**bits - 1:
            gaps.append(zeros)
            weights.append(one)
            zeros = 0
        else:
            zeros += 1
    while weights and not weights[-1]:  # after the last weight nothing needs to be written
        gaps.pop(), weights.pop()
    found = coding.relative_indices(kept, bits)
    assert found[0].tolist() == gaps
    assert found[1].tolist() == weights
    if gaps:
        assert torch.equal(coding.positions(found[0])[found[1]], kept.nonzero().ravel())


@st.composite
def weights(draw):
    n, n_values = draw(st.integers(1, 2000)), draw(st.integers(1, 400))
    generated = generator(draw(st.integers(0, 2**31)))
    values = torch.randn(n_values, generator=generated)
    found = values[torch.randint(n_values, (n,), generator=generated)]
    return found * (torch.rand(n, generator=generated) < draw(st.floats(0, 1)))


@given(weights())
def test_shared_weights_are_read_exactly(w):
    """Oracle: the weights."""
    parts = coding.write_shared(w)
    file = coding.Cursor(b"".join(data for _, data in parts))
    assert torch.equal(coding.read_shared(file, len(w)), w)
    assert file.data == b""
    assert sum(len(data) for _, data in parts) <= 4 * len(w) + 1


def test_index_bits_are_those_that_need_the_fewest_bytes():
    """Oracle: of weights far apart, the gaps of 8 bits; of weights side by side, of 1."""
    found = {}
    for every in (1, 2, 200):
        w = torch.zeros(40_000)
        w[::every] = 0.5
        (_, first), *_ = coding.write_shared(w)
        found[every] = first[1]
    assert found[1] == 1
    assert found[200] == 8


def test_files_that_claim_too_much_are_refused():
    """Oracle: the limits that the weights set."""
    w = torch.zeros(100)
    w[[3, 50]] = 1.0
    data = b"".join(part for _, part in coding.write_shared(w))
    for wrong, said in (
        (data[:1] + bytes([9]) + data[2:], "0 to 100 entries of 1 to 8 bits"),
        (data[:2] + bytes([255, 255, 255, 255, 127]) + data[3:], "0 to 100 entries"),
        (data[:2] + bytes([255] * 12) + data[3:], "number must be at most"),
        (data[:-1], "must have"),
        (b"", "must have 1 more bytes"),
    ):
        with pytest.raises(ValueError, match=said):
            coding.read_shared(coding.Cursor(wrong), 100)
    with pytest.raises(ValueError, match="entries within 40 weights"):
        coding.read_shared(coding.Cursor(data), 40)


@given(st.integers(0, 2**40))
def test_numbers_take_seven_bits_a_byte(number):
    """Oracle: the number, and its binary digits."""
    data = coding.number_bytes(number)
    assert coding.Cursor(data).number() == number
    assert len(data) == max(1, -(-number.bit_length() // 7))
