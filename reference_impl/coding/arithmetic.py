"""Adaptive binary arithmetic coding: a bit of probability p takes −log₂ p bits.

The coder keeps an interval of numbers. Each bit leaves the part of the interval that its
probability gives it, and any number of the last interval stands for all bits. Both sides count the
probabilities while they code, so no table is in the file. All is done with integers, so that every
machine and every language reads the same bits.

References: Rissanen 1976, "Generalized Kraft inequality and arithmetic coding"; the interval of 32
bits that grows by bytes is that of Martin 1979, "Range encoding".
"""

import math

from reference_impl.checked import checked

TOP = 2**32
LEAST = 2**24  #: a narrower interval grows by a byte
ONE = 2**16  #: as which a probability of 1 is written
RECENT = 2**10  #: so many bits are remembered; then all counts are halved


class Probability:
    """That the next bit is 0, from the bits so far.

    Equation: eq-coding-adaptive, chapter 19.
    """

    zeros = ones = 0

    def of_zero(self) -> int:
        """Return (N₀ + ½) / (N₀ + N₁ + 1) as a multiple of 2^−16, rounded down.

        References: Krichevsky & Trofimov 1981, "The performance of universal encoding".
        """
        return ONE * (2 * self.zeros + 1) // (2 * (self.zeros + self.ones) + 2)

    def see(self, bit: int) -> None:
        """Count a bit."""
        self.ones += bit
        self.zeros += 1 - bit
        if self.zeros + self.ones == RECENT:
            self.zeros, self.ones = self.zeros // 2, self.ones // 2


@checked
class Encoder:
    """Bits in, bytes out.

    Attributes:
        bits: Σ −log₂ p of what was written.
    """

    def __init__(self) -> None:
        """Begin with the whole interval."""
        self.bits = 0.0
        self._low, self._width, self._bytes = 0, TOP, bytearray()

    def code(self, p: Probability, bit: int = 0) -> int:
        """Write the bit, let the probability learn from it, and return it.

        Equation: eq-coding-interval, chapter 19.
        """
        zero = p.of_zero()
        split = self._width * zero // ONE
        self._low, self._width = (
            (self._low + split, self._width - split) if bit else (self._low, split)
        )
        self.bits -= math.log2((ONE - zero if bit else zero) / ONE)
        p.see(bit)
        while self._width < LEAST:
            self._shift()
        return bit

    def _shift(self) -> None:
        """Write the highest byte of the interval, and a carry into those before; let it grow."""
        if self._low >= TOP:
            at = len(self._bytes) - 1
            while self._bytes[at] == 255:
                self._bytes[at] = 0
                at -= 1
            self._bytes[at] += 1
        self._bytes.append(self._low >> 24 & 255)
        self._low, self._width = (self._low << 8) % TOP, self._width << 8

    def finish(self) -> bytes:
        """Return the fewest bytes of a number in the interval: zeros at its end are left out."""
        for kept in range(5):
            unit = 2 ** (32 - 8 * kept)
            number = -(-self._low // unit) * unit
            if number < self._low + self._width:
                break
        self._low = number
        for _ in range(4):
            self._shift()
        return bytes(self._bytes).rstrip(b"\0")


@checked
class Decoder:
    """Bytes in, bits out; zeros follow the last byte.

    Attributes:
        at: how many bytes have been looked at, those after the end among them.
    """

    def __init__(self, data: bytes) -> None:
        """Begin with the whole interval, and the number that the bytes write."""
        self.at = 4
        self._data, self._width = data, TOP
        self._number = int.from_bytes(data[:4].ljust(4, b"\0"), "big")

    def code(self, p: Probability, _: int = 0) -> int:
        """Return the next bit, and let the probability learn from it."""
        split = self._width * p.of_zero() // ONE
        bit = int(self._number >= split)
        if bit:
            self._number, self._width = self._number - split, self._width - split
        else:
            self._width = split
        p.see(bit)
        while self._width < LEAST:
            byte = self._data[self.at] if self.at < len(self._data) else 0
            self._number, self._width = self._number << 8 | byte, self._width << 8
            self.at += 1
        return bit


Coder = Encoder | Decoder
"""Its ``code`` returns the bit that it is given and writes, or the bit that it reads."""
