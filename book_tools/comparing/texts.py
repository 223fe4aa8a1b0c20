"""When is a printed text the same? Numbers to the last printed digit, words exactly.

Every function returns a sentence that names the first difference, or None.
"""

import html
import re
from collections.abc import Iterator
from decimal import Context, Decimal
from itertools import zip_longest

from .screens import visible
from .tokens import Kind, Number, Token, tokenize
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


def _distance(stored: Number, fresh: Number) -> Decimal:
    return abs(_EXACT.subtract(stored.value, fresh.value))


def _integer_difference(stored: Number, fresh: Number) -> str | None:
    digits, other = (n.text.lstrip("+-\N{MINUS SIGN}") for n in (stored, fresh))
    if digits == other and stored.value == fresh.value:
        return _form_difference(stored, fresh)
    return "integers agree exactly"


def _decimal_difference(stored: Number, fresh: Number) -> str | None:
    if form := _form_difference(stored, fresh):
        return form
    unit = min(stored.unit, fresh.unit)
    if _distance(stored, fresh) <= unit:
        return None
    return f"more than one unit in the last digit, {unit}"


def _measure_difference(stored: Token, fresh: Token) -> str | None:
    x, y, x_new, y_new = stored.number, stored.margin, fresh.number, fresh.margin
    if x is None or y is None or x_new is None or y_new is None:
        raise ValueError(f"a measure needs two numbers, got {stored!r} and {fresh!r}")
    if form := _form_difference(x, x_new) or _form_difference(y, y_new):
        return form
    if not y.value <= 2 * y_new.value or not y_new.value <= 2 * y.value:
        return f"the margin {y.text} moved by more than a factor of 2"
    if _distance(x, x_new) > y.value:
        return f"further apart than the stored margin {y.text}"
    return None


def _named_difference(stored: Token, fresh: Token, limit: Decimal) -> str | None:
    """Compare the number, or both numbers of a measure, within the tolerance of the metadata."""
    for old, new in ((stored.number, fresh.number), (stored.margin, fresh.margin)):
        if old is None or new is None:
            continue
        if form := _form_difference(old, new):
            return form
        if _distance(old, new) > limit:
            return f"further apart than the tolerance {limit}"
    return None


def _token_difference(stored: Token, fresh: Token, limit: Decimal | None) -> str | None:
    if stored.kind is not fresh.kind:
        return f"a {stored.kind.value} became a {fresh.kind.value}"
    if limit is not None:
        return _named_difference(stored, fresh, limit)
    if stored.kind is Kind.MEASURE:
        return _measure_difference(stored, fresh)
    if stored.number is None or fresh.number is None:
        return None if stored.text == fresh.text else "words agree exactly"
    if stored.kind is Kind.INTEGER:
        return _integer_difference(stored.number, fresh.number)
    return _decimal_difference(stored.number, fresh.number)


def _spacing_agrees(stored: Token, fresh: Token, *, padded: bool) -> bool:
    """Whether white space stands before both or neither; padding of a longer number may go."""
    return stored.spaced == fresh.spaced or padded or stored.kind is Kind.NEWLINE


def _shown(token: Token | None) -> str:
    if token is None:
        return "nothing"
    return "end of line" if token.kind is Kind.NEWLINE else repr(token.text)


def _longer(stored: Token, fresh: Token) -> bool:
    return stored.number is not None and len(stored.text) != len(fresh.text)


def _without_blank_end(tokens: list[Token]) -> list[Token]:
    """Drop trailing ends of lines: a terminal's last newline means nothing."""
    while tokens and tokens[-1].kind is Kind.NEWLINE:
        tokens = tokens[:-1]
    return tokens


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
    stored, fresh = visible(stored), visible(fresh)
    left, right = (_without_blank_end(tokenize(text)) for text in (stored, fresh))
    padded = False
    for old, new in zip_longest(left, right):
        line = (old or new).line
        start = f"line {line}: stored {_shown(old)}, got {_shown(new)}"
        if old is None or new is None:
            return f"{start}: one of them ends here"
        limit = None
        if tolerances and old.number:
            limit = tolerances.of(stored, old.span, head)
        if reason := _token_difference(old, new, limit):
            return f"{start}: {reason}"
        longer = _longer(old, new)
        if not _spacing_agrees(old, new, padded=padded or longer):
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
