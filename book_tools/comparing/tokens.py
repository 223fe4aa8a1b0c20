"""Printed text as a list of numbers, words and signs, so that each is compared by its own rule."""

import re
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import Enum

_MINUS = "\N{MINUS SIGN}"
_THOUSANDS = re.compile("[,\N{THIN SPACE}\N{NARROW NO-BREAK SPACE}]")

_SCANNER = re.compile(
    r"""
      (?P<newline>\n)
    | (?P<space>[^\S\n]+)
    | (?P<pm>±|\+/-|\\pm(?![A-Za-z]))
    | (?P<word>[^\W\d]\w*(?:\.\d\w*)*           # conv1, W4A4, nan, features.0.weight, v1.2
             | \d+(?:\.\d+){2,}\w*)             # 1.2.3
    | (?P<number>(?P<sign>[-+−](?=\.?\d))?
        (?P<mantissa>[1-9]\d{0,2}(?:,\d{3})+(?![\d,]*,\d)(?:\.\d+)?(?!\d)   # 1,234.5
                   | [1-9]\d{0,2}(?:[\u2009\u202f]\d{3})+(?!\d)(?:\.\d+)?(?!\w)   # 1 234.5
                   | \d+\.\d+ | \.\d+ | \d+(?=[eE][-+−]?\d+(?!\w)) | \d+(?!\w))
        (?P<exponent>[eE][-+−]?\d+(?!\w))?)
    | (?P<glued>\d\w*)                          # 28x28, 10ms, 3e5f
    | (?P<symbol>.)
    """,
    re.VERBOSE,
)


class Kind(Enum):
    """What a token is, which decides how it is compared."""

    WORD = "word"
    INTEGER = "integer"
    DECIMAL = "decimal number"
    MEASURE = "number with a margin"
    NEWLINE = "end of line"


@dataclass(frozen=True)
class Number:
    """A printed number, with its form.

    Attributes:
        text: as printed, sign included.
        value: the exact decimal value.
        unit: one unit in the last printed digit, 10^(exponent − decimals).
        decimals: digits after the point.
        exponent: ``"e"``, ``"E"`` or ``""``, as printed.
        plus: whether a ``+`` stands before it.
        grouped: what separates thousands, ``""`` for nothing; None without thousands.
    """

    text: str
    value: Decimal
    unit: Decimal
    decimals: int
    exponent: str
    plus: bool
    grouped: str | None

    @property
    def is_integer(self) -> bool:
        """Whether neither a point nor an exponent is printed."""
        return self.decimals == 0 and not self.exponent


@dataclass(frozen=True)
class Token:
    """One unit of comparison.

    Attributes:
        kind: decides the rule.
        text: as printed.
        line: number of its line, from 1.
        span: where in the text it begins and ends.
        spaced: whether white space stands before it on its line.
        number: of a numeric token; the value before the ± of a measure.
        margin: the number after the ±.
    """

    kind: Kind
    text: str
    line: int
    span: tuple[int, int]
    spaced: bool = False
    number: Number | None = field(default=None, repr=False)
    margin: Number | None = field(default=None, repr=False)


def _read_number(match: re.Match[str]) -> Number:
    sign, mantissa, exponent = (
        (match[name] or "").replace(_MINUS, "-") for name in ("sign", "mantissa", "exponent")
    )
    digits, _, decimals = mantissa.partition(".")
    power = int(exponent[1:]) if exponent else 0
    plain = _THOUSANDS.sub("", mantissa)
    separators = _THOUSANDS.findall(digits)
    return Number(
        text=match[0],
        value=Decimal(f"{sign}{plain}{exponent}"),
        unit=Decimal(1).scaleb(power - len(decimals)),
        decimals=len(decimals),
        exponent=exponent[:1],
        plus=sign == "+",
        grouped=separators[0] if separators else "" if len(digits) > 3 else None,
    )


def _binary_sign(text: str, match: re.Match[str]) -> bool:
    """Whether the sign of a number is an operator or a hyphen: 3-2, a-2, (x)-2, x_-2."""
    before = text[match.start() - 1 : match.start()]
    return bool(match["sign"]) and bool(before) and (before.isalnum() or before in "_)]}")


def _scan(text: str) -> list[Token]:
    tokens: list[Token] = []
    position, line, spaced = 0, 1, False
    while match := _SCANNER.match(text, position):
        start, position = match.span()
        if match.lastgroup == "space":
            spaced = True
            continue
        kind, number = Kind.WORD, None
        if match["newline"]:
            kind, spaced = Kind.NEWLINE, False
        elif match["number"] and _binary_sign(text, match):
            position = start + 1
        elif match["number"]:
            number = _read_number(match)
            kind = Kind.INTEGER if number.is_integer else Kind.DECIMAL
        shown = text[start:position]
        shown = "-" if shown == _MINUS else shown
        tokens.append(Token(kind, shown, line, (start, position), spaced, number))
        line += kind is Kind.NEWLINE
        spaced = False
    return tokens


def _is_measure(tokens: list[Token]) -> bool:
    if len(tokens) < 3 or tokens[1].text not in ("±", "+/-", r"\pm"):
        return False
    value, margin = tokens[0].number, tokens[2].number
    return value is not None and margin is not None and margin.text[0] not in f"+-{_MINUS}"


def tokenize(text: str) -> list[Token]:
    r"""Return the tokens of a printed text.

    A minus sign belongs to the number that follows unless a letter, a digit or a closing bracket
    stands before it. Digits within a word belong to the word. ``1.`` is the integer 1 and a full
    stop: NumPy and torch print it for whole numbers.

    >>> [(t.kind.name, t.text) for t in tokenize("int8: -0.5 ± 0.1 %")]
    [('WORD', 'int8'), ('WORD', ':'), ('MEASURE', '-0.5 ± 0.1'), ('WORD', '%')]
    >>> [t.text for t in tokenize("x-1 (-1) 1,234.5 1e-06 1.2.3 -inf")]
    ['x', '-', '1', '(', '-1', ')', '1,234.5', '1e-06', '1.2.3', '-', 'inf']
    """
    scanned = _scan(text)
    tokens: list[Token] = []
    i = 0
    while i < len(scanned):
        token = scanned[i]
        if _is_measure(scanned[i : i + 3]):
            sign, margin = scanned[i + 1 : i + 3]
            shown = " ".join((token.text, sign.text, margin.text))
            span = token.span[0], margin.span[1]
            tokens.append(
                replace(token, kind=Kind.MEASURE, text=shown, span=span, margin=margin.number)
            )
            i += 3
        else:
            tokens.append(token)
            i += 1
    return tokens
