"""The letters of the formulas: named where they first stand, with one meaning in a part."""

import json
import re
from collections import Counter
from itertools import takewhile
from pathlib import Path

import pytest
import yaml

from book_tools.files import ROOT
from tests.test_book_pages import CHAPTERS

_COMMANDS = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "kappa"),
    *("lambda", "mu", "nu", "xi", "pi", "rho", "varrho", "sigma", "tau", "phi", "varphi", "chi"),
    *("psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Pi", "Sigma", "Phi", "Psi", "Omega"),
    *("ell", "nabla"),
)
_FORMULA = re.compile(r"\$\$(.+?)\$\$|(?<![\\$])\$([^$]+?)\$(?!\$)", re.DOTALL)
#: words, environments, the d of an integral, and what tells symbols of one letter apart
_NO_LETTER = re.compile(
    r"\\(?:text|operatorname|mathrm|begin|end|tag)\*?\s*\{[^{}]*\}|\\mathrm d"
    r"|_\{(?:[^{}]|\{[^{}]*\})*\}|_\\\w+(?:\{[^{}]*\})?|_\w"
)
_ONE = re.compile(r"\\math(?:cal|bb)\s*\{?[A-Z]|\\[A-Za-z]+|[A-Za-z]")
#: the letters that need no row: indices, and the number
INDICES = {"i", "j", "k", "\\pi"}


def letters(formula: str) -> list[str]:
    r"""Return the letters of a formula in TeX, without its words and the subscripts.

    >>> letters(r"\hat w_{ij} = s_i\,q_{\text{max}} + \operatorname{clip}(\beta)")
    ['w', 's', 'q', '\\beta']
    """
    found = _ONE.findall(_NO_LETTER.sub(" ", formula))
    return [
        one.replace("{", "").replace(" ", "")
        for one in found
        if one[0] != "\\" or one[1:] in _COMMANDS or one.startswith(("\\mathcal", "\\mathbb"))
    ]


def first_uses(text: str) -> dict[str, bool]:
    """Return each letter of a cell, and whether a formula within a sentence or table names it."""
    inline = Counter(one for _, small in _FORMULA.findall(text) for one in letters(small))
    shown = Counter(one for large, _ in _FORMULA.findall(text) for one in letters(large))
    return {one: one in inline for one in {**inline, **shown}}


def unnamed(cells: list[str]) -> list[str]:
    """Return the letters that stand in a displayed formula before a sentence names them."""
    seen: set[str] = set()
    missing = []
    for text in cells:
        uses = {one: named for one, named in first_uses(text).items() if one not in seen}
        missing += [one for one, named in uses.items() if not named and one not in INDICES]
        seen |= uses.keys()
    return missing


def undeclared(cells: list[str], number: str, rows: dict[str, str]) -> list[str]:
    """Return the letters of a chapter without a row, or whose row names a later chapter."""
    used = {
        one for text in cells for found in _FORMULA.findall(text) for one in letters(max(found))
    }
    return sorted(one for one in used - INDICES if rows.get(one, "99") > number)


def test_letters_are_found_and_missed():
    """Oracle: by hand; the checks below notice what they are for."""
    assert letters(r"\begin{aligned} \mathbb E\,e^2 &= \int \varphi \,\mathrm d x_i") == [
        *("\\mathbbE", "e", "\\varphi", "x")
    ]
    cells = ["Let $x$ be a number. $$ s = x / n $$ (eq-a)", "The $n$ numbers $$ \\frac{s}{2} $$"]
    assert sorted(unnamed(cells)) == ["n", "s"]
    assert unnamed(["With $n$ and the step $s$: $$ s = x / n $$, of $x$"]) == []
    assert undeclared(cells, "02", {"x": "01", "s": "02", "n": "03"}) == ["n"]
    assert undeclared(cells, "02", {"x": "01", "s": "02"}) == ["n"]


def _cells(path: Path) -> list[str]:
    """Return the Markdown cells of a notebook up to the exercises."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    return list(takewhile(lambda text: "## Exercises" not in text, texts))


def _tables() -> dict[str, list[list[str]]]:
    """Return the rows of each part of the page of notation, as lists of cells."""
    sections = re.split(r"^## (.+)$", (CHAPTERS / "notation.md").read_text("utf-8"), flags=re.M)[1:]
    return {
        head: [row.strip("| ").split(" | ") for row in re.findall(r"^\| \$.*$", body, re.M)]
        for head, body in zip(sections[::2], sections[1::2], strict=True)
    }


def _parts() -> dict[str, str]:
    """Return the part of each chapter by its number, as the table of contents has them."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    return {
        one["file"].removeprefix("chapters/")[:2]: part["caption"]
        for part in toc["parts"]
        for one in part["chapters"]
        if re.match(r"chapters/\d\d_", one["file"])
    }


TABLES, PARTS = _tables(), _parts()
BOOK = sorted(CHAPTERS.glob("[0-9]*.ipynb"))


@pytest.mark.parametrize("path", BOOK, ids=lambda path: path.stem)
def test_a_sentence_names_each_letter_that_a_displayed_formula_uses(path):
    """Oracle: the formulas within sentences and tables of the same cell and those before it."""
    assert unnamed(_cells(path)) == []


@pytest.mark.parametrize("path", BOOK, ids=lambda path: path.stem)
def test_the_page_of_notation_has_each_letter_no_later_than_a_chapter_uses_it(path):
    """Oracle: the page's rows for all parts and for the chapter's own, with their chapters."""
    rows = TABLES["In all parts"] + TABLES[PARTS[path.name[:2]]]
    since = {one: row[2] for row in reversed(rows) for one in letters(row[0])}
    assert undeclared(_cells(path), path.name[:2], since) == []


@pytest.mark.parametrize("part", sorted(set(PARTS.values())))
def test_a_symbol_has_one_row(part):
    """Oracle: a count; what tells symbols of one letter apart belongs to the symbol."""
    symbols = Counter(
        symbol
        for row in TABLES["In all parts"] + TABLES[part]
        for symbol in re.findall(r"\$([^$]+)\$", row[0])
    )
    assert [symbol for symbol, count in symbols.items() if count > 1] == []
