"""Srinivas and Babu's saliency against loops, its own bound and bad input."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.merging import least_pair, merge_by_saliency, pair_saliency


def drawn(seed: int = 0, n: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    rows = torch.randn(n, 4, generator=draws, dtype=torch.float64)
    return rows, torch.randn(n, 3, generator=draws, dtype=torch.float64)


def test_it_is_the_published_formula():
    """Oracle: loops over pairs and over the next layer's units."""
    rows, outgoing = drawn()
    s = pair_saliency(rows, outgoing)
    for i in range(6):
        for j in range(6):
            mean = sum(float(outgoing[j, o]) ** 2 for o in range(3)) / 3
            distance = sum(float(rows[i, d] - rows[j, d]) ** 2 for d in range(4))
            assert s[i, j].item() == pytest.approx(mean * distance, abs=1e-12)


@given(st.integers(0, 2**31 - 1))
def test_no_input_changes_the_next_layer_by_more(seed):
    """Oracle: 100 random inputs, every pair: mean squared change ≤ s_ij ‖x‖².

    Equation: eq-merge-saliency.
    """
    rows, outgoing = drawn(seed)
    x = torch.randn(100, 4, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    h = (x @ rows.T).relu()
    s = pair_saliency(rows, outgoing)
    for i in range(6):
        for j in range(6):
            change = ((h[:, i] - h[:, j]).unsqueeze(1) * outgoing[j]).square().mean(dim=1)
            assert (change <= s[i, j] * x.square().sum(dim=1) + 1e-9).all()


def test_the_least_pair_is_of_two_units():
    """Oracle: a loop over i ≠ j."""
    s = pair_saliency(*drawn())
    pairs = [(i, j) for i in range(6) for j in range(6) if i != j]
    assert least_pair(s) == min(pairs, key=lambda pair: float(s[pair]))
    assert s.diagonal().eq(0).all()  # as it was


def surgeon(rows, outgoing, n_gone):
    """Delete the rows and columns one after another, as the paper does."""
    rows, outgoing, names = rows.clone(), outgoing.clone(), list(range(len(rows)))
    for _ in range(n_gone):
        i, j = least_pair(pair_saliency(rows, outgoing))
        outgoing[i] += outgoing[j]
        left = [u for u in range(len(rows)) if u != j]
        rows, outgoing, names = rows[left], outgoing[left], [names[u] for u in left]
    return names, rows, outgoing


@pytest.mark.parametrize("n_gone", range(6))
@pytest.mark.parametrize("seed", range(5))
def test_the_map_is_what_deleting_one_by_one_comes_to(n_gone, seed):
    """Oracle: the paper's surgery, on matrices that shrink."""
    rows, outgoing = drawn(seed)
    names, left, reads = surgeon(rows, outgoing, n_gone)
    width_map = merge_by_saliency(rows, outgoing, n_gone)
    assert width_map.chosen.tolist() == names
    torch.testing.assert_close(width_map.merge @ rows, left)
    torch.testing.assert_close(width_map.unmerge.T @ outgoing, reads)


@pytest.mark.parametrize("seed", range(5))
def test_normalised_it_is_that_of_directions(seed):
    """Oracle: the surgery on w / ‖w‖ and a ‖w‖, undone; norms from 0.1 to 10."""
    rows, outgoing = drawn(seed)
    rows *= torch.logspace(-1, 1, 6, dtype=torch.float64)[:, None]
    norms = rows.norm(dim=1, keepdim=True)
    names, _, reads = surgeon(rows / norms, outgoing * norms, 3)
    width_map = merge_by_saliency(rows, outgoing, 3, normalised=True)
    assert width_map.chosen.tolist() == names
    torch.testing.assert_close(width_map.unmerge.T @ outgoing, reads / norms[names])


def test_twins_merge_first_and_exactly():
    """Oracle: equal units; parallel ones if normalised; a unit that nothing reads."""
    rows, outgoing = drawn()
    rows[4] = rows[1]
    x = torch.randn(20, 4, dtype=torch.float64)
    for factor, normalised in ((1.0, False), (2.5, True)):
        rows[4] = factor * rows[1]
        width_map = merge_by_saliency(rows, outgoing, 1, normalised=normalised)
        left = (x @ (width_map.merge @ rows).T).relu() @ (width_map.unmerge.T @ outgoing)
        torch.testing.assert_close(left, (x @ rows.T).relu() @ outgoing)
    outgoing[3] = 0
    rows[4] = -rows[1]
    assert 3 not in merge_by_saliency(rows, outgoing, 1).chosen.tolist()
    assert merge_by_saliency(rows, torch.zeros(6, 3), 5).k == 1  # nothing is read: all equal


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize(
    ("dtype", "size", "read"),
    [
        (torch.float16, 1.0, 1.0),
        (torch.bfloat16, 1.0, 1.0),
        (torch.float32, 1e30, 1.0),
        (torch.float32, 1e-30, 1.0),
        (torch.float32, 1.0, 1e30),
    ],
)
def test_half_small_and_large_weights_are_removed_as_others(dtype, size, read, normalised):
    """Oracle: the same in float64 without the factors; the same units are removed."""
    rows, outgoing = drawn(2)
    exact = merge_by_saliency(rows, outgoing, 3, normalised=normalised)
    found = merge_by_saliency(
        (size * rows).to(dtype), (read * outgoing).to(dtype), 3, normalised=normalised
    )
    assert found.unmerge.dtype == dtype
    assert found.chosen.tolist() == exact.chosen.tolist()
    torch.testing.assert_close(found.unmerge.double(), exact.unmerge, rtol=0.01, atol=0)
    if dtype.itemsize == 2:
        s = pair_saliency(rows.to(dtype), outgoing.to(dtype))
        assert s.dtype == dtype
        torch.testing.assert_close(s.double(), pair_saliency(rows, outgoing), rtol=0.1, atol=0.05)


ROWS, OUT = drawn()


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: pair_saliency(ROWS, OUT[:5]),
            ValueError,
            "rows must have the n = 5 of outgoing, got 6",
        ),
        (lambda: pair_saliency(ROWS[0], OUT), ValueError, r"rows must be \(n, d\)"),
        (lambda: pair_saliency(ROWS, OUT.long()), TypeError, "outgoing must hold floating-point"),
        (lambda: least_pair(torch.ones(2, 3)), ValueError, r"saliency must be \(n, n\)"),
        (lambda: least_pair(torch.ones(1, 1)), ValueError, "two units or more, got 1"),
        (lambda: merge_by_saliency(ROWS, OUT, -1), ValueError, "n_gone must be at least 0, got -1"),
        (lambda: merge_by_saliency(ROWS, OUT, 6), ValueError, r"n_gone must be in \[0, 5\], got 6"),
        (
            lambda: merge_by_saliency(torch.diag(torch.arange(6.0)), OUT, 1, normalised=True),
            ValueError,
            "rows must not be zero, got row 0 of 0",
        ),
    ],
)
def test_bad_input_is_refused(call, error, text):
    """Oracle: the message names what is wrong."""
    with pytest.raises(error, match=text):
        call()
