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
    Array,
    Names,
    functions,
    is_generated,
    near,
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


def _tolerance(size: Array) -> Array:
    """Return how far a coordinate may move within something of this width and height."""
    return np.maximum(_SHARE * size, _FLOOR)


def _tag(element: ET.Element) -> str:
    tag: Any = element.tag  # the function ET.Comment stands here for a comment
    return tag.removeprefix(_SVG) if isinstance(tag, str) else "comment"


def _text(element: ET.Element) -> str:
    return (element.text or "").strip()


def _length(text: str) -> float:
    return float(text.removesuffix("pt").removesuffix("px"))


def _size(points: Array) -> Array:
    return np.ptp(points, axis=0) if len(points) else np.zeros(2)


def _outline(element: ET.Element) -> Array:
    """Return width and height of a rectangle or a path."""
    if _tag(element) == "rect":
        return np.array([_length(element.get(name, "0")) for name in ("width", "height")])
    return _size(path_points(element.get("d", ""))[1])


def _axes_size(axes: ET.Element, clips: dict[str, Array]) -> Array | None:
    """Return the size of axes: of what their artists are clipped to, or of their background."""
    used = {element.get("clip-path", "") for element in axes.iter()}
    sizes = [clips[name] for name in used if name in clips]
    patch = axes.find(f"{_SVG}g/{_SVG}path") if axes[0].get("id", "").startswith("patch_") else None
    if not sizes and patch is not None:
        sizes = [_outline(patch)]
    return max(sizes, key=tuple, default=None)


@dataclass
class _Comparison:
    """One walk through two trees in step."""

    clips: dict[str, Array]
    names: Names = field(default_factory=Names)

    def difference(
        self, old: ET.Element, new: ET.Element, tolerance: Array, place: str
    ) -> str | None:
        """Return the first difference of two elements or of what they hold."""
        if (_tag(old), _text(old)) != (_tag(new), _text(new)):
            return f"{place}: stored {_label(old)}, got {_label(new)}"
        if _tag(old) == "metadata":
            return None
        if _tag(old) == "g" and "id" in old.attrib:
            place = f"{place}/{old.get('id')}"
        if len(old) and re.fullmatch(r"axes_\d+", old.get("id", "")):
            size = _axes_size(old, self.clips)
            tolerance = tolerance if size is None else _tolerance(size)
        if reason := self._attributes(old, new, tolerance, place):
            return f"{place}: {reason}"
        tolerance = _inner_tolerance(old, tolerance)
        for a, b in zip_longest(old, new):
            if a is None or b is None:
                return f"{place}: stored {_label(a)}, got {_label(b)}"
            defines = _tag(old) == "defs" and _tag(a) == "path"
            inside = _tolerance(_outline(a)) if defines else tolerance
            if reason := self.difference(a, b, inside, place):
                return reason
        return None

    def _attributes(
        self, old: ET.Element, new: ET.Element, tolerance: Array, place: str
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

    def _value_agrees(self, name: str, old: str, new: str, tolerance: Array) -> bool:
        if name in _LENGTHS:
            return bool(abs(_length(old) - _length(new)) <= tolerance[_LENGTHS[name]])
        if name == "viewBox":
            corners, others = (np.array(box.split(), float).reshape(2, 2) for box in (old, new))
            return near(corners, others, tolerance)
        if name == "transform":
            return transforms_agree(old, new, tolerance)
        if name == "style":
            return style_agrees(old, new, self.names)
        if name == "id":
            return self.names.agree(old, new)
        return value_agrees(old, new, self.names)


def _label(element: ET.Element | None) -> str:
    """Return what an element is, for a message."""
    if element is None:
        return "nothing"
    return f"<{_tag(element)} {element.get('id', '')}> {_text(element)!r}"


def _inner_tolerance(element: ET.Element, own: Array) -> Array:
    """Return the tolerance of an element's children: within text it is a tenth of a point."""
    for name, arguments in functions(element.get("transform", "")):
        if name == "scale" and _tag(element) == "g" and arguments[0]:
            return np.full(2, _TEXT_POINTS / abs(arguments[0]))
    return own


def _path_difference(old: ET.Element, new: ET.Element, tolerance: Array, place: str) -> str | None:
    if "id" in old.attrib and not is_generated(old.attrib["id"]):
        return f"the glyph {old.get('id')} is drawn differently"
    letters, points = path_points(old.get("d", ""))
    other_letters, other = path_points(new.get("d", ""))
    if letters != other_letters:
        return f"drawn with {len(other_letters)} strokes instead of {len(letters)}, or with others"
    if "/PathCollection_" in place and len(points):  # a marker of a scatter plot: place and shape
        middle, other_middle = (p.min(axis=0) / 2 + p.max(axis=0) / 2 for p in (points, other))
        if not near(points - middle, other - other_middle, _tolerance(_size(points))):
            return "a marker has another shape or size"
        points, other = middle, other_middle
    if near(points, other, tolerance):
        return None
    moved, allowed = np.abs(points - other).reshape(-1, 2).max(axis=0).round(2), tolerance.round(2)
    return f"moved by up to {moved.tolist()} points; {allowed.tolist()} are allowed"


def figure_difference(stored: str, fresh: str) -> str | None:
    """Return the first visible difference between two SVG figures of matplotlib, or None."""
    parsers = [ET.XMLParser(target=ET.TreeBuilder(insert_comments=True)) for _ in range(2)]
    try:
        old = ET.fromstring(stored, parsers[0])
        new = ET.fromstring(fresh, parsers[1])
        size = np.array([_length(old.get(name, "0")) for name in ("width", "height")])
        clips = {
            f"url(#{clip.get('id')})": _outline(clip[0])
            for clip in old.iter(f"{_SVG}clipPath")
            if len(clip)
        }
        return _Comparison(clips).difference(old, new, _tolerance(size), "figure")
    except ET.ParseError as error:
        return f"a figure is not a well-formed SVG: {error}"
    except ValueError as error:
        return f"a figure cannot be compared: {error}"
