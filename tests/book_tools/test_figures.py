"""The comparison of figures, against figures that matplotlib draws from changed data."""

import io
from collections.abc import Callable
from functools import cache
from itertools import product

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

from book_tools.comparing.figures import figure_difference
from reference_impl import plots


@pytest.fixture(scope="module", autouse=True)
def book_style():
    with mpl.rc_context():
        plots.use_book_style()
        yield


def svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    return buffer.getvalue()


STYLES = {"square": "-o", "line": "--"}


def curves(
    *,
    shift: float = 0.0,
    factor: float = 1.0,
    styles: dict[str, str] = STYLES,
    colours: str = "01",
    width: float = 1.8,
    points: int = 30,
    title: str = "Two curves",
    legend: str | None = "best",
    height: float = 3.6,
) -> str:
    """Draw a square and a line, whose labels and styles are given."""
    figure = Figure(figsize=(6.4, height))
    ax = figure.subplots()
    x = np.linspace(0, 1, points)
    values = x**2 * factor + shift, x
    for y, (label, style), colour in zip(values, styles.items(), colours, strict=False):
        ax.plot(x, y, style, color=f"C{colour}", label=label or None, lw=width)
    ax.set(title=title, xlabel="$x^2$", ylabel="y", xlim=(0, 1), ylim=(0, 1))
    if legend:
        ax.legend(loc=legend)
    return svg(figure)


#: The curves unchanged, drawn once.
original = cache(curves)


@pytest.mark.parametrize("change", [{}, {"factor": 1 + 1e-6}, {"shift": 1e-6}, {"shift": 0.008}])
def test_the_same_curves_pass(change):
    """Oracle: data moved by less than 1 % of the axis."""
    assert figure_difference(original(), curves(**change)) is None


@pytest.mark.parametrize(
    "change",
    [
        *({"shift": 0.02}, {"shift": -0.02}, {"factor": 1.03}, {"points": 31}),
        {"styles": {"line": "-o", "square": "--"}},
        {"styles": {"square": "-o", "linE": "--"}},
        {"styles": {"square": "-o", "": "--"}},
        {"styles": {"square": "-o", "line": ":"}},
        {"styles": {"square": "-h", "line": "--"}},
        {"styles": {"square": "-o"}},
        *({"colours": "10"}, {"width": 2.0}, {"title": "Three"}, {"legend": None}, {"height": 4.0}),
    ],
    ids=str,
)
def test_changed_curves_fail_in_both_directions(change):
    """Oracle: the change itself."""
    old, new = original(), curves(**change)
    assert figure_difference(old, new)
    assert figure_difference(new, old)


def test_markers_of_one_stroke_pattern_are_told_apart():
    """Oracle: square, diamond and triangles have the same commands and nearly the same size."""
    figures = {marker: curves(styles={"a": f"-{marker}"}) for marker in "sD^v<>"}
    for a, b in product(figures, repeat=2):
        assert (figure_difference(figures[a], figures[b]) is None) is (a == b), (a, b)


Draw = Callable[[NDArray[np.float64]], Figure]
DATA = np.linspace(0.1, 0.9, 12)


def on_axes(plot: Callable[..., object], *, limits: bool = True) -> Draw:
    def draw(data: NDArray[np.float64]) -> Figure:
        figure = Figure()
        ax = figure.subplots()
        plot(ax, data)
        if limits:
            ax.set(xlim=(-1, 12), ylim=(0, 1))
        return figure

    return draw


def two_axes(data: NDArray[np.float64]) -> Figure:
    figure = Figure()
    for ax, values in zip(figure.subplots(1, 2), (DATA, data), strict=True):
        ax.plot(values)
        ax.set_ylim(0, 1)
    return figure


def colour_bar(data: NDArray[np.float64]) -> Figure:
    figure = Figure()
    ax = figure.subplots()
    figure.colorbar(ax.pcolormesh(np.outer(data, data), vmin=0, vmax=1), ax=ax)
    return figure


N = np.arange(12)
DRAWINGS: dict[str, Draw] = {
    "scatter": on_axes(lambda ax, y: ax.scatter(N, y)),
    "scatter coloured": on_axes(lambda ax, y: ax.scatter(N, DATA, c=y, vmin=0, vmax=0.3)),
    "scatter sized": on_axes(lambda ax, y: ax.scatter(N, DATA, s=100 * y)),
    "bars": on_axes(lambda ax, y: ax.bar(N, y)),
    "steps": on_axes(lambda ax, y: ax.step(N, y)),
    "stem": on_axes(lambda ax, y: ax.stem(N, y)),
    "fill": on_axes(lambda ax, y: ax.fill_between(N, y / 2, y)),
    "error bars": on_axes(lambda ax, y: ax.errorbar(N, DATA, yerr=y)),
    "annotation": on_axes(lambda ax, y: ax.annotate("a", (1, y[0]), (5, y[5]), arrowprops={})),
    "horizontal line": on_axes(lambda ax, y: ax.axhline(y[3])),
    "log axis": on_axes(lambda ax, y: ax.semilogy(N, 10 ** (5 * y)), limits=False),
    "autoscaled": on_axes(lambda ax, y: ax.plot(N, y), limits=False),
    "histogram": on_axes(lambda ax, y: ax.stairs(y[:-1], N, fill=True)),
    "mesh": on_axes(lambda ax, y: ax.pcolormesh(y.reshape(3, 4), vmin=0, vmax=0.5), limits=False),
    "axes switched off": on_axes(lambda ax, y: (ax.plot(y), ax.axis("off"))),
    "second axes": two_axes,
    "colour bar": colour_bar,
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_every_kind_of_plot_passes_last_digits_and_fails_two_percent(name):
    """Oracle: one value moved by 1e-7 of its axis, and by 3 %."""
    draw = DRAWINGS[name]
    stored = svg(draw(DATA))
    noise = DATA * (1 + 1e-7 * np.cos(np.arange(12)))
    assert figure_difference(stored, svg(draw(noise))) is None
    moved = DATA.copy()
    moved[[0, 3, 5]] += 0.03
    assert figure_difference(stored, svg(draw(moved)))


def heat_map(matrix: NDArray[np.float64]) -> str:
    figure = Figure()
    figure.subplots().imshow(matrix, vmin=0, vmax=matrix.size, interpolation="nearest")
    return svg(figure)


@pytest.mark.parametrize("side", [10, 28])
def test_a_heat_map_with_one_changed_cell_fails(side):
    """Oracle: one entry moved by 20 % of the range; all by 0.1 %; two rows exchanged."""
    matrix = np.arange(side * side, dtype=np.float64).reshape(side, side)
    changed = matrix.copy()
    changed[3, 4] += 0.2 * matrix.size
    stored = heat_map(matrix)
    assert figure_difference(stored, heat_map(matrix + 1e-3 * matrix.size)) is None
    assert "pixels changed" in str(figure_difference(stored, heat_map(changed)))
    assert figure_difference(stored, heat_map(matrix[[1, 0, *range(2, side)]]))


@pytest.mark.parametrize("broken", ["", "<svg", "text", "<html></html>"])
def test_what_is_no_svg_fails_with_a_sentence(broken):
    """Oracle: text that no reader of SVG accepts."""
    assert figure_difference(original(), broken)
    assert figure_difference(broken, original())
