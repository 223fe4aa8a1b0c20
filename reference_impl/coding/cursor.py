"""Bytes of a file, taken one part after the other; every length is looked at before it is used."""

from reference_impl.checked import FromZero, checked

LARGEST = 2**40
"""No number in a header is larger."""


@checked
class Cursor:
    """The bytes of a file.

    Attributes:
        data: those that have not been taken yet.
    """

    def __init__(self, data: bytes) -> None:
        """Begin with all of them."""
        self.data = data

    def take(self, n: int) -> bytes:
        """Return the next n bytes.

        Raises:
            ValueError: if fewer are left.
        """
        if n > len(self.data):
            raise ValueError(f"file must have {n} more bytes, got {len(self.data)}")
        taken, self.data = self.data[:n], self.data[n:]
        return taken

    def number(self) -> int:
        """Return the next number: seven binary digits a byte, the lowest first.

        Raises:
            ValueError: if it is above `LARGEST`.
        """
        number = shift = 0
        while number <= LARGEST and shift < 64:
            (byte,) = self.take(1)
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128 and number <= LARGEST:
                return number
        raise ValueError(f"number must be at most {LARGEST}")


@checked
def number_bytes(number: FromZero) -> bytes:
    """Return the bytes from which `Cursor.number` reads the number."""
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + number_bytes(rest) if rest else bytes([low])
