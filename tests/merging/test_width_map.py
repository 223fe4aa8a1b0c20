"""Width maps against indexing, matrix products by hand and bad input."""

import pytest
import torch
from draws import normal

from reference_impl.merging import WidthMap, map_axis, selection, standing_in

KEEP = torch.tensor([True, False, True, False])


@pytest.mark.equation("eq-narrow-columns")
def test_a_selection_picks_rows_and_columns():
    """Oracle: indexing."""
    rows, columns = normal(4, 3), normal(5, 4)
    chosen = selection(KEEP)
    assert (chosen.n, chosen.k, chosen.selects, chosen.only_selects) == (4, 2, True, True)
    assert torch.equal(map_axis(rows, 0, chosen.merge), rows[KEEP])
    assert torch.equal(map_axis(columns, 1, chosen.unmerge.T), columns[:, KEEP])


@pytest.mark.equation("eq-merge-compensate")
def test_columns_of_a_removed_unit_are_added_to_those_of_its_replacement():
    """Oracle: by hand, W'_0 + 2 W'_1 and W'_2 + 0 W'_3."""
    columns = normal(5, 4)
    scale = torch.tensor([1.0, 2.0, 1.0, 0.0])
    merged = standing_in(KEEP, torch.tensor([0, 0, 2, 2]), scale)
    assert merged.selects
    assert not merged.only_selects
    expected = torch.stack([columns[:, 0] + 2 * columns[:, 1], columns[:, 2]], dim=1)
    torch.testing.assert_close(map_axis(columns, 1, merged.unmerge.T), expected)


def test_a_map_that_mixes_or_scales_its_units_selects_none():
    """Oracle: the definition, each new unit is an old one, unchanged."""
    assert not WidthMap(torch.full((1, 2), 0.5), torch.ones(2, 1)).selects
    assert not WidthMap(torch.ones(1, 2), torch.ones(2, 1)).selects
    for factor in (2, 0.5, -1):
        assert not WidthMap(factor * selection(KEEP).merge, selection(KEEP).unmerge).selects


def test_after_a_flatten_a_unit_owns_its_consecutive_columns():
    """Oracle: the columns of a flattened (unit, position) array."""
    weight = normal(5, 4, 6)
    mapped = map_axis(weight.flatten(1), 1, selection(KEEP).unmerge.T, repeat=6)
    assert torch.equal(mapped, weight[:, KEEP].flatten(1))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_axis_is_mapped_in_the_dtype_of_x(axis, dtype):
    """Oracle: torch.tensordot."""
    x, matrix = normal(4, 4, 4, dtype=dtype), normal(2, 4)
    expected = torch.tensordot(matrix.to(dtype), x, dims=([1], [axis])).movedim(0, axis)
    torch.testing.assert_close(map_axis(x, axis, matrix), expected)
