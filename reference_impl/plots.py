"""The book's figures: one style, and plots that draw numbers on given axes.

The only module that imports matplotlib. Nothing is computed here: numbers go in.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

import matplotlib as mpl
import matplotlib.style
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib_inline.backend_inline import set_matplotlib_formats

from reference_impl.checked import Where, checked

#: Okabe and Ito (2008): told apart by colour-blind readers too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

ONE_OR_MORE = Where("one or more", bool)
Names = Annotated[Sequence[str], ONE_OR_MORE]

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


@checked
def plot_shares(
    ax: Axes,
    parts: Names,
    shares: Annotated[Mapping[str, Sequence[float]], ONE_OR_MORE],
    *,
    whole: str,
) -> None:
    """Draw, for each part of a whole, from top to bottom, one bar per quantity: its share in %.

    Raises:
        ValueError: if a quantity does not have one share per part.
    """
    for quantity, values in shares.items():
        if len(values) != len(parts):
            raise ValueError(f"shares[{quantity!r}] must hold {len(parts)}, got {len(values)}")
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


@checked
def plot_method_map(
    ax: Axes, methods: Names, quantities: Names, left: Sequence[Sequence[float]]
) -> None:
    """Draw a table of methods and quantities; cells with less than before are filled.

    Args:
        ax: where to draw.
        methods: one a row, from top to bottom.
        quantities: one a column.
        left: what each method leaves of each quantity, 1 for all of it.

    Raises:
        ValueError: if ``left`` does not have one row per method and one value per quantity.
    """
    if [len(row) for row in left] != [len(quantities)] * len(methods):
        raise ValueError(f"left must have {len(methods)} rows of {len(quantities)}, got {left}")
    ax.set(xlim=(-0.5, len(quantities) - 0.5), ylim=(len(methods) - 0.5, -0.5))
    for row, values in enumerate(left):
        for column, value in enumerate(values):
            face, ink = (COLOURS[0], "white") if value < 1 else ("#eeeeee", "black")
            cell = (column - 0.48, row - 0.46)
            ax.add_patch(Rectangle(cell, 0.96, 0.92, facecolor=face, edgecolor="none"))
            ax.text(column, row, f"{value:.3f}", ha="center", va="center", color=ink)
    ax.set_xticks(range(len(quantities)), quantities)
    ax.set_yticks(range(len(methods)), methods)
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
