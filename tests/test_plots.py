"""reference_impl.plots against the numbers that go in: as many marks, and nothing left out."""

import matplotlib as mpl
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from reference_impl import plots

ROOFS = {"memory": ([1.0, 2.0, 4.0], [10.0, 20.0, 20.0]), "cache": ([1.0, 4.0], [20.0, 20.0])}
POINTS = {"wide": [(1.0, 2.0), (3.0, 4.0)], "narrow": [(2.0, 1.0)]}


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


def test_a_roofline_has_one_line_for_each_roof_and_each_network(ax):
    """Oracle: the numbers that went in, in their order; seven colours by Okabe and Ito (2008)."""
    plots.plot_roofline(ax, ROOFS, POINTS)
    lines = {line.get_label(): line for line in ax.lines}
    assert list(lines) == ["memory", "cache", "wide", "narrow"]
    for name, (intensities, speeds) in ROOFS.items():
        assert list(lines[name].get_xdata()) == intensities
        assert list(lines[name].get_ydata()) == speeds
    for name, places in POINTS.items():
        drawn = zip(lines[name].get_xdata(), lines[name].get_ydata(), strict=True)
        assert list(drawn) == places
    assert lines["memory"].get_linestyle() != lines["cache"].get_linestyle()
    assert lines["wide"].get_color() != lines["narrow"].get_color()
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    plots.plot_roofline(ax, ROOFS, {str(i): [(1.0, 1.0)] for i in range(7)})
    assert len({(line.get_color(), line.get_marker()) for line in ax.lines[-7:]}) == 7


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
EIGHT = {name: [(1, 1)] for name in "abcdefgh"}


@pytest.mark.parametrize(
    ("plot", "given", "message"),
    [
        (shares, ([], {"x": []}), r"parts must be one or more, got \[\]"),
        (shares, (["a", "b"], {"x": [1]}), r"'x'\] must hold 2, got 1"),
        (shares, (["a"], {"x": [NAN]}), r"shares\['x'\]\[0\] must be finite, got nan"),
        (plots.plot_roofline, ({}, POINTS), "roofs must be of 1 to 3"),
        (plots.plot_roofline, (ROOFS, EIGHT), "points must be of 1 to 7 networks"),
        (plots.plot_roofline, ({"m": ([1, 2], [1])}, POINTS), r"'m'\]\[1\] must hold 2, got 1"),
        (plots.plot_roofline, ({"m": ([], [])}, POINTS), r"roofs\['m'\]\[0\] must be one or more"),
        (plots.plot_roofline, (ROOFS, {"n": [(1, 1, 3)]}), r"'n'\]\[0\] must have 2 entries"),
        (plots.plot_roofline, (ROOFS, {"n": [(1, -1)]}), r"\[0\]\[1\] must be above 0, got -1"),
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
