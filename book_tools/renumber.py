"""Make room for a chapter: ``python -m book_tools.renumber 06`` moves 06 and all later ones by one.

Files, links, the words "chapter 06" in texts, docstrings, tests and records, the column of chapters
in the page of notation, syllabi and exam questions move together. The old address of each page
leads to the new one. The new chapter is yours to write.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from book_tools.failures import BookError, explained
from book_tools.files import ROOT, write_whole

_TEXTS = (".ipynb", ".md", ".py", ".js", ".toml", ".yml", ".json", "Makefile")
_FOLDERS = (
    *("benchmarks", "book_tools", "chapters", "data", "docs", "exercises", "experiments"),
    *("instructors", "reference_impl", "tests"),
)
#: Numbers that stand alone in the folder for instructors.
_TAUGHT = re.compile(
    r"^(?:read|teach) = .*$|^\d\d(?= = \[)|^# Questions on \d\d|^## \d\d(?=\.)", re.MULTILINE
)
_REDIRECT = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>This page has moved</title>
<meta http-equiv="refresh" content="0; url={to}">
<script>location.replace("{to}" + location.search + location.hash)</script>
<p>This page has moved: <a href="{to}">{to}</a></p>
</html>
"""


def renumbered(text: str, stems: Sequence[str], first: int) -> str:
    """Return a text with the numbers of chapters from ``first`` on, one more.

    ``stems`` are the chapters' file names without their ends: 06_post_training_quantization.

    >>> renumbered("chapters 05, 06 and 07; 06_sizes.html; 06", ["06_sizes"], 6)
    'chapters 05, 07 and 08; 07_sizes.html; 06'
    >>> renumbered("[06](06_sizes.ipynb), [06 Sizes](06_sizes.ipynb)", ["06_sizes"], 6)
    '[07](07_sizes.ipynb), [07 Sizes](07_sizes.ipynb)'
    """
    names = "|".join(map(re.escape, stems))
    mention = r"\b[Cc]hapters?[ /]\d\d(?:(?:, | and | or | to |–)\d\d\b)*"
    link = rf"\[\d\d(?=(?: [^]\[]*)?\]\([\w./]*(?:{names})\b)|`\d\d(?= [^`<]*<[\w./]*(?:{names})>)"
    move = partial(_moved, first)
    text = re.sub(link, lambda found: move(found[0]), text)
    return re.sub(rf"{mention}|\b(?:{names})\b", lambda found: move(found[0]), text)


def _moved(first: int, text: str) -> str:
    return re.sub(r"\d\d", lambda number: _next(number[0], first), text)


def _next(number: str, first: int) -> str:
    return f"{int(number) + (int(number) >= first):02}"


def make_room(root: Path, first: int) -> str:
    """Move the chapters of a book, and all that names them; return a closing line."""
    chapters = sorted((root / "chapters").glob("[0-9][0-9]_*.ipynb"), reverse=True)
    later = [path for path in chapters if int(path.name[:2]) >= first]
    if not later:
        raise BookError(f"chapters/{first:02}_….ipynb must exist: it is the first to move")
    stems = [path.stem for path in later]
    changed = 0
    for path in _texts(root):
        old = path.read_text("utf-8")
        new = renumbered(old, stems, first)
        if path.name == "notation.md":
            new = re.sub(r"(?<=\| )\d\d(?= \|)", lambda number: _next(number[0], first), new)
        if "instructors" in path.relative_to(root).parts:
            new = _TAUGHT.sub(lambda found: _moved(first, found[0]), new)
        if new != old:
            write_whole(path, new)
            changed += 1
    questions = sorted((root / "instructors" / "questions").glob("[0-9]*.md"), reverse=True)
    for path in questions:
        path.rename(path.with_stem(_next(path.stem, first)))
    for path in later:
        to = _next(path.name[:2], first) + path.stem[2:]
        path.rename(path.with_stem(to))
        page = root / "_extra/chapters" / f"{path.stem}.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        write_whole(page, _REDIRECT.format(to=f"{to}.html"))
    return f"Chapters moved: {len(later)}; other files changed: {changed}"


def _texts(root: Path) -> list[Path]:
    """Return the files of a book that may name a chapter."""
    inside = (path for folder in _FOLDERS for path in sorted((root / folder).rglob("*")))
    return [
        path
        for path in (*root.glob("*"), *inside)
        if path.is_file() and path.name.endswith(_TEXTS) and "renumber" not in path.name
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m book_tools.renumber", description=__doc__)
    parser.add_argument("first", type=int, help="the number that becomes free")
    first = parser.parse_args(arguments).first
    return explained(lambda: make_room(ROOT, first), "python -m book_tools.renumber")


if __name__ == "__main__":
    sys.exit(main())
