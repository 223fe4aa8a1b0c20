"""Srinivas and Babu's saliency against loops, its own bound and bad input."""

import itertools

import pytest
import torch
from draws import generator, normal
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.merging import least_pair, merge_by_saliency, pair_saliency

SEEDS = st.integers(0, 2**31 - 2)


def drawn(seed=0, n=6):
    draws = generator(seed)
    rows = torch.randn(n, 4, generator=draws, dtype=torch.float64)
    return rows, torch.randn(n, 3, generator=draws, dtype=torch.float64)


def test_it_is_the_published_formula_and_the_least_pair_is_of_two_units():
    """Oracle: loops over pairs and over the next layer's units."""
    rows, outgoing = drawn()
    s = pair_saliency(rows, outgoing)
    for i, j in itertools.product(range(6), repeat=2):
        mean = sum(float(outgoing[j, o]) ** 2 for o in range(3)) / 3
        distance = sum(float(rows[i, d] - rows[j, d]) ** 2 for d in range(4))
        assert s[i, j].item() == pytest.approx(mean * distance, abs=1e-12)
    assert least_pair(s) == min(itertools.permutations(range(6), 2), key=s.__getitem__)
    assert s.diagonal().eq(0).all()  # as it was


@pytest.mark.equation("eq-merge-saliency")
@given(seed=SEEDS)
def test_no_input_changes_the_next_layer_by_more(seed):
    """Oracle: 100 random inputs, every pair: mean squared change ≤ s_ij ‖x‖²."""
    rows, outgoing = drawn(seed)
    x = normal(100, 4, seed=seed + 1, dtype=torch.float64)
    h = (x @ rows.T).relu()
    s = pair_saliency(rows, outgoing)
    for i, j in itertools.product(range(6), repeat=2):
        change = ((h[:, i] - h[:, j]).unsqueeze(1) * outgoing[j]).square().mean(dim=1)
        assert (change <= s[i, j] * x.square().sum(dim=1) + 1e-9).all()


def surgeon(rows, outgoing, n_gone):
    """Delete the rows and columns one after another, as the paper does."""
    rows, outgoing, names = rows.clone(), outgoing.clone(), list(range(len(rows)))
    for _ in range(n_gone):
        i, j = least_pair(pair_saliency(rows, outgoing))
        outgoing[i] += outgoing[j]
        left = [u for u in range(len(rows)) if u != j]
        rows, outgoing, names = rows[left], outgoing[left], [names[u] for u in left]
    return names, rows, outgoing


@given(n_gone=st.integers(0, 5), seed=SEEDS, normalised=st.booleans())
def test_the_map_is_what_deleting_one_by_one_comes_to(n_gone, seed, normalised):
    """Oracle: the paper's surgery, on matrices that shrink; normalized, on w / ‖w‖ and a ‖w‖."""
    rows, outgoing = drawn(seed)
    rows *= torch.logspace(-1, 1, 6, dtype=torch.float64)[:, None]
    norms = rows.norm(dim=1, keepdim=True) ** normalised
    names, left, reads = surgeon(rows / norms, outgoing * norms, n_gone)
    width_map = merge_by_saliency(rows, outgoing, n_gone, normalised=normalised)
    assert width_map.chosen.tolist() == names
    torch.testing.assert_close(width_map.merge @ rows, left * norms[names])
    torch.testing.assert_close(width_map.unmerge.T @ outgoing, reads / norms[names])


def test_twins_merge_first_and_exactly():
    """Oracle: equal units; parallel ones if normalized; a unit that nothing reads."""
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


HALF = [(torch.float16, 1, 1), (torch.bfloat16, 1, 1)]
SIZES = [(torch.float32, 1e30, 1), (torch.float32, 1e-30, 1), (torch.float32, 1, 1e30)]


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize(("dtype", "size", "read"), HALF + SIZES)
def test_half_small_and_large_weights_are_removed_as_others(dtype, size, read, normalised):
    """Oracle: the same in float64 without the factors; the same units are removed."""
    rows, outgoing = drawn(2)
    exact = merge_by_saliency(rows, outgoing, 3, normalised=normalised)
    given = (size * rows).to(dtype), (read * outgoing).to(dtype)
    found = merge_by_saliency(*given, 3, normalised=normalised)
    assert found.unmerge.dtype == dtype
    assert found.chosen.tolist() == exact.chosen.tolist()
    torch.testing.assert_close(found.unmerge.double(), exact.unmerge, rtol=0.01, atol=0)
    if dtype.itemsize == 2:
        s = pair_saliency(rows.to(dtype), outgoing.to(dtype))
        assert s.dtype == torch.float32
        torch.testing.assert_close(s.double(), pair_saliency(rows, outgoing), rtol=0.1, atol=0.05)
