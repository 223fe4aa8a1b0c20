"""Printed text as a list of numbers, words and signs, so that each is compared by its own rule."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal

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


def _scan(text: str) -> Iterator[Token]:
    position, line, spaced = 0, 1, False
    while match := _SCANNER.match(text, position):
        start, position = match.span()
        if match.lastgroup == "space":
            spaced = True
            continue
        is_number = bool(match["number"])
        if is_number and _binary_sign(text, match):
            is_number, position = False, start + 1
        shown = text[start:position]
        shown = "-" if shown == _MINUS else shown
        numbers = (_read_number(match),) if is_number else ()
        ends = shown == "\n"
        yield Token(shown, line, (start, position), spaced and not ends, numbers)
        line, spaced = line + ends, False


def _is_measure(tokens: list[Token]) -> bool:
    if [len(token.numbers) for token in tokens] != [1, 0, 1]:
        return False
    return tokens[1].text in ("±", "+/-", r"\pm") and tokens[2].text[0] not in f"+-{_MINUS}"


def tokenize(text: str) -> list[Token]:
    r"""Return the tokens of a printed text.

    A minus sign belongs to the number that follows unless a letter, a digit or a closing bracket
    stands before it. Digits within a word belong to the word. ``1.`` is the integer 1 and a full
    stop: NumPy and torch print it for whole numbers.

    >>> [(t.kind, t.text) for t in tokenize("int8: -0.5 ± 0.1 %")]
    [('word', 'int8'), ('word', ':'), ('number with a margin', '-0.5 ± 0.1'), ('word', '%')]
    >>> [t.text for t in tokenize("x-1 (-1) 1,234.5 1e-06 1.2.3 -inf")]
    ['x', '-', '1', '(', '-1', ')', '1,234.5', '1e-06', '1.2.3', '-', 'inf']
    """
    tokens: list[Token] = []
    for scanned in _scan(text):
        tokens.append(scanned)
        if _is_measure(tokens[-3:]):
            first, sign, last = tokens[-3:]
            tokens[-3:] = [
                replace(
                    first,
                    text=f"{first.text} {sign.text} {last.text}",
                    span=(first.span[0], last.span[1]),
                    numbers=first.numbers + last.numbers,
                )
            ]
    return tokens
