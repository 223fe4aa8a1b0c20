"""When are two embedded pictures the same? Compared pixel by pixel, in levels of 0 to 255."""

import base64
import binascii
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: Levels by which a pixel may differ: a colour map turns a moved last digit into a few levels.
_LEVEL_TOLERANCE = 8
#: Share of the pixels that may differ by more: one cell of a 28×28 image is 0.13 % of the pixels.
_SHARE_TOLERANCE = 0.001
_MEAN_TOLERANCE = 1.0  # levels, over the whole picture

_PREFIX = "data:image/png;base64,"


def is_embedded(reference: str) -> bool:
    """Whether a link holds the picture itself instead of an address."""
    return reference.startswith("data:")


def _decode(reference: str) -> NDArray[np.int16]:
    """Return the (height, width, 4) levels of a PNG given as a data link."""
    if not reference.startswith(_PREFIX):
        raise ValueError(f"a picture in a figure must be an embedded PNG, got {reference[:40]!r}")
    try:
        raw = base64.b64decode("".join(reference[len(_PREFIX) :].split()), validate=True)
        with Image.open(io.BytesIO(raw)) as picture:
            return np.asarray(picture.convert("RGBA"), dtype=np.int16)
    except (binascii.Error, OSError) as error:
        raise ValueError(f"a picture in a figure cannot be read as PNG: {error}") from error


def raster_difference(stored: str, fresh: str) -> str | None:
    """Return how two embedded pictures differ, or None."""
    old, new = _decode(stored), _decode(fresh)
    if old.shape != new.shape:
        return f"picture of {old.shape[:2]} pixels became one of {new.shape[:2]}"
    distance = np.abs(old - new)
    share = float((distance.max(axis=-1) > _LEVEL_TOLERANCE).mean())
    mean = float(distance.mean())
    if share > _SHARE_TOLERANCE or mean > _MEAN_TOLERANCE:
        return f"{share:.2%} of the picture's pixels changed, by {mean:.1f} levels on average"
    return None
