"""Integers in the bits of an arithmetic coder, with probabilities that the table itself teaches.

The same walk writes and reads, since a coder's ``code`` returns the bit that was written or read.
"""

from collections import defaultdict

from jaxtyping import Int64
from torch import Tensor

from reference_impl.checked import FromZero, checked
from reference_impl.coding.arithmetic import Coder, Probability

LONGEST = 24
"""No integer has more binary digits: float32 holds all of them, and no step makes them inf."""
Table = Int64[Tensor, "rows columns"]


@checked
class Integers:
    """What has been learned about integers of one kind.

    An integer is written in bits: is it zero, is it negative, has it more than 1, 2, … binary
    digits, and its digits after the first. Each question has a probability for each answer to the
    questions before it, so that any distribution can be learned.

    References: Marpe, Schwarz & Wiegand 2003, "Context-based adaptive binary arithmetic coding".
    """

    def __init__(self) -> None:
        """Expect zeros and ones equally."""
        self._seen: defaultdict[tuple[int, ...], Probability] = defaultdict(Probability)

    def code(self, coder: Coder, value: int = 0, kind: int = 0) -> int:
        """Return the integer, written or read; each ``kind`` has a probability of zero of its own.

        Raises:
            ValueError: if it has more than 31 binary digits.
        """
        seen = self._seen
        if not coder.code(seen[0, kind], int(value != 0)):
            return 0
        negative = coder.code(seen[1, 0], int(value < 0))
        size, length, digits = abs(value), 1, 1
        while coder.code(seen[2, length], int(size >> length > 0)):
            if (length := length + 1) > LONGEST:
                raise ValueError(f"integers must have at most {LONGEST} binary digits")
        for left in range(length - 2, -1, -1):
            digits = digits << 1 | coder.code(seen[3, length, digits], size >> left & 1)
        return -digits if negative else digits


@checked
def density_class(in_row: FromZero, before: FromZero, in_column: FromZero, above: FromZero) -> int:
    """Return the class of a place, 1 + ⌊2 log₂ ⌊2^16 left · above⌋⌋, or 0.

    left = (in_row + ½) / (before + 1) is the share of the places before it in its row that are not
    zero, above = (in_column + ½) / (above + 1) that of the places above it in its column. If rows
    and columns are independent, their product is proportional to the probability of not being zero.

    >>> density_class(0, 0, 0, 0), density_class(3, 9, 3, 9)
    (29, 26)

    Equation: eq-coding-density, chapter 19.
    """
    product = (2 * in_row + 1) * (2 * in_column + 1) * 2**14 // ((before + 1) * (above + 1))
    return (product * product).bit_length()


@checked
def code_table(coder: Coder, table: Table, *, by_density: bool) -> None:
    """Write a table of integers, or read it into a table of zeros.

    A bit for each row and each column says whether it has an entry; those that have none take no
    further bits. ``by_density`` counts zeros apart for each `density_class`.
    """
    flags = Probability(), Probability()
    rows = [i for i, any_ in enumerate(table.any(1).tolist()) if coder.code(flags[0], int(any_))]
    columns = [j for j, any_ in enumerate(table.any(0).tolist()) if coder.code(flags[1], int(any_))]
    integers, in_column, numbers = Integers(), [0] * len(columns), table.numpy()
    for i, row in enumerate(rows):
        in_row = 0
        for j, column in enumerate(columns):
            kind = density_class.__wrapped__(in_row, j, in_column[j], i) if by_density else 0
            value = integers.code(coder, int(numbers[row, column]), kind)
            numbers[row, column] = value
            in_row += value != 0
            in_column[j] += value != 0
