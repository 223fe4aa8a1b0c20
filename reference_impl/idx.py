"""IDX, the format of MNIST's files: a header of sizes, then the bytes of one array.

Magic number (0x0800 + number of axes) and the size of each axis are big-endian 32-bit numbers;
after them comes one unsigned byte per entry, last axis fastest. The files are gzipped.

References:
    LeCun, Cortes & Burges, The MNIST database of handwritten digits, "File formats".
"""

import math
import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from reference_impl.checks import require_instance, require_int
from reference_impl.files import file_error, read_bytes

IMAGES_MAGIC = 0x0803
"""2051: unsigned bytes on three axes."""

LABELS_MAGIC = 0x0801
"""2049: unsigned bytes on one axis."""


_MOST_PER_BYTE = 1032
"""Deflate's highest ratio: what a damaged length may ask for is bounded by the file's size."""


def read_idx(path: Path | str, magic: int) -> UInt8[np.ndarray, "*shape"]:
    """Read one gzipped IDX file of unsigned bytes into a read-only array.

    Args:
        path: the file.
        magic: the magic number it must have: 2051 for images, 2049 for labels.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not gzip, truncated, corrupt, of another magic number, empty, or
            longer or shorter than its header says.
    """
    require_int("magic", magic, 0x0801, 0x08FF)
    require_instance("path", path, (Path, str))
    file = Path(path)
    content = _unzip(file)
    n_axes = magic % 256
    body = 4 * (1 + n_axes)
    found = int.from_bytes(content[:4], "big")
    if found != magic or len(content) < body:
        raise file_error(file, f"magic number {found}, expected {magic} and {n_axes} sizes")
    shape = struct.unpack_from(f">{n_axes}I", content, 4)
    if math.prod(shape) == 0 or len(content) - body != math.prod(shape):
        raise file_error(file, f"{len(content) - body} entries where the header says {shape}")
    return np.frombuffer(content, dtype=np.uint8, offset=body).reshape(shape)


def _unzip(file: Path) -> bytes:
    """Return the content of a gzip file, its checksum and length verified by zlib."""
    packed = read_bytes(file)
    size = int.from_bytes(packed[-4:], "little")  # a gzip file ends with its content's length
    room = min(size, _MOST_PER_BYTE * len(packed))
    try:
        content = zlib.decompress(
            packed, wbits=31, bufsize=max(room, 1)
        )  # growing doubles the time
    except zlib.error as error:
        raise file_error(file, _damage(packed)) from error
    if len(content) != size:
        raise file_error(file, _damage(packed))
    return content


def _damage(packed: bytes) -> str:
    """Return what is wrong with the bytes of a gzip file."""
    stream = zlib.decompressobj(wbits=31)  # 31: a gzip header and trailer are required
    try:
        content = stream.decompress(packed)
    except zlib.error as error:
        return f"no intact gzip data ({error})"
    if not stream.eof:
        return f"a gzip stream cut off after {len(packed)} bytes"
    if stream.unused_data:
        return f"{len(stream.unused_data)} bytes after the end of the gzip stream"
    return f"{len(content)} bytes of content"
