"""When are two embedded pictures the same? Compared pixel by pixel, in levels of 0 to 255."""

import base64
import binascii
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: A colour map moves a pixel by a few levels when the value under it moves in the last digit.
LEVEL_TOLERANCE = 8
#: One cell of a 28×28 image is 0.13 % of the pixels.
SHARE_TOLERANCE = 0.001
MEAN_TOLERANCE = 1.0

_PREFIX = "data:image/png;base64,"


def is_embedded(reference: str) -> bool:
    """Whether a link holds the picture itself instead of an address."""
    return reference.startswith("data:")


def _decode(reference: str) -> NDArray[np.int16]:
    """Return the (height, width, 4) levels of a PNG given as a data link.

    Raises:
        ValueError: if the link does not hold a readable PNG.
    """
    if not reference.startswith(_PREFIX):
        raise ValueError(f"a picture in a figure must be an embedded PNG, got {reference[:40]!r}")
    try:
        raw = base64.b64decode("".join(reference[len(_PREFIX) :].split()), validate=True)
        with Image.open(io.BytesIO(raw)) as picture:
            return np.asarray(picture.convert("RGBA"), dtype=np.int16)
    except (binascii.Error, OSError) as error:
        raise ValueError(f"a picture in a figure cannot be read as PNG: {error}") from error


def raster_difference(stored: str, fresh: str) -> str | None:
    """Return how two embedded pictures differ, or None.

    They are the same when they have one size, at most 0.1 % of the pixels differ by more than 8
    levels in some channel, and the mean absolute difference is at most one level.

    Raises:
        ValueError: if a link does not hold a readable PNG.
    """
    old, new = _decode(stored), _decode(fresh)
    if old.shape != new.shape:
        return f"picture of {old.shape[:2]} pixels became one of {new.shape[:2]}"
    distance = np.abs(old - new)
    share = float((distance.max(axis=-1) > LEVEL_TOLERANCE).mean())
    mean = float(distance.mean())
    if share > SHARE_TOLERANCE or mean > MEAN_TOLERANCE:
        return f"{share:.2%} of the picture's pixels changed, by {mean:.1f} levels on average"
    return None
