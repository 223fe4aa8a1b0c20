"""The comparison of figures, against figures that matplotlib draws from changed data."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

from book_tools.comparing.figures import figure_difference
from reference_impl import plots


@pytest.fixture(scope="module", autouse=True)
def book_style() -> Iterator[None]:
    with mpl.rc_context():
        plots.use_book_style()
        yield


@dataclass(frozen=True)
class Curves:
    """What a figure with two curves shows."""

    shift: float = 0.0
    factor: float = 1.0
    labels: tuple[str, ...] = ("square", "line")
    colours: tuple[str, str] = ("C0", "C1")
    style: str = "--"
    marker: str = "o"
    width: float = 1.8
    points: int = 30
    title: str = "Two curves"
    ylabel: str = "y"
    curves: int = 2
    legend: bool = True
    size: tuple[float, float] = (6.4, 3.6)

    def draw(self) -> Figure:
        figure = Figure(figsize=self.size)
        ax = figure.subplots()
        x = np.linspace(0, 1, self.points)
        values = [x**2 * self.factor + self.shift, x]
        for i in range(self.curves):
            style = f"-{self.marker}" if i == 0 else self.style
            label = self.labels[i] if i < len(self.labels) else None
            ax.plot(x, values[i], style, color=self.colours[i], label=label, lw=self.width)
        ax.set(title=self.title, xlabel="$x^2$", ylabel=self.ylabel, xlim=(0, 1), ylim=(0, 1))
        if self.legend:
            ax.legend()
        return figure


def svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    return buffer.getvalue()


CURVES = Curves()


@pytest.mark.parametrize(
    "changed",
    [
        CURVES,
        replace(CURVES, factor=1 + 1e-6),
        replace(CURVES, shift=1e-6),
        replace(CURVES, shift=0.008),
    ],
    ids=["untouched", "scaled in the 6th digit", "moved in the 6th digit", "moved by 0.8 %"],
)
def test_the_same_curves_pass(changed: Curves) -> None:
    """Oracle: data moved by less than 1 % of the axis."""
    assert figure_difference(svg(CURVES.draw()), svg(changed.draw())) is None


@pytest.mark.parametrize(
    "changed",
    [
        replace(CURVES, shift=0.02),
        replace(CURVES, shift=-0.02),
        replace(CURVES, factor=1.03),
        replace(CURVES, labels=("line", "square")),
        replace(CURVES, labels=("square", "linE")),
        replace(CURVES, labels=("square",)),
        replace(CURVES, colours=("C1", "C0")),
        replace(CURVES, style=":"),
        replace(CURVES, marker="s"),
        replace(CURVES, marker="h"),
        replace(CURVES, width=2.0),
        replace(CURVES, points=31),
        replace(CURVES, title="Three curves"),
        replace(CURVES, ylabel="z"),
        replace(CURVES, curves=1),
        replace(CURVES, legend=False),
        replace(CURVES, size=(6.4, 4.0)),
    ],
    ids=lambda changed: ", ".join(
        f"{name}={value}" for name, value in vars(changed).items() if value != getattr(CURVES, name)
    ),
)
def test_changed_curves_fail_in_both_directions(changed: Curves) -> None:
    """Oracle: the change itself."""
    old, new = svg(CURVES.draw()), svg(changed.draw())
    assert figure_difference(old, new)
    assert figure_difference(new, old)


def test_markers_of_one_stroke_pattern_are_told_apart() -> None:
    """Oracle: square, diamond and triangles have the same commands and nearly the same size."""
    figures = {m: svg(replace(CURVES, marker=m).draw()) for m in "sD^v<>"}
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
    left, right = figure.subplots(1, 2)
    left.plot(DATA)
    left.set_ylim(0, 1)
    right.plot(data)
    right.set_ylim(0, 1)
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
    "second axes": two_axes,
    "colour bar": colour_bar,
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_every_kind_of_plot_passes_last_digits_and_fails_two_percent(name: str) -> None:
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
def test_a_heat_map_with_one_changed_cell_fails(side: int) -> None:
    """Oracle: one entry moved by 20 % of the range; all entries moved by 0.1 % of it."""
    matrix = np.arange(side * side, dtype=np.float64).reshape(side, side)
    changed = matrix.copy()
    changed[3, 4] += 0.2 * matrix.size
    stored = heat_map(matrix)
    assert figure_difference(stored, heat_map(matrix + 1e-3 * matrix.size)) is None
    reason = figure_difference(stored, heat_map(changed))
    assert reason is not None
    assert "pixels changed" in reason


def test_swapped_rows_of_a_heat_map_fail() -> None:
    """Oracle: two exchanged rows."""
    matrix = np.arange(100.0).reshape(10, 10)
    assert figure_difference(heat_map(matrix), heat_map(matrix[[1, 0, *range(2, 10)]]))


def test_a_picture_without_axes_is_compared_too() -> None:
    """Oracle: the point that moves by 5 % of the axes that are switched off."""

    def draw(y: float) -> str:
        figure = Figure()
        ax = figure.subplots()
        ax.plot([0, 1], [0.2, y])
        ax.set(ylim=(0, 1))
        ax.axis("off")
        return svg(figure)

    assert figure_difference(draw(0.5), draw(0.5 + 1e-7)) is None
    assert figure_difference(draw(0.5), draw(0.55))


@pytest.mark.parametrize("broken", ["", "<svg", "text", "<html></html>"])
def test_what_is_no_svg_fails_with_a_sentence(broken: str) -> None:
    """Oracle: text that no reader of SVG accepts."""
    assert figure_difference(svg(CURVES.draw()), broken)
    assert figure_difference(broken, svg(CURVES.draw()))
