"""When is a printed text the same? Numbers to the last printed digit, words exactly.

Every function returns a sentence that names the first difference, or None.
"""

import html
import re
from collections.abc import Iterator
from decimal import Context, Decimal
from itertools import zip_longest

from .screens import visible
from .tokens import Number, Token, tokenize
from .tolerances import Tolerances

_EXACT = Context(prec=400)
_TAG = re.compile(r"""(<!--.*?-->|<[!/]?[A-Za-z](?:"[^"]*"|'[^']*'|[^'">])*>)""", re.DOTALL)
_TABLE = re.compile(
    r"""</?(table|tr|td|th)\b(?:.*\bcolspan="?(\d{1,3})\b)?""", re.DOTALL | re.IGNORECASE
)


def _form_difference(stored: Number, fresh: Number) -> str | None:
    """Return how the forms differ: both sides must come from one format specification."""
    if stored.decimals != fresh.decimals:
        return f"printed with {fresh.decimals} decimals instead of {stored.decimals}"
    if stored.exponent != fresh.exponent:
        return "only one of them has this form of exponent"
    negative = "-\N{MINUS SIGN}"
    if stored.plus != fresh.plus and (stored if fresh.plus else fresh).text[0] not in negative:
        return "only one of them has a plus sign"
    if None not in (stored.grouped, fresh.grouped) and stored.grouped != fresh.grouped:
        return "only one of them separates thousands"
    return None


def _number_difference(stored: Token, fresh: Token, tolerance: Decimal | None) -> str | None:
    """Compare numbers, and their margins, by their form and then by how far they moved."""
    pairs = list(zip(stored.numbers, fresh.numbers, strict=True))
    for old, new in pairs:
        if form := _form_difference(old, new):
            return form
    moved = [abs(_EXACT.subtract(old.value, new.value)) for old, new in pairs]
    if tolerance is not None:
        return f"further apart than the tolerance {tolerance}" if max(moved) > tolerance else None
    old, new = pairs[-1]
    if len(pairs) == 2:
        if max(old.value, new.value) > 2 * min(old.value, new.value):
            return f"the margin {old.text} moved by more than a factor of 2"
        return f"further apart than the stored margin {old.text}" if moved[0] > old.value else None
    if old.is_integer:
        digits, other = (number.text.lstrip("+-\N{MINUS SIGN}") for number in (old, new))
        return "integers agree exactly" if moved[0] or digits != other else None
    unit = min(old.unit, new.unit)
    return f"more than one unit in the last digit, {unit}" if moved[0] > unit else None


def _token_difference(stored: Token, fresh: Token, tolerance: Decimal | None) -> str | None:
    if stored.kind != fresh.kind:
        return f"a {stored.kind} became a {fresh.kind}"
    if stored.numbers:
        return _number_difference(stored, fresh, tolerance)
    return None if stored.text == fresh.text else "words agree exactly"


def _shown(token: Token | None) -> str:
    if token is None:
        return "nothing"
    return "end of line" if token.text == "\n" else repr(token.text)


def text_difference(
    stored: str, fresh: str, tolerances: Tolerances | None = None, head: str = ""
) -> str | None:
    """Return the first difference between two texts as a reader sees them, or None.

    Decimals may differ by one unit in the last printed digit, ``x ± y`` by the stored y, and
    y itself by a factor of 2. Integers, words, signs and line breaks agree exactly. A number that
    has a tolerance may differ by that much; ``head`` is that of its column in a table.

    >>> text_difference("acc 0.52 on 10", "acc 0.53 on 10")
    >>> text_difference("acc 0.52", "acc 0.54")
    "line 1: stored '0.52', got '0.54': more than one unit in the last digit, 0.01"
    >>> text_difference("acc 0.52", "acc 0.54", Tolerances({"acc": 0.02}))
    """
    stored, fresh = visible(stored).rstrip(), visible(fresh).rstrip()
    padded = False  # a longer number may take the place of the white space before the next token
    for old, new in zip_longest(tokenize(stored), tokenize(fresh)):
        start = f"line {(old or new).line}: stored {_shown(old)}, got {_shown(new)}"
        if old is None or new is None:
            return f"{start}: one of them ends here"
        named = tolerances if old.numbers else None
        tolerance = named.of(stored, old.span, head) if named else None
        if reason := _token_difference(old, new, tolerance):
            return f"{start}: {reason}"
        longer = bool(old.numbers) and len(old.text) != len(new.text)
        if old.spaced != new.spaced and not padded and not longer:
            return f"{start}: only one of them has a space before it"
        padded = longer
    return None


def _pieces(page: str) -> Iterator[tuple[str, str, str]]:
    """Yield each tag, the text after it, and the head of the column in which the text stands."""
    heads: dict[int, str] = {}
    row = column = width = 0
    parts = ["", *_TAG.split(page)]
    for tag, source in zip(parts[::2], parts[1::2], strict=True):
        text, table = html.unescape(source), _TABLE.match(tag)
        kind = table[1].lower() if table else ""
        if kind == "table":
            heads, row = {}, 0
        elif kind == "tr" and tag[1] != "/":
            row, column, width = row + 1, 0, 0
        elif table and kind in ("td", "th") and tag[1] != "/":
            column, width = column + width, int(table[2] or 1)
        for i in range(column, column + width if row == 1 else column):
            heads[i] = " ".join(f"{heads.get(i, '')} {text}".split())
        yield tag, text, heads.get(column, "")


def html_difference(stored: str, fresh: str, tolerances: Tolerances | None = None) -> str | None:
    """Return the first difference between two pieces of HTML: tags exactly, text as text.

    >>> html_difference("<td>1.50</td>", "<td>1.51</td>")
    >>> html_difference("<td>1.50</td>", "<th>1.50</th>")
    "stored tag '<td>', got '<th>'"
    """
    nothing = ("", "", "")
    for old, new in zip_longest(_pieces(stored), _pieces(fresh), fillvalue=nothing):
        if old[0] != new[0]:
            return f"stored tag {old[0]!r}, got {new[0]!r}"
        if reason := text_difference(old[1], new[1], tolerances, old[2]):
            return reason
    return None
