"""The book's figures: one style, and plots that draw numbers on given axes.

The only module that imports matplotlib. Nothing is computed here: numbers go in.
"""

import matplotlib as mpl
import matplotlib.style
from cycler import cycler
from matplotlib_inline.backend_inline import set_matplotlib_formats

#: Okabe and Ito (2008): told apart by colour-blind readers too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

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
