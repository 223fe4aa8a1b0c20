"""The picture of the front page, wide and tall, and the card by which other sites show the book.

Three networks that recognize clothes, as squares whose areas are the bytes of their files, and all
bytes of the smallest.
"""

import base64
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from book_tools.files import ROOT

PICTURE, CARD = ROOT / "_static/front.svg", ROOT / "_static/card.png"
TALL = ROOT / "_static/front-tall.svg"  # for phones
BOOK = "Model Compression, Formula by Formula"
FILE = ROOT / "data/deployed/fashion.bin"
_BLUE, _ORANGE, _GREEN, _INK = "#0072B2", "#D55E00", "#009E73", "#1d2733"
_COLUMNS = 32  # of bytes
_STYLE: Any = {"svg.hashsalt": "book", "font.size": 9, "svg.fonttype": "path"}


class Network(NamedTuple):
    """A file of a network, and the percentage of test images that it gets right."""

    name: str
    n_bytes: int
    accuracy: float


def networks(results: Path = ROOT / "data/results") -> list[Network]:
    """Return the teacher, the deployed student and the smallest network, from the records."""
    deployed = json.loads((results / "deployment.json").read_text("utf-8"))["agreement"]
    found = {row["network"]: (row["bytes"], row["test"]) for row in deployed}
    (large, right), (medium, nearly) = found["teacher"], found["deployed"]
    shipped = base64.b64encode(FILE.read_bytes()).decode("ascii")
    runs = json.loads((results / "smallest.json").read_text("utf-8"))["runs"]
    (small,) = [run for run in runs if run["file"] == shipped]
    return [
        Network("trained in 32 bits", large["float32"], right["float32"]),
        Network("distilled, 4 bits", medium["int8"], nearly["int8"]),
        Network("every byte counted", small["bytes"], 100 - small["test_error"]),
    ]


def draw_squares(axes: Axes, rows: list[Network]) -> None:
    """Draw each file as a square to scale, with its name, bytes and accuracy beside it."""
    sides = [row.n_bytes**0.5 for row in rows]
    whole, texts = sides[0], (0.83, 0.5, 0.17)
    for row, side, colour, y in zip(rows, sides, (_BLUE, _ORANGE, _GREEN), texts, strict=True):
        place = (0, 0) if side == whole else (1.08 * whole, y * whole - side / 2)
        axes.add_patch(Rectangle(place, side, side, color=colour, linewidth=0))
        label = f"{row.n_bytes:,} bytes\n{row.name}\n{row.accuracy:.1f} % right"
        axes.text(1.25 * whole, y * whole, label, color=_INK, va="center", linespacing=1.15)
    axes.text(whole / 2, whole / 2, "area = bytes", color="white", ha="center", va="center")
    axes.plot([whole, 1.23 * whole], [texts[0] * whole] * 2, color=_BLUE, linewidth=1)
    axes.set(xlim=(-0.02 * whole, 2.1 * whole), ylim=(-0.02 * whole, 1.02 * whole), aspect="equal")
    axes.axis("off")


def draw_bytes(axes: Axes) -> None:
    """Draw all bytes of the smallest network, row by row, as shades."""
    values = np.frombuffer(FILE.read_bytes(), dtype=np.uint8)
    shown = np.pad(values.astype(float), (0, -len(values) % _COLUMNS), constant_values=np.nan)
    axes.imshow(shown.reshape(-1, _COLUMNS), cmap="BuGn_r", vmin=-40, vmax=330)
    axes.set_title(f"its {len(values)} bytes, enlarged", fontsize=9, color=_INK)
    axes.axis("off")


def figure(width: float, height: float) -> Figure:
    """Return the picture in that size, in inches: its parts side by side if that is wide."""
    drawn = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    if width > height:
        squares, mosaic = drawn.subplots(1, 2, width_ratios=(2.1, 1))
    else:
        squares, mosaic = drawn.subplots(2, 1)
    draw_squares(squares, networks())
    draw_bytes(mosaic)
    return drawn


def card(chapter: str = "") -> bytes:
    """Return the card of the book, or of a chapter with that title, as PNG."""
    made = io.BytesIO()
    with mpl.rc_context({"font.size": 10}):
        wide = figure(8.0, 4.2)
        wide.suptitle(chapter or BOOK, color=_INK, fontsize=20, y=0.94)
        wide.supxlabel(chapter and BOOK, color=_INK, fontsize=12, y=0.05)
        wide.set_layout_engine("constrained", rect=(0.03, 0.02, 0.94, 0.96))
        wide.set_dpi(150)  # 1200 × 630 pixels
        FigureCanvasAgg(wide).print_png(made, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return made.getvalue()


def pages() -> dict[Path, str | bytes]:
    """Return path → content of the three files."""
    return {PICTURE: _drawn(5.2, 2.1), TALL: _drawn(3.6, 3.7), CARD: card()}


def _drawn(width: float, height: float) -> str:
    made = io.StringIO()
    with mpl.rc_context(_STYLE):
        FigureCanvasSVG(figure(width, height)).print_svg(made, metadata={"Date": None})  # type: ignore[no-untyped-call]
    return made.getvalue()
