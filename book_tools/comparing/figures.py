"""When are two figures the same? Their SVG trees agree, and no coordinate moved visibly.

Elements, texts, glyphs, colours, widths and dashes agree exactly, in order. A coordinate may
move by 1 % of the axes it lies in, so the same curve from another processor passes and a curve
moved by 2 % of its axis fails.
"""

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import numpy as np

from .rasters import is_embedded, raster_difference
from .svg_values import (
    Names,
    Points,
    Tolerance,
    box_size,
    functions,
    is_generated,
    path_points,
    style_agrees,
    transforms_agree,
    value_agrees,
)

_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_SHARE = 0.01
_FLOOR = 0.02  # points: below what anybody sees, above what a processor changes
_TEXT_POINTS = 0.1
_NAMING = ("id", "clip-path", _LINK)
_LENGTHS = {"x": 0, "width": 0, "y": 1, "height": 1}

Size = tuple[float, float]


def _tolerance(size: Size) -> Tolerance:
    return Tolerance(*(max(_SHARE * length, _FLOOR) for length in size))


def _tag(element: ET.Element) -> str:
    tag: Any = element.tag  # the function ET.Comment stands here for a comment
    return tag.removeprefix(_SVG) if isinstance(tag, str) else "comment"


def _length(text: str) -> float:
    return float(text.removesuffix("pt").removesuffix("px"))


def _outline(element: ET.Element) -> Size:
    """Return the size of a rectangle or a path."""
    if _tag(element) == "rect":
        return _length(element.get("width", "0")), _length(element.get("height", "0"))
    return box_size(path_points(element.get("d", ""))[1])


def _clip_sizes(root: ET.Element) -> dict[str, Size]:
    return {
        f"url(#{clip.get('id')})": _outline(clip[0])
        for clip in root.iter(f"{_SVG}clipPath")
        if len(clip)
    }


def _axes_size(axes: ET.Element, clips: dict[str, Size]) -> Size | None:
    """Return the size of axes: of what their artists are clipped to, or of their background."""
    used = {element.get("clip-path", "") for element in axes.iter()}
    sizes = [clips[name] for name in used if name in clips]
    patch = axes.find(f"{_SVG}g/{_SVG}path") if axes[0].get("id", "").startswith("patch_") else None
    if not sizes and patch is not None:
        sizes = [_outline(patch)]
    return max(sizes, default=None)


@dataclass
class _Comparison:
    """One walk through two trees in step."""

    clips: dict[str, Size]
    names: Names = field(default_factory=Names)

    def difference(
        self, old: ET.Element, new: ET.Element, tolerance: Tolerance, place: str
    ) -> str | None:
        """Return the first difference of two elements or of what they hold."""
        if _tag(old) != _tag(new):
            return f"{place}: stored {_label(old)}, got {_label(new)}"
        if _tag(old) == "metadata":
            return None
        place = "/".join(filter(None, (place, old.get("id") if _tag(old) == "g" else "")))
        text, other = ((element.text or "").strip() for element in (old, new))
        if text != other:
            return f"{place}: stored the text {text!r}, got {other!r}"
        own = _outer_tolerance(old, self.clips) or tolerance
        if reason := self._attributes(old, new, own, place):
            return f"{place}: {reason}"
        return self._children(old, new, _inner_tolerance(old, own), place)

    def _children(
        self, old: ET.Element, new: ET.Element, tolerance: Tolerance, place: str
    ) -> str | None:
        for a, b in zip_longest(old, new):
            if a is None or b is None:
                return f"{place}: stored {_label(a)}, got {_label(b)}"
            inside = tolerance
            if _tag(old) == "defs" and _tag(a) == "path":
                inside = _tolerance(_outline(a))
            if reason := self.difference(a, b, inside, place):
                return reason
        return None

    def _attributes(
        self, old: ET.Element, new: ET.Element, tolerance: Tolerance, place: str
    ) -> str | None:
        if old.keys() != new.keys():
            return f"{_tag(old)} has the attributes {new.keys()} instead of {old.keys()}"
        for name, value in old.items():
            other = new.get(name, "")
            if value == other and name not in _NAMING:
                continue
            if name == "d":
                reason = _path_difference(old, new, tolerance, place)
            elif name == _LINK and is_embedded(value) and is_embedded(other):
                reason = raster_difference(value, other)
            else:
                agrees = self._value_agrees(name, value, other, tolerance)
                reason = None if agrees else f"{name} was {value!r}, is {other!r}"
            if reason:
                return f"{_tag(old)}, {reason}"
        return None

    def _value_agrees(self, name: str, old: str, new: str, tolerance: Tolerance) -> bool:
        if name in _LENGTHS:
            limit = (tolerance.x, tolerance.y)[_LENGTHS[name]]
            return abs(_length(old) - _length(new)) <= limit
        if name == "viewBox":
            return tolerance.allows(_corners(old), _corners(new))
        if name == "transform":
            return transforms_agree(old, new, tolerance)
        if name == "style":
            return style_agrees(old, new, self.names)
        if name == "id":
            return self.names.agree(old, new)
        return value_agrees(old, new, self.names)


def _corners(box: str) -> Points:
    """Return a viewBox as origin and size, in two rows."""
    return np.array(box.split(), dtype=np.float64).reshape(2, 2)


def _label(element: ET.Element | None) -> str:
    """Return a short name of an element: ``<g id='line2d_3'>`` or the text of a comment."""
    if element is None:
        return "nothing"
    if _tag(element) == "comment":
        return f"the text {(element.text or '').strip()!r}"
    name = element.get("id")
    return f"<{_tag(element)} id={name!r}>" if name else f"<{_tag(element)}>"


def _outer_tolerance(element: ET.Element, clips: dict[str, Size]) -> Tolerance | None:
    """Return the tolerance within axes, or None for any other element."""
    if not re.fullmatch(r"axes_\d+", element.get("id", "")) or len(element) == 0:
        return None
    size = _axes_size(element, clips)
    return None if size is None else _tolerance(size)


def _inner_tolerance(element: ET.Element, own: Tolerance) -> Tolerance:
    """Return the tolerance of an element's children: within text it is a tenth of a point."""
    for name, arguments in functions(element.get("transform", "")):
        if name == "scale" and _tag(element) == "g" and arguments[0]:
            limit = _TEXT_POINTS / abs(arguments[0])
            return Tolerance(limit, limit)
    return own


def _path_difference(
    old: ET.Element, new: ET.Element, tolerance: Tolerance, place: str
) -> str | None:
    if "id" in old.keys() and not is_generated(old.get("id", "")):  # noqa: SIM118 — no mapping
        return f"the glyph {old.get('id')} is drawn differently"
    letters, points = path_points(old.get("d", ""))
    other_letters, other = path_points(new.get("d", ""))
    if letters != other_letters:
        return f"drawn with {len(other_letters)} strokes {_short(other_letters)} instead of " + (
            f"{len(letters)} {_short(letters)}"
        )
    if "/PathCollection_" in place and len(points):  # a marker of a scatter plot: place and shape
        middle, other_middle = (p.min(axis=0) / 2 + p.max(axis=0) / 2 for p in (points, other))
        if not _tolerance(box_size(points)).allows(points - middle, other - other_middle):
            return "a marker has another shape or size"
        points, other = middle, other_middle
    if tolerance.allows(points, other):
        return None
    moved = np.abs(points - other).reshape(-1, 2).max(axis=0)
    limits = f"({tolerance.x:.2f}, {tolerance.y:.2f})"
    return f"moved by up to ({moved[0]:.2f}, {moved[1]:.2f}) points; {limits} are allowed"


def _short(letters: str) -> str:
    return letters if len(letters) <= 8 else f"{letters[:8]}…"


def figure_difference(stored: str, fresh: str) -> str | None:
    """Return the first visible difference between two SVG figures of matplotlib, or None."""
    parsers = [ET.XMLParser(target=ET.TreeBuilder(insert_comments=True)) for _ in range(2)]
    try:
        old = ET.fromstring(stored, parsers[0])
        new = ET.fromstring(fresh, parsers[1])
        size = _length(old.get("width", "0")), _length(old.get("height", "0"))
        return _Comparison(_clip_sizes(old)).difference(old, new, _tolerance(size), "figure")
    except ET.ParseError as error:
        return f"a figure is not a well-formed SVG: {error}"
    except ValueError as error:
        return f"a figure cannot be compared: {error}"
