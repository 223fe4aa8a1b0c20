"""How far a number may move from processor to processor, by the name that is printed with it."""

import re
from collections.abc import Mapping
from decimal import Decimal

_BETWEEN = " \t:=,(≈~<>≤≥|$"  # what may stand between a name and its number


def _heads_column(name: str, above: list[str], left: int, right: int) -> bool:
    """Whether a name stands alone over the columns from left to right, in the same block."""
    alone = re.compile(rf"(?<!\S)(?<!\S\s){re.escape(name)}(?!\s?\S)")
    for line in reversed(above):
        if not line.strip():
            return False
        if any(head.start() < right and left < head.end() for head in alone.finditer(line)):
            return True
    return False


class Tolerances:
    """The tolerances of one cell; ``unprinted`` are the names that no number had so far."""

    def __init__(self, named: Mapping[str, float] | None = None) -> None:
        """Take the tolerances as they stand in the cell's metadata."""
        self.unprinted = set(named or {})
        self._named = sorted((named or {}).items(), key=lambda item: -len(item[0]))

    def of(self, text: str, span: tuple[int, int], head: str) -> Decimal | None:
        """Return how far the number at ``text[span]`` may move, or None for one without a name.

        Its name is the head of its column in a table, or the words before it on its line; of two
        names that fit, the longer one.

        >>> Tolerances({"accuracy": 0.3}).of("test accuracy: 88.3 %", (15, 19), "")
        Decimal('0.3')
        """
        begin = text.rfind("\n", 0, span[0]) + 1
        left, right = (place - begin for place in span)
        before, above = text[begin : span[0]].rstrip(_BETWEEN), text[:begin].splitlines()
        for name, limit in self._named:
            beside = name == head or re.search(rf"(?<!\w){re.escape(name)}$", before)
            if beside or _heads_column(name, above, left, right):
                self.unprinted.discard(name)
                return Decimal(str(limit))
        return None
