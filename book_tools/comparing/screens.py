"""What a reader sees of a printed text: no colour codes, nothing that was overwritten."""

import re
import unicodedata

#: Colours and moves of the cursor, which a page does not obey; links' addresses; what has no width.
_UNSEEN = re.compile(
    r"\x1b\[[\d;:?<=>]*[ -/]*[@-JL-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-Z\\-~]"
    "|[\N{SOFT HYPHEN}\u200b-\u200f\N{WORD JOINER}\ufeff]"
)


def visible(text: str) -> str:
    r"""Return what remains of a text on the screen of a terminal, colours aside.

    >>> visible("\x1b[31m0.99\x1b[0m"), visible("abc\rx"), visible("99 %\r\x1b[K100")
    ('0.99', 'xbc', '100')
    """
    text = unicodedata.normalize("NFC", _UNSEEN.sub("", text.replace("\r\n", "\n")))
    return "\n".join(map(_overwritten, text.split("\n")))


def _overwritten(line: str) -> str:
    """Return a line whose cursor went back to its beginning, or by one character; K erases."""
    if not re.search(r"[\r\b\x1b]", line):
        return line
    shown: list[str] = []
    column = 0
    for part in re.findall(r"\x1b\[[012]?K|.", line):
        if part in "\r\b":
            column = 0 if part == "\r" else max(column - 1, 0)
        elif part == "\x1b[1K":  # what precedes
            shown[: column + 1] = " " * (column + 1)
        elif part[0] == "\x1b":  # what follows, or all
            del shown[0 if "2" in part else column :]
        else:
            shown += " " * (column - len(shown))
            shown[column : column + 1] = part
            column += 1
    return "".join(shown)
