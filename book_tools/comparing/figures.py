"""When are two figures the same? Their SVG trees agree, and no coordinate moved visibly.

Elements, texts, widths and dashes agree exactly, in order. A coordinate may move by 1 % of the
axes it lies in, so the same curve from another processor passes and a curve moved by 2 % of its
axis fails. Embedded pictures are compared pixel by pixel, in levels of 0 to 255.
"""

import base64
import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from functools import lru_cache
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float64]

_SVG = "{http://www.w3.org/2000/svg}"
_SHARE = 0.01
_FLOOR = 0.02  # points: below what anybody sees, above what a processor changes
_TEXT_POINTS = 0.1
#: Neighbouring colours of a map lie up to 4 of 255 levels apart in a channel.
_COLOUR_LEVELS = 4
#: Levels by which a pixel may differ: a colour map turns a moved last digit into a few levels.
_PIXEL_LEVELS = 8
#: Share of the pixels that may differ by more: one cell of a 28×28 image is 0.13 % of the pixels.
_PIXEL_SHARE = 0.001
_MEAN_LEVELS = 1.0  # over the whole picture

#: Attributes that hold lengths, each with the axis along which it lies.
_LENGTHS = {"x": 0, "width": 0, "y": 1, "height": 1}
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}(?![\w-])")
_SCALE = re.compile(rf"scale\(({_NUMBER.pattern})")
_FUNCTION = re.compile(r"(\w+)\s*\(([^)]*)\)")
#: matplotlib derives names from the content of a path, so the last digit of a coordinate changes
#: them; names of glyphs, such as DejaVuSans-41, it does not.
_HASHED = re.compile(r'(?<=["#])([A-Za-z]+|C[0-9a-f]+_[0-9a-f]+_)[0-9a-f]{10}(?=[")])')


def _numbers(text: str) -> Array:
    return np.array(_NUMBER.findall(text), float)


def _tolerance(size: Array) -> Array:
    """Return how far a coordinate may move within something of this width and height."""
    return np.maximum(_SHARE * size, _FLOOR)


def _size(points: Array) -> Array:
    return np.ptp(points, axis=0) if len(points) else np.zeros(2)


def _outline(element: ET.Element) -> Array:
    """Return width and height of a rectangle or a path."""
    if "d" in element.attrib:
        return _size(_numbers(element.attrib["d"]).reshape(-1, 2))
    return _numbers(f"{element.get('width', 0)} {element.get('height', 0)}")


def _axes_size(axes: ET.Element, clips: dict[str, Array]) -> Array | None:
    """Return the size of axes: of what their artists are clipped to, or of their background."""
    used = {element.get("clip-path", "") for element in axes.iter()}
    sizes = [clips[name] for name in used if name in clips]
    patch = axes.find(f"{_SVG}g/{_SVG}path") if axes[0].get("id", "").startswith("patch_") else None
    if not sizes and patch is not None:
        sizes = [_outline(patch)]
    return max(sizes, key=tuple, default=None)


class _Part(NamedTuple):
    """An element, where it stands, and how far its coordinates may move."""

    element: ET.Element
    place: str
    depth: int
    tolerance: Array

    @property
    def tag(self) -> str:
        tag: Any = self.element.tag  # the function ET.Comment stands here for a comment
        return tag.removeprefix(_SVG) if isinstance(tag, str) else "comment"

    @property
    def text(self) -> str:
        return (self.element.text or "").strip()

    def __str__(self) -> str:
        return f"<{self.tag} {self.element.get('id', '')}> {self.text!r}"


def _parts(part: _Part, clips: dict[str, Array]) -> Iterator[_Part]:
    """Yield a part and all parts within it."""
    element, place, depth, tolerance = part
    if part.tag == "g" and "id" in element.attrib:
        place = f"{place}/{element.get('id')}"
    if len(element) and re.fullmatch(r"axes_\d+", element.get("id", "")):
        size = _axes_size(element, clips)
        tolerance = tolerance if size is None else _tolerance(size)
    yield _Part(element, place, depth, tolerance)
    scale = part.tag == "g" and _SCALE.search(element.get("transform", ""))
    if scale and float(scale[1]):  # text
        tolerance = np.full(2, _TEXT_POINTS / abs(float(scale[1])))
    for child in element if part.tag != "metadata" else ():
        defines = part.tag == "defs" and "d" in child.attrib
        inside = _tolerance(_outline(child)) if defines else tolerance
        yield from _parts(_Part(child, place, depth + 1, inside), clips)


@lru_cache(maxsize=2)
def _figure(svg: str) -> list[_Part]:
    """Return the parts of a figure, whose generated names are numbers in the order of their use."""
    seen: dict[str, int] = {}
    svg = _HASHED.sub(lambda m: f"{m[1]}.{seen.setdefault(m[0], len(seen))}", svg)
    parser = ET.XMLParser(target=ET.TreeBuilder(insert_comments=True))
    root: ET.Element = ET.fromstring(svg, parser)
    found = [clip for clip in root.iter(f"{_SVG}clipPath") if len(clip)]
    clips = {f"url(#{clip.get('id')})": _outline(clip[0]) for clip in found}
    return [*_parts(_Part(root, "figure", 0, _tolerance(_outline(root))), clips)]


def _limits(part: _Part, name: str, value: str) -> Array | float:
    """Return how far each number of an attribute may move; scales and angles by 1 % (0.5°)."""
    if name in _LENGTHS:
        return float(part.tolerance[_LENGTHS[name]])
    if name == "viewBox":
        return np.resize(part.tolerance, 4)
    if name != "transform":
        return _COLOUR_LEVELS
    limits: list[float] = []
    for function, arguments in _FUNCTION.findall(value):
        own = 0.01 * np.abs(_numbers(arguments)) + (0.5 if function == "rotate" else 0)
        if function in ("translate", "matrix"):
            own[-2:] = part.tolerance[: len(own)]
        limits += [*own]
    return np.array(limits)


def _split(name: str, value: str) -> tuple[str, Array]:
    """Return a value without its coordinates, or without its colours, and these as numbers."""
    if name in (*_LENGTHS, "d", "viewBox", "transform"):
        return _NUMBER.sub("0", value), _numbers(value)
    levels = [level for colour in _COLOUR.findall(value) for level in bytes.fromhex(colour[1:])]
    return _COLOUR.sub("#", value), np.array(levels, float)


def _attribute_difference(part: _Part, name: str, old: str, new: str) -> str | None:
    if old.startswith("data:") and new.startswith("data:"):
        return raster_difference(*(base64.b64decode(x.partition(",")[2]) for x in (old, new)))
    (words, numbers), (other_words, others) = _split(name, old), _split(name, new)
    if name == "d":
        if words == other_words:
            return _path_difference(part, numbers.reshape(-1, 2), others.reshape(-1, 2))
        n_old, n_new = (sum(map(str.isalpha, each)) for each in (words, other_words))
        return f"drawn with {n_new} strokes instead of {n_old}, or with others"
    if words == other_words and (np.abs(numbers - others) <= _limits(part, name, old)).all():
        return None
    return f"{name} was {old!r}, is {new!r}"


def _path_difference(part: _Part, points: Array, others: Array) -> str | None:
    if "/PathCollection_" in part.place and len(points):  # a marker of a scatter plot
        place, other = ((p.min(axis=0) + p.max(axis=0)) / 2 for p in (points, others))
        if (np.abs(points - place - others + other) > _tolerance(_size(points))).any():
            return "a marker has another shape or size"
        points, others = place[None], other[None]
    moved, allowed = np.abs(points - others).max(axis=0, initial=0), part.tolerance
    if (moved <= allowed).all():
        return None
    far, most = (distance.round(2).tolist() for distance in (moved, allowed))
    return f"moved by up to {far} points; {most} are allowed"


def raster_difference(stored: bytes, fresh: bytes) -> str | None:
    """Return how visibly two pictures of pixels differ, or None."""
    pictures = (Image.open(io.BytesIO(file)) for file in (stored, fresh))
    old, new = (np.asarray(picture.convert("RGBA"), np.int16) for picture in pictures)
    if old.shape != new.shape:
        return f"picture of {old.shape[:2]} pixels became one of {new.shape[:2]}"
    distance = np.abs(old - new)
    share, mean = (distance.max(axis=-1) > _PIXEL_LEVELS).mean(), distance.mean()
    if share > _PIXEL_SHARE or mean > _MEAN_LEVELS:
        return f"{share:.2%} of the picture's pixels changed, by {mean:.1f} levels on average"
    return None


def figure_difference(stored: str, fresh: str) -> str | None:
    """Return the first visible difference between two SVG figures of matplotlib, or None."""
    try:
        for old, new in zip_longest(_figure(stored), _figure(fresh)):
            kinds = [(part.tag, part.text, part.depth) for part in (old, new) if part]
            if len(set(kinds)) > 1 or len(kinds) == 1:
                place = (old or new).place
                return f"{place}: stored {old or 'nothing'}, got {new or 'nothing'}"
            if old.element.keys() != new.element.keys():
                names = f"{new.element.keys()} instead of {old.element.keys()}"
                return f"{old.place}: {old.tag} has the attributes {names}"
            for name, value in old.element.items():
                other = new.element.attrib[name]
                if value != other and (reason := _attribute_difference(old, name, value, other)):
                    return f"{old.place}: {old.tag}, {reason}"
    except (ET.ParseError, ValueError, OSError) as error:
        return f"a figure cannot be compared: {error}"
    return None
