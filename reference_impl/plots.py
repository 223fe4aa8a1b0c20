"""The book's figures: one style, and plots that draw numbers on given axes.

The only module that imports matplotlib. Nothing is computed here: numbers go in.
"""

import math
from collections.abc import Mapping, Sequence, Sized

import matplotlib as mpl
import matplotlib.style
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib_inline.backend_inline import set_matplotlib_formats

from reference_impl.checks import require_instance, require_real

#: Okabe and Ito (2008): told apart by colour-blind readers too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", ":")

_STYLE = {
    "axes.grid": True,
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": "medium",
    "figure.constrained_layout.use": True,
    "figure.figsize": (6.4, 3.6),
    "figure.facecolor": "white",
    "grid.alpha": 0.3,
    "image.cmap": "viridis",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "path.simplify": False,  # a stored curve keeps its points, so that it can be compared
    "svg.fonttype": "path",  # the same glyphs on every reader's machine
    "svg.hashsalt": "reference_impl",  # the same identifiers in every run
}


def use_book_style() -> None:
    """Set matplotlib's defaults and let notebooks store figures as SVG, which can be compared."""
    mpl.style.use(_STYLE)
    set_matplotlib_formats("svg", metadata={"Date": None})


def plot_shares(
    ax: Axes, parts: Sequence[str], shares: Mapping[str, Sequence[float]], *, whole: str
) -> None:
    """Draw, for each part of a whole, one bar per quantity and its share in percent.

    Args:
        ax: where to draw.
        parts: from top to bottom.
        shares: quantity → its share in each part, in percent.
        whole: what the parts belong to, for the axis label.

    Raises:
        TypeError: if ``ax`` is no Axes or a share no real number.
        ValueError: if there is nothing to draw, a quantity has not one share per part, or a
            share is not finite.
    """
    require_instance("ax", ax, Axes)
    _require_length("parts", parts)
    _require_length("shares", shares)
    for quantity, values in shares.items():
        _require_numbers(f"shares[{quantity!r}]", values, len(parts))
    height = 0.8 / len(shares)
    for row, (quantity, values) in enumerate(shares.items()):
        places = [part + (row - (len(shares) - 1) / 2) * height for part in range(len(parts))]
        bars = ax.barh(places, values, height=0.92 * height, label=quantity)
        ax.bar_label(bars, fmt="%.1f %%", padding=3, fontsize="small")
    ax.set_yticks(range(len(parts)), parts)
    ax.invert_yaxis()
    ax.set_axisbelow(True)
    ax.grid(visible=False, axis="y")
    ax.set(xlabel=f"share of {whole} (%)", xlim=(0, 108))
    ax.legend(loc="lower right")


def plot_roofline(
    ax: Axes,
    roofs: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    points: Mapping[str, Sequence[tuple[float, float]]],
) -> None:
    """Draw attainable speed against arithmetic intensity, and the measured speeds below it.

    Args:
        ax: where to draw; both axes become logarithmic.
        roofs: name → intensities (FLOP/byte) and attainable speeds (GFLOP/s).
        points: network → (intensity, speed) at each batch size, joined by a thin line.

    Raises:
        TypeError: if ``ax`` is no Axes or a value no real number.
        ValueError: if there is nothing to draw or more than there are styles, a roof has not
            one speed per intensity, a point is no pair, or a value is not positive and finite.
    """
    require_instance("ax", ax, Axes)
    _require_length("roofs", roofs, most=len(LINES))
    _require_length("points", points, most=len(COLOURS))
    for name, (intensities, speeds) in roofs.items():
        _require_numbers(f"roofs[{name!r}][0]", intensities, len(intensities), positive=True)
        _require_numbers(f"roofs[{name!r}][1]", speeds, len(intensities), positive=True)
    for name, places in points.items():
        _require_length(f"points[{name!r}]", places)
        for i, place in enumerate(places):
            _require_numbers(f"points[{name!r}][{i}]", place, 2, positive=True)
    for (name, (intensities, speeds)), style in zip(roofs.items(), LINES, strict=False):
        ax.plot(intensities, speeds, style, color="black", label=name)
    for (name, places), colour, marker in zip(points.items(), COLOURS, MARKERS, strict=False):
        x, y = zip(*places, strict=True)
        ax.plot(x, y, marker=marker, color=colour, linewidth=0.8, label=name)
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="arithmetic intensity (FLOP/byte)",
        ylabel="speed (GFLOP/s)",
    )
    ax.legend(loc="lower right", fontsize="small")


def plot_method_map(
    ax: Axes, methods: Sequence[str], quantities: Sequence[str], left: Sequence[Sequence[float]]
) -> None:
    """Draw a table of methods and quantities; cells with less than before are filled.

    Args:
        ax: where to draw.
        methods: one a row, from top to bottom.
        quantities: one a column.
        left: what each method leaves of each quantity, 1 for all of it.

    Raises:
        TypeError: if ``ax`` is no Axes or a value no real number.
        ValueError: if there is nothing to draw, ``left`` has not one row per method and one
            value per quantity, or a value is not finite.
    """
    require_instance("ax", ax, Axes)
    _require_length("methods", methods)
    _require_length("quantities", quantities)
    _require_length("left", left, len(methods), len(methods))
    for row, values in enumerate(left):
        _require_numbers(f"left[{row}]", values, len(quantities))
    ax.set(xlim=(-0.5, len(quantities) - 0.5), ylim=(len(methods) - 0.5, -0.5))
    for row, values in enumerate(left):
        for column, value in enumerate(values):
            smaller = value < 1
            cell = (column - 0.48, row - 0.46)
            face = COLOURS[0] if smaller else "#eeeeee"
            ax.add_patch(Rectangle(cell, 0.96, 0.92, facecolor=face, edgecolor="none"))
            ink = "white" if smaller else "black"
            ax.text(column, row, f"{value:.3f}", ha="center", va="center", color=ink)
    ax.set_xticks(range(len(quantities)), quantities)
    ax.set_yticks(range(len(methods)), methods)
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)


def _require_length(name: str, items: Sized, least: int = 1, most: int | None = None) -> None:
    """Require as many items as can be drawn, so that none is left out in silence."""
    if len(items) < least or (most is not None and len(items) > most):
        expected = f"at least {least}" if most is None else f"{least} to {most}"
        expected = f"{least}" if least == most else expected
        raise ValueError(f"{name} must hold {expected}, got {len(items)}")


def _require_numbers(
    name: str, values: Sequence[float], count: int, *, positive: bool = False
) -> None:
    """Require ``count`` finite numbers, one at least; a logarithmic axis needs positive ones."""
    _require_length(name, values, max(count, 1), max(count, 1))
    low = 0.0 if positive else -math.inf
    for i, value in enumerate(values):
        require_real(f"{name}[{i}]", value, low, open_low=positive)
