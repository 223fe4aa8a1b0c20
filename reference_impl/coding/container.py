"""What a file of a network begins and ends with, so that a reader knows what it reads.

====================  =========================================================================
bytes                 content
====================  =========================================================================
2                     the letters ``MC``
1                     version of the format: 1
1                     how the tensors are written: 0 with Huffman codes, see `write_shared`; 1 with
                      an arithmetic coder, see `write_tables`
…                     the body
4                     CRC-32 of everything before it, the lowest byte first
====================  =========================================================================

A checksum of 32 bits notices each burst of wrong bits that is not longer than that, and other
changes, except one in four thousand million.
"""

import zlib

from reference_impl.checked import checked
from reference_impl.coding.cursor import Cursor

MAGIC = b"MC"
VERSION = 1
_AROUND = len(MAGIC) + 2 + 4


@checked
def pack(way: int, body: bytes) -> bytes:
    """Return the file: what it begins with, the body, and the checksum."""
    data = MAGIC + bytes([VERSION, way]) + body
    return data + zlib.crc32(data).to_bytes(4, "little")


@checked
def unpack(data: bytes) -> tuple[int, Cursor]:
    """Return how the tensors are written, and the body.

    Raises:
        ValueError: if the data are not such a file, of a newer version, cut off or damaged.
    """
    if not data.startswith(MAGIC):
        raise ValueError(f"data must begin with {MAGIC!r}, got {data[:2]!r}: another kind of file?")
    if len(data) < _AROUND:
        raise ValueError(f"data must have at least {_AROUND} bytes, got {len(data)}: cut off?")
    if zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        raise ValueError("data must have the checksum that they end with: damaged or cut off?")
    if data[2] != VERSION:
        raise ValueError(f"data must be of version {VERSION}, got {data[2]}: a newer program's?")
    return data[3], Cursor(data[4:-4])
