"""reference_impl.plots against the numbers that go in: as many marks, and nothing left out."""

import matplotlib as mpl
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from reference_impl import plots


@pytest.fixture(name="ax")
def empty_axes():
    """Return axes of a figure that no window shows."""
    return Figure().add_subplot()


def test_shares_have_one_bar_for_each_quantity_of_each_part_around_its_tick(ax):
    """Oracle: the numbers that went in, in their order; two bars in 0.8 of the ticks' distance."""
    shares = {"parameters": [25.0, 75.0, 0.0], "MACs": [50.0, 30.0, 20.0]}
    plots.plot_shares(ax, ["conv", "fc1", "fc2"], shares, whole="LeNet5")
    bars = {bars.get_label(): [bar.get_width() for bar in bars] for bars in ax.containers}
    assert bars == shares
    centres = [[bar.get_y() + bar.get_height() / 2 for bar in bars] for bars in ax.containers]
    assert centres == [pytest.approx([-0.2, 0.8, 1.8]), pytest.approx([0.2, 1.2, 2.2])]
    assert {round(bar.get_height(), 6) for bars in ax.containers for bar in bars} == {0.368}
    assert [text.get_text() for text in ax.texts] == [
        *("25.0 %", "75.0 %", "0.0 %", "50.0 %", "30.0 %", "20.0 %")
    ]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["conv", "fc1", "fc2"]
    assert ax.get_xlabel() == "share of LeNet5 (%)"


def test_a_map_fills_the_cells_with_less_than_before(ax):
    """Oracle: by hand, 0.5 and 0.999 are less than 1, and 1 and 2 are not."""
    plots.plot_method_map(ax, ["prune", "share"], ["bytes", "MACs"], [[0.5, 1.0], [2, 0.999]])
    cells = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    filled = [to_hex(cell.get_facecolor()).upper() == plots.COLOURS[0] for cell in cells]
    assert filled == [True, False, False, True]
    assert [text.get_text() for text in ax.texts] == ["0.500", "1.000", "2.000", "0.999"]
    assert [text.get_position() for text in ax.texts] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert [text.get_color() for text in ax.texts] == ["white", "black", "black", "white"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["prune", "share"]


def test_the_style_makes_equal_figures_equal_files():
    """Oracle: matplotlib's settings; a hash salt of its own would differ in every run."""
    with mpl.rc_context():
        plots.use_book_style()
        assert mpl.rcParams["svg.hashsalt"] == "reference_impl"
        assert mpl.rcParams["svg.fonttype"] == "path"
        assert mpl.rcParams["axes.prop_cycle"].by_key()["color"] == list(plots.COLOURS)


def shares(ax, parts, given):
    """Call plot_shares."""
    plots.plot_shares(ax, parts, given, whole="w")


NAN = float("nan")


@pytest.mark.parametrize(
    ("plot", "given", "message"),
    [
        (shares, ([], {"x": []}), r"parts must be one or more, got \[\]"),
        (shares, (["a", "b"], {"x": [1]}), r"'x'\] must hold 2, got 1"),
        (shares, (["a"], {"x": [NAN]}), r"shares\['x'\]\[0\] must be finite, got nan"),
        (plots.plot_method_map, (["m", "n"], ["q"], [[1], [1, 1]]), "left must have 2 rows of 1"),
    ],
)
def test_bad_input_is_named_and_nothing_is_drawn(ax, plot, given, message):
    """Oracle: the rule that an error names argument, value and expectation."""
    with pytest.raises(ValueError, match=message):
        plot(ax, *given)
    assert (ax.lines[:], ax.patches[:], ax.texts[:]) == ([], [], [])
    with pytest.raises(TypeError, match="ax must be Axes, got str"):
        plot("ax", *given)
