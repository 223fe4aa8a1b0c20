"""Printed text as a list of numbers, words and signs, so that each is compared by its own rule."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

_MINUS = "\N{MINUS SIGN}"
_THOUSANDS = re.compile("[,\N{THIN SPACE}\N{NARROW NO-BREAK SPACE}]")

_UNSIGNED = r"""
    (?:[1-9]\d{0,2}(?:,\d{3})+(?![\d,]*,\d)(?:\.\d+)?(?!\d)            # 1,234.5
     | [1-9]\d{0,2}(?:[\u2009\u202f]\d{3})+(?!\d)(?:\.\d+)?(?!\w)     # 1 234.5
     | \d+\.\d+ | \.\d+ | \d+(?=[eE][-+−]?\d+(?!\w)) | \d+(?!\w))
    (?:[eE][-+−]?\d+(?!\w))?"""
_SCANNER = re.compile(
    rf"""
      (?P<newline>\n)
    | (?P<space>[^\S\n]+)
    | (?P<word>[^\W\d]\w*(?:\.\d\w*)*           # conv1, W4A4, nan, features.0.weight, v1.2
             | \d+(?:\.\d+){{2,}}\w*)           # 1.2.3
    | (?P<number>(?P<sign>[-+−](?=\.?\d))?{_UNSIGNED})
        (?:[^\S\n]*(?:±|\+/-|\\pm(?![A-Za-z]))[^\S\n]*(?P<margin>{_UNSIGNED}))?
    | (?P<glued>\d\w*)                          # 28x28, 10ms, 3e5f
    | (?P<symbol>\+/-|\\pm(?![A-Za-z])|.)
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Number:
    """A printed number, its exact value, and its form.

    ``unit`` is one unit in the last printed digit; ``grouped`` is what separates thousands, ``""``
    for nothing, None for a number below 1,000.
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
    """One unit of comparison: a word, the end of a line, or a number with or without a margin.

    ``spaced`` says whether white space stands before it on its line. ``numbers`` holds a number,
    and after it the number that follows the ±, if there is one.
    """

    text: str
    line: int
    span: tuple[int, int]
    spaced: bool = False
    numbers: tuple[Number, ...] = field(default=(), repr=False)

    @property
    def kind(self) -> str:
        """What it is, in words."""
        return ("word", "number", "number with a margin")[len(self.numbers)]


def _read_number(text: str) -> Number:
    mantissa, letter, power = re.split("([eE])|$", text.replace(_MINUS, "-"), maxsplit=1)
    digits, _, decimals = mantissa.lstrip("+-").partition(".")
    separators = _THOUSANDS.findall(digits)
    return Number(
        text=text,
        value=Decimal(_THOUSANDS.sub("", mantissa) + (letter or "") + power),
        unit=Decimal(1).scaleb(int(power or 0) - len(decimals)),
        decimals=len(decimals),
        exponent=letter or "",
        plus=text[0] == "+",
        grouped=separators[0] if separators else "" if len(digits) > 3 else None,
    )


def _binary_sign(text: str, match: re.Match[str]) -> bool:
    """Whether the sign of a number is an operator or a hyphen: 3-2, a-2, (x)-2, x_-2."""
    before = text[match.start() - 1 : match.start()]
    return bool(match["sign"]) and bool(before) and (before.isalnum() or before in "_)]}")


def tokenize(text: str) -> Iterator[Token]:
    r"""Yield the tokens of a printed text.

    A minus sign belongs to the number that follows unless a letter, a digit or a closing bracket
    stands before it. Digits within a word belong to the word. ``1.`` is the integer 1 and a full
    stop: NumPy and torch print it for whole numbers.

    >>> [(t.kind, t.text) for t in tokenize("int8: -0.5 ± 0.1 %")]
    [('word', 'int8'), ('word', ':'), ('number with a margin', '-0.5 ± 0.1'), ('word', '%')]
    >>> [t.text for t in tokenize("x-1 (-1) 1,234.5 1e-06 1.2.3 -inf")]
    ['x', '-', '1', '(', '-1', ')', '1,234.5', '1e-06', '1.2.3', '-', 'inf']
    """
    position, line, spaced = 0, 1, False
    while match := _SCANNER.match(text, position):
        start, position = match.span()
        if match["space"]:
            spaced = True
            continue
        numbers = [match["number"], match["margin"]] if match["number"] else []
        if numbers and _binary_sign(text, match):
            numbers, position = [], start + 1
        shown = text[start:position]
        shown = "-" if shown == _MINUS else shown
        ends = shown == "\n"
        read = tuple(_read_number(number) for number in numbers if number)
        yield Token(shown, line, (start, position), spaced and not ends, read)
        line, spaced = line + ends, False
