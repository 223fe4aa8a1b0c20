"""What a reader sees of a printed text: no colour codes, nothing that was overwritten."""

import re
import unicodedata
from collections import defaultdict

_PART = re.compile(
    r"\x1b\[(?P<number>\d{0,3})[\d;:?<=>]*[ -/]*(?P<command>[@-~])"  # colours, moves, erasures
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # the address of a link
    r"|\x1b[ -/]*[0-~]"
    r"|(?P<character>.)",
    re.DOTALL,
)
_UNSEEN = re.compile("[\N{SOFT HYPHEN}\u200b-\u200f\N{WORD JOINER}\ufeff]")
_MOVES = {"A": (-1, 0), "B": (1, 0), "C": (0, 1), "D": (0, -1)}


def visible(text: str) -> str:
    r"""Return what remains of a text on the screen of a terminal, colours aside.

    >>> visible("\x1b[31m0.99\x1b[0m"), visible("abc\rx"), visible("10 %\r\x1b[Kdone")
    ('0.99', 'xbc', 'done')
    """
    text = unicodedata.normalize("NFC", _UNSEEN.sub("", text.replace("\r\n", "\n")))
    if not re.search("[\x1b\r\b]", text):
        return text
    screen: defaultdict[int, dict[int, str]] = defaultdict(dict)
    row = column = 0
    for part in _PART.finditer(text):
        character, command = part["character"], part["command"]
        steps = max(int(part["number"] or 1), 1)
        if character == "\n":
            row, column = row + 1, 0
        elif character == "\r":
            column = 0
        elif character == "\b":
            column = max(column - 1, 0)
        elif character:
            screen[row][column] = character
            column += 1
        elif command == "G":
            column = steps - 1
        elif command in _MOVES:
            down, right = _MOVES[command]
            row, column = max(row + steps * down, 0), max(column + steps * right, 0)
        elif command == "K":  # erases what follows the cursor, what precedes it, or the line
            erased = {"1": range(column + 1), "2": range(1 << 30)}
            gone = erased.get(part["number"], range(column, 1 << 30))
            screen[row] = {x: shown for x, shown in screen[row].items() if x not in gone}
    return "\n".join(
        "".join(screen[y].get(x, " ") for x in range(max(screen[y], default=-1) + 1))
        for y in range(max([row, *screen]) + 1)
    )
