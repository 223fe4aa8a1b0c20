"""``python -m reference_impl classify IMAGE …``: which piece of clothing is in a picture.

A picture is prepared as those of Fashion-MNIST were: transparent parts become white, colours grey;
if the border is light, the picture is inverted; margins as dark as the border are cut off; the
longer side gets 28 pixels, and black fills up the shorter one. So one object on a plain background
is expected. The classes are printed with their probabilities, the most probable first.
"""

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reference_impl.data import IMAGE_SIZE
from reference_impl.files import ROOT, file_error, read_bytes
from reference_impl.folders import CLASS_NAMES

NETWORK = ROOT / "data" / "deployed" / "fashion.onnx"
MOST_PIXELS = 50_000_000  #: a picture of a telephone has 12 to 50 million
LEAST_SIDE = 8
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")  #: others write to stderr, or run programs
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")
MARGIN = 20  #: grey levels, of 255, by which a pixel of the object differs from the border
SHOWN = 3  #: classes of a line

Grey = np.ndarray[Any, np.dtype[np.uint8]]
Picture = np.ndarray[Any, np.dtype[np.float32]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code, 2 if a picture could not be read."""
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m reference_impl", description=__doc__, formatter_class=style
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    classify = commands.add_parser(
        "classify", help="clothes in pictures", description=__doc__, formatter_class=style
    )
    classify.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="PNG, JPEG, …")
    images = parser.parse_args(arguments).images
    try:
        answer = deployed()
    except (ImportError, OSError, ValueError) as error:
        print(f"classify: {error}", file=sys.stderr)  # noqa: T201
        return 2
    failed = False
    for path in images:
        name = str(path).encode(errors="replace").decode()  # not each name of a file is text
        try:
            shares = answer(picture(path))
        except ValueError as error:
            print(f"{name}: {error}", file=sys.stderr)  # noqa: T201
            failed = True
        else:
            best = shares.argsort()[::-1][:SHOWN]
            said = ", ".join(f"{CLASS_NAMES[k]} {100 * shares[k]:.1f} %" for k in best)
            print(f"{name}: {said}")  # noqa: T201
    return 2 if failed else 0


def deployed() -> Callable[[Picture], Picture]:
    """Return the map from a picture, 28×28, to the probabilities of the classes."""
    try:
        import onnxruntime  # type: ignore[import-untyped] # noqa: PLC0415 — an optional extra
        import PIL  # noqa: F401, PLC0415
    except ImportError as error:
        raise ImportError(f"{error}; pip install onnxruntime pillow") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # more only cost time, on so small a network
    providers = ["CPUExecutionProvider"]
    content = read_bytes(NETWORK)
    try:
        session = onnxruntime.InferenceSession(content, options, providers=providers)
    except Exception as error:  # noqa: BLE001 — the runtime has a class for each cause
        raise file_error(NETWORK, str(error)) from None

    def answer(pixels: Picture) -> Picture:
        (logits,) = session.run(None, {"x": pixels[None, None]})
        powers = np.exp(logits[0] - logits[0].max())
        return np.asarray(powers / powers.sum())

    return answer


def picture(path: Path) -> Picture:
    """Return a picture as the network expects it: 28×28, from 0 black to 1 white.

    Raises:
        ValueError: if the file is missing or damaged, or not one picture of a usual kind and size.
    """
    try:
        if not path.is_file():
            raise ValueError("no such file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters of it is refused in `_grey`
            grey = _grey(path)
    except ValueError:
        raise
    except PermissionError:
        raise ValueError("may not be read") from None
    except Exception as error:  # noqa: BLE001 — a decoder of damaged bytes may raise anything
        raise ValueError(f"damaged: {' '.join(str(error).split())}") from None
    return prepared(grey)


def _grey(path: Path) -> Grey:
    """Return a picture in grey levels, transparent parts in white."""
    from PIL import Image, ImageOps, UnidentifiedImageError  # noqa: PLC0415

    try:
        image = Image.open(path, formats=FORMATS)  # reads no pixels yet
    except UnidentifiedImageError:
        raise ValueError("not a picture that Pillow can read") from None
    except Image.DecompressionBombError:
        raise ValueError(f"larger than {MOST_PIXELS // 10**6} million pixels") from None
    with image:
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise ValueError(f"larger than {MOST_PIXELS // 10**6} million pixels")
        if min(width, height) < LEAST_SIDE:
            raise ValueError(f"{width}×{height} pixels, expected at least {LEAST_SIDE} a side")
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format != "MPO":  # a JPEG with a small copy, as telephones write it
            raise ValueError(f"{frames} frames, expected one picture")
        if image.mode not in MODES:
            raise ValueError(f"mode {image.mode}, expected one of {', '.join(MODES)}")
        ImageOps.exif_transpose(image, in_place=True)  # a telephone notes how it was held
        if not image.has_transparency_data:
            return np.asarray(image.convert("L"))
        clear = image.convert("RGBA")
        white = Image.new("RGBA", clear.size, "white")
        return np.asarray(Image.alpha_composite(white, clear).convert("L"))


def prepared(grey: Grey) -> Picture:
    """Return the object on black, its longer side 28 pixels long."""
    from PIL import Image  # noqa: PLC0415

    border = float(np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])))
    if border > 127:
        grey, border = 255 - grey, 255 - border
    rows, columns = (np.flatnonzero((grey > border + MARGIN).any(axis)) for axis in (1, 0))
    if not len(rows):
        raise ValueError("nothing stands out from the border")
    cut = Image.fromarray(grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    share = IMAGE_SIZE / max(cut.size)
    width, height = (max(1, round(side * share)) for side in cut.size)
    small = cut.resize((width, height), Image.Resampling.LANCZOS)
    canvas = Image.new("L", (IMAGE_SIZE, IMAGE_SIZE))
    canvas.paste(small, ((IMAGE_SIZE - width) // 2, (IMAGE_SIZE - height) // 2))
    return np.asarray(canvas, dtype=np.float32) / np.float32(255)


if __name__ == "__main__":
    sys.exit(main())
