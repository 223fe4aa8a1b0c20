"""What a reader sees of a printed text: no colour codes, nothing that was overwritten."""

import re
import unicodedata

#: Colours and all else that a terminal obeys; the address of a link; what has no width.
_UNSEEN = re.compile(
    r"\x1b\[[\d;:?<=>]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]"
    "|[\N{SOFT HYPHEN}\u200b-\u200f\N{WORD JOINER}\ufeff]"
)


def visible(text: str) -> str:
    r"""Return what remains of a text on the screen of a terminal, colours aside.

    >>> visible("\x1b[31m0.99\x1b[0m"), visible("abc\rx"), visible("10 %\r100 %")
    ('0.99', 'xbc', '100 %')
    """
    text = unicodedata.normalize("NFC", _UNSEEN.sub("", text.replace("\r\n", "\n")))
    return "\n".join(map(_overwritten, text.split("\n")))


def _overwritten(line: str) -> str:
    """Return a line whose cursor went back to its beginning, or by one character."""
    shown: list[str] = []
    column = 0
    for character in line:
        if character in "\r\b":
            column = 0 if character == "\r" else max(column - 1, 0)
        else:
            shown[column : column + 1] = character
            column += 1
    return "".join(shown)
