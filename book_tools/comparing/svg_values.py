"""The values of SVG attributes as matplotlib writes them: paths, transforms, styles, links."""

import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_PATH_PART = re.compile(rf"[A-Za-z]|{_NUMBER}")
_FUNCTION = re.compile(r"(\w+)\s*\(([^)]*)\)")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_LINK = re.compile(r"url\(#([^)]+)\)|#(.+)")
_HASHED = re.compile(r"([A-Za-z]+|C[0-9a-f]+_[0-9a-f]+_)[0-9a-f]{10}")

#: Neighbouring colours of a map lie up to 4 of 255 levels apart in a channel.
_COLOUR_LEVELS = 4

Array = NDArray[np.float64]


def near(old: Array, new: Array, tolerance: Array | float) -> bool:
    """Whether no number moved by more than the tolerance, of (n, 2) points that of its axis."""
    return bool((np.abs(old - new) <= tolerance).all())


@dataclass
class Names:
    """Which generated name of the stored figure is which of the fresh one.

    matplotlib derives names from the content of a path, so the last digit of a coordinate
    changes them. What counts is that both figures use their names in the same places.
    """

    forward: dict[str, str] = field(default_factory=dict)
    backward: dict[str, str] = field(default_factory=dict)

    def agree(self, old: str, new: str) -> bool:
        """Whether two names are equal, or generated ones that always stand for each other."""
        hashed, other = _HASHED.fullmatch(old), _HASHED.fullmatch(new)
        if hashed is None or other is None:
            return old == new
        return (
            hashed[1] == other[1]
            and self.forward.setdefault(old, new) == new
            and self.backward.setdefault(new, old) == old
        )


def is_generated(name: str) -> bool:
    """Whether a name is derived from content; glyphs such as DejaVuSans-41 are not."""
    return _HASHED.fullmatch(name) is not None


def path_points(d: str) -> tuple[str, Array]:
    """Return the command letters of a path and its (n, 2) coordinates."""
    parts = _PATH_PART.findall(d)
    letters = "".join(part for part in parts if part.isalpha())
    if set(letters) - set("MLQCzZ"):
        raise ValueError(f"unknown path command among {letters!r}")
    numbers = [float(part) for part in parts if not part.isalpha()]
    return letters, np.array(numbers, dtype=np.float64).reshape(-1, 2)


def value_agrees(old: str, new: str, names: Names) -> bool:
    """Whether two values of a style are equal, colours and links by their own rules."""
    if _COLOUR.fullmatch(old) and _COLOUR.fullmatch(new):
        levels, others = (np.array([*bytes.fromhex(value[1:])], float) for value in (old, new))
        return near(levels, others, _COLOUR_LEVELS)
    link, other = _LINK.fullmatch(old), _LINK.fullmatch(new)
    if link and other:
        return names.agree(link[1] or link[2], other[1] or other[2])
    return old == new


def style_agrees(old: str, new: str, names: Names) -> bool:
    """Whether two style attributes set the same properties to the same values, in order."""
    left, right = (
        [[part.strip() for part in entry.partition(":")] for entry in style.split(";")]
        for style in (old, new)
    )
    return [entry[0] for entry in left] == [entry[0] for entry in right] and all(
        value_agrees(a[2], b[2], names) for a, b in zip(left, right, strict=True)
    )


def functions(transform: str) -> list[tuple[str, Array]]:
    """Return the functions of a transform, such as ``translate(3 4)``, with their arguments."""
    return [
        (name, np.array(re.findall(_NUMBER, arguments), float))
        for name, arguments in _FUNCTION.findall(transform)
    ]


def transforms_agree(old: str, new: str, tolerance: Array) -> bool:
    """Whether two transforms shift within the tolerance and scale and turn to 1 % (0.5°)."""
    left, right = functions(old), functions(new)
    if [(name, len(args)) for name, args in left] != [(name, len(args)) for name, args in right]:
        return False
    for (name, shift), (_, other) in zip(left, right, strict=True):
        moves = 2 if name in ("translate", "matrix") else 0  # numbers at the end that shift
        ends = [np.resize(args[-2:], 2) for args in (shift, other)]
        if moves and not near(ends[0], ends[1], tolerance):
            return False
        keep = len(shift) - moves
        slack = 0.5 if name == "rotate" else 0.0
        if keep > 0 and not np.allclose(shift[:keep], other[:keep], rtol=0.01, atol=slack):
            return False
    return True
