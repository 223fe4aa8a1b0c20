"""Width maps against indexing, matrix products by hand and bad input."""

import pytest
import torch

from reference_impl.merging import WidthMap, map_axis, selection, standing_in

KEEP = torch.tensor([True, False, True, False])


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_a_selection_picks_rows_and_columns():
    """Oracle: indexing."""
    rows, columns = drawn(4, 3), drawn(5, 4)
    chosen = selection(KEEP)
    assert (chosen.n, chosen.k, chosen.selects, chosen.only_selects) == (4, 2, True, True)
    assert torch.equal(map_axis(rows, 0, chosen.merge), rows[KEEP])
    assert torch.equal(map_axis(columns, 1, chosen.unmerge.T), columns[:, KEEP])


def test_columns_of_a_removed_unit_are_added_to_those_of_its_replacement():
    """Oracle: by hand, W'_0 + 2 W'_1 and W'_2 + 0 W'_3.

    Equation: eq-narrow-columns, eq-merge-compensate.
    """
    columns = drawn(5, 4)
    scale = torch.tensor([1.0, 2.0, 1.0, 0.0])
    merged = standing_in(KEEP, torch.tensor([0, 0, 2, 2]), scale)
    assert merged.selects
    assert not merged.only_selects
    expected = torch.stack([columns[:, 0] + 2 * columns[:, 1], columns[:, 2]], dim=1)
    torch.testing.assert_close(map_axis(columns, 1, merged.unmerge.T), expected)


def test_the_map_that_mixes_rows_selects_none():
    """Oracle: the definition."""
    assert not WidthMap(torch.full((1, 2), 0.5), torch.ones(2, 1)).selects
    assert not WidthMap(torch.ones(1, 2), torch.ones(2, 1)).selects


def test_after_a_flatten_a_unit_owns_its_consecutive_columns():
    """Oracle: the columns of a flattened (unit, position) array."""
    weight = drawn(5, 4, 6)
    mapped = map_axis(weight.flatten(1), 1, selection(KEEP).unmerge.T, repeat=6)
    assert torch.equal(mapped, weight[:, KEEP].flatten(1))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_any_axis_is_mapped(axis):
    """Oracle: torch.tensordot."""
    x, matrix = drawn(4, 4, 4), drawn(2, 4)
    expected = torch.tensordot(matrix, x, dims=([1], [axis])).movedim(0, axis)
    torch.testing.assert_close(map_axis(x, axis, matrix), expected)


def test_the_dtype_is_kept():
    """Oracle: float64 in, float64 out."""
    assert map_axis(drawn(4, 3).double(), 0, selection(KEEP).merge).dtype == torch.float64


@pytest.mark.parametrize(
    ("keep", "error", "message"),
    [
        (torch.tensor([False, False]), ValueError, "must leave a unit or more"),
        (torch.tensor([1, 0]), TypeError, "must hold bool"),
        (torch.ones(2, 2, dtype=torch.bool), ValueError, r"must be \(n\), got shape"),
        ([True], TypeError, "must be a torch.Tensor"),
        (torch.ones(2, dtype=torch.bool).to_sparse(), TypeError, "must be a dense tensor"),
    ],
)
def test_a_bad_mask_of_units_is_refused(keep, error, message):
    """Oracle: the documented errors."""
    with pytest.raises(error, match=f"keep {message}"):
        selection(keep)


@pytest.mark.parametrize(
    ("stands_for", "scale"),
    [
        ([0, 1, 2, 2], [1.0, 1, 1, 1]),  # 1 stands for itself, but is not kept
        ([0, 0, 0, 2], [1.0, 1, 1, 1]),  # 2 is kept, but 0 stands for it
        ([0, 0, 2, 2], [0.5, 1, 1, 1]),  # 0 is kept, but scaled
        ([0, 9, 2, 2], [1.0, 1, 1, 1]),
        ([0, -1, 2, 2], [1.0, 1, 1, 1]),
        ([0, 0, 2], [1.0, 1, 1]),
        ([0, 0, 2, 2], [1.0, float("nan"), 1, 1]),
    ],
)
def test_units_that_cannot_stand_in_are_refused(stands_for, scale):
    """Oracle: the documented errors."""
    with pytest.raises(ValueError, match=r"stands_for|scale"):
        standing_in(KEEP, torch.tensor(stands_for), torch.tensor(scale))


def test_representatives_that_are_not_integers_are_refused():
    """Oracle: the documented error."""
    with pytest.raises(TypeError, match="stands_for must hold"):
        standing_in(KEEP, torch.ones(4), torch.ones(4))


def test_two_sides_that_do_not_fit_are_refused():
    """Oracle: the documented error."""
    with pytest.raises(ValueError, match="merge must have the n = 3 of unmerge, got 4"):
        WidthMap(torch.ones(2, 4), torch.ones(3, 2))
    with pytest.raises(ValueError, match=r"merge must be \(k, n\), got shape"):
        WidthMap(torch.ones(4), torch.ones(4))
    with pytest.raises(ValueError, match="merge must be finite"):
        WidthMap(torch.full((1, 2), torch.inf), torch.ones(2, 1))


def test_an_axis_that_does_not_fit_is_refused():
    """Oracle: the documented errors."""
    chosen = selection(KEEP)
    with pytest.raises(ValueError, match="x must have 4 · 1 entries along axis 1"):
        map_axis(torch.ones(4, 3), 1, chosen.merge)
    with pytest.raises(ValueError, match="x must have 4 · 1 entries along axis 2"):
        map_axis(torch.ones(4, 3), 2, chosen.merge)
    with pytest.raises(ValueError, match=r"matrix must be \(after, before\), got shape \(4,\)"):
        map_axis(torch.ones(4, 3), 0, torch.ones(4))
    with pytest.raises(TypeError, match=r"matrix must be a torch\.Tensor, got list"):
        map_axis(torch.ones(4, 3), 0, [[1.0] * 4])


def test_a_map_that_scales_its_units_selects_none():
    """Oracle: the definition, each new unit is an old one, unchanged."""
    for factor in (2, 0.5, -1):
        scaled = WidthMap(factor * selection(KEEP).merge, selection(KEEP).unmerge)
        assert not scaled.selects
