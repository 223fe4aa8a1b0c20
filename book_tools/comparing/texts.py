"""When is a printed text the same? Numbers to the last printed digit, words exactly.

Every function returns a sentence that names the first difference, or None.
"""

import html
import re
from decimal import Context
from itertools import zip_longest

from book_tools.comparing.tokens import Kind, Number, Token, tokenize

_EXACT = Context(prec=400)
_TAG = re.compile(r"""(<!--.*?-->|<[!/]?[A-Za-z](?:"[^"]*"|'[^']*'|[^'">])*>)""", re.DOTALL)


def _form_difference(stored: Number, fresh: Number) -> str | None:
    """Return how the forms differ: both sides must come from one format specification."""
    if stored.decimals != fresh.decimals:
        return f"printed with {fresh.decimals} decimals instead of {stored.decimals}"
    if stored.exponent != fresh.exponent:
        return "only one of them has this form of exponent"
    negative = "-\N{MINUS SIGN}"
    if stored.plus != fresh.plus and (stored if fresh.plus else fresh).text[0] not in negative:
        return "only one of them has a plus sign"
    if {stored.grouped, fresh.grouped} == {True, False}:
        return "only one of them separates thousands"
    return None


def _distance_at_most(stored: Number, fresh: Number, bound: Number | None) -> bool:
    """Return |v − v'| ≤ the bound, or the smaller of both last digits' units without one."""
    distance = abs(_EXACT.subtract(stored.value, fresh.value))
    return distance <= (min(stored.unit, fresh.unit) if bound is None else bound.value)


def _integer_difference(stored: Number, fresh: Number) -> str | None:
    digits, other = (n.text.lstrip("+-\N{MINUS SIGN}") for n in (stored, fresh))
    if digits == other and stored.value == fresh.value:
        return _form_difference(stored, fresh)
    return "integers agree exactly"


def _decimal_difference(stored: Number, fresh: Number) -> str | None:
    if form := _form_difference(stored, fresh):
        return form
    if _distance_at_most(stored, fresh, None):
        return None
    return f"more than one unit in the last digit, {min(stored.unit, fresh.unit)}"


def _measure_difference(stored: Token, fresh: Token) -> str | None:
    x, y, x_new, y_new = stored.number, stored.margin, fresh.number, fresh.margin
    if x is None or y is None or x_new is None or y_new is None:
        raise ValueError(f"a measure needs two numbers, got {stored!r} and {fresh!r}")
    if form := _form_difference(x, x_new) or _form_difference(y, y_new):
        return form
    if not y.value <= 2 * y_new.value or not y_new.value <= 2 * y.value:
        return f"the margin {y.text} moved by more than a factor of 2"
    if not _distance_at_most(x, x_new, y):
        return f"further apart than the stored margin {y.text}"
    return None


def _token_difference(stored: Token, fresh: Token) -> str | None:
    if stored.kind is not fresh.kind:
        return f"a {stored.kind.value} became a {fresh.kind.value}"
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


def text_difference(stored: str, fresh: str) -> str | None:
    """Return the first difference between two printed texts, or None.

    Decimals may differ by one unit in the last printed digit, ``x ± y`` by the stored y, and
    y itself by a factor of 2. Integers, words, signs and line breaks agree exactly.

    >>> text_difference("acc 0.52 on 10", "acc 0.53 on 10")
    >>> text_difference("acc 0.52", "acc 0.54")
    "line 1: stored '0.52', got '0.54': more than one unit in the last digit, 0.01"
    """
    left, right = (_without_blank_end(tokenize(text)) for text in (stored, fresh))
    padded = False
    for old, new in zip_longest(left, right):
        line = (old or new).line
        start = f"line {line}: stored {_shown(old)}, got {_shown(new)}"
        if old is None or new is None:
            return f"{start}: one of them ends here"
        if reason := _token_difference(old, new):
            return f"{start}: {reason}"
        longer = _longer(old, new)
        if not _spacing_agrees(old, new, padded=padded or longer):
            return f"{start}: only one of them has a space before it"
        padded = longer
    return None


def html_difference(stored: str, fresh: str) -> str | None:
    """Return the first difference between two pieces of HTML: tags exactly, text as text.

    >>> html_difference("<td>1.50</td>", "<td>1.51</td>")
    >>> html_difference("<td>1.50</td>", "<th>1.50</th>")
    "stored tag '<td>', got '<th>'"
    """
    for i, (old, new) in enumerate(zip_longest(_TAG.split(stored), _TAG.split(fresh))):
        if old is None or new is None:
            return f"stored {old!r}, got {new!r}: one of them ends here"
        if i % 2 and old != new:
            return f"stored tag {old!r}, got {new!r}"
        if not i % 2 and (reason := text_difference(html.unescape(old), html.unescape(new))):
            return reason
    return None
