"""From a formula to its code, and back: FORMULAS.md and the site's index of formulas.

A chapter labels an equation. The function that computes it names the label in the last line of its
docstring, ``Equation: eq-rounding-step, chapter 02.``; the test that compares the function with
something independent is marked ``@pytest.mark.equation("eq-rounding-step")``. This module collects
the three. An appendix is named by its file: ``…, appendix label_propagation.``
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from book_tools.failures import BookError
from book_tools.files import ROOT
from book_tools.notebooks import markdown_of, read

_DISPLAYED = re.compile(r"\$\$(.*?)\$\$(?:\s*\((eq-[\w-]+)\))?", re.DOTALL)
NAMED = re.compile(
    r"^\s*Equation: ((?:eq-[\w-]+,\s+)*eq-[\w-]+)(?:,\s+(?:chapter|appendix) (\w+))?\.", re.M
)
#: a test's name has no apostrophe: ``torchs_softmax`` is torch's
_OWNERS = re.compile(
    r"\b(article|autograd|hessian|hinton|int32|kappa|scipy|torch(?: pruning|ao|distill)?|two"
    r"|teacher(?=s entropy)|layer(?=s (?:accu|own))|example(?=s p)|simulation(?=s$))s\b"
)
_Definition = ast.ClassDef | ast.FunctionDef

_LISTING = """\
# Formulas

Every labelled equation of the course, the function that computes it, and the test that
compares this function with something independent. `make pages` writes this page; a
test holds it to the code.
"""
_INDEX = """\
# Index of formulas

Every numbered equation, the function that computes it, and the test that compares the
function with something independent. Each name leads to the source.
"""
_ORACLES = """\
Each of these tests compares a function of the package with something independent:
a closed form, a limit, another library, brute force.
"""


@dataclass(frozen=True)
class Place:
    """Where a function or a test stands."""

    name: str
    file: str
    line: int

    @property
    def link(self) -> str:
        """Return its place as a file and a line."""
        return f"{self.file}#L{self.line}"


@dataclass(frozen=True)
class Formula:
    """One labelled equation, what computes it, and what tests that."""

    label: str
    latex: str
    chapter: Path
    functions: tuple[Place, ...]
    tests: tuple[Place, ...]


def equations(chapter: Path) -> dict[str, str]:
    """Return label → LaTeX of the labelled equations of a chapter, in order."""
    displayed = _DISPLAYED.findall(markdown_of(read(chapter)))
    return {label: latex.strip() for latex, label in displayed if label}


def called(chapter: Path) -> str:
    """Return what a docstring calls a chapter, its number, or an appendix, its name."""
    return chapter.stem[:2] if chapter.stem[:2].isdigit() else chapter.stem


@cache
def title(chapter: Path) -> str:
    """Return the number and the heading of a chapter, the heading of an appendix."""
    headings = re.findall(r"^# (.+)$", markdown_of(read(chapter)), re.MULTILINE)
    number = called(chapter)
    return f"{number} {headings[0]}" if number.isdigit() else headings[0]


def named(folder: str, root: Path = ROOT) -> dict[str, list[tuple[Place, str]]]:
    """Return label → (place, what it calls the chapter) of each definition that names it."""
    places: dict[str, list[tuple[Place, str]]] = defaultdict(list)
    for file in sorted((root / folder).rglob("*.py")):
        for name, node in _definitions(ast.parse(file.read_text("utf-8"))):
            place = Place(name, file.relative_to(root).as_posix(), node.lineno)
            for labels, chapter in NAMED.findall(ast.get_docstring(node) or ""):
                for label in re.split(r",\s+", labels):
                    places[label].append((place, chapter))
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func).endswith("mark.equation"):
                    for label in mark.args:
                        places[ast.literal_eval(label)].append((place, ""))
    return places


def _definitions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, _Definition]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, _Definition):
            yield prefix + node.name, node
            yield from _definitions(node, f"{prefix}{node.name}.")


@cache
def formulas(root: Path = ROOT) -> list[Formula]:
    """Return every labelled equation of the chapters, in order, and then of the appendices.

    Raises:
        BookError: if one has no function or no test, or if either names another chapter's.
    """
    functions, tests = named("reference_impl", root), named("tests", root)
    found, problems = [], []
    for chapter in sorted((root / "chapters").glob("*.ipynb")):
        for label, latex in equations(chapter).items():
            mine, theirs = functions.pop(label, []), tests.pop(label, [])
            problems += [f"{label} has no function"] * (not mine)
            problems += [f"{label} has no oracle test"] * (not theirs)
            problems += [
                f"{place.link} names {label} under {number}, it is in {chapter.stem}"
                for place, number in mine
                if number != called(chapter)
            ]
            places = (tuple(p for p, _ in mine), tuple(p for p, _ in theirs))
            found.append(Formula(label, latex, chapter, *places))
    problems += [f"no chapter has {label}" for label in {**functions, **tests}]
    if problems:
        raise BookError("; ".join(problems))
    return found


def _part(place: Place) -> str:
    return Path(place.file).with_suffix("").parts[1]


def _anchor(place: Place) -> str:
    return f"oracle-{Path(place.file).stem}-{place.name}".replace("_", "-")


def _claim(place: Place) -> str:
    return _OWNERS.sub(r"\1's", place.name.removeprefix("test_").replace("_", " "))


def _on_one_line(latex: str) -> str:
    return " ".join(latex.split()).rstrip(" .,")


def listing(found: list[Formula]) -> str:
    """Return FORMULAS.md."""
    parts = [_LISTING]
    for chapter, group in groupby(found, attrgetter("chapter")):
        parts.append(f"\n## [{title(chapter)}](chapters/{chapter.name})\n\n")
        parts.append("| equation | function | oracle test |\n| --- | --- | --- |\n")
        for f in group:
            text = re.sub(r"(?<!\\)\\\|", r"\\Vert ", _on_one_line(f.latex)).replace("|", r"\vert ")
            text = re.sub(r"\\operatorname\*?", r"\\mathrm", text)  # GitHub refuses the other
            code = "<br>".join(f"[`{p.name}`]({p.link})" for p in f.functions)
            tests = "<br>".join(f"[{_claim(p)}]({p.link})" for p in f.tests)
            parts.append(f"| $`{text}`$ | {code} | {tests} |\n")
    return "".join(parts)


def index(found: list[Formula]) -> str:
    """Return the site's index: each formula typeset, its function and its test linked to source."""
    parts = [_INDEX]
    for chapter, group in groupby(found, attrgetter("chapter")):
        parts.append(f"\n## {title(chapter)}\n")
        for f in group:
            functions = ", ".join(
                f"{{py:obj}}`{p.name} <reference_impl.{_part(p)}.{p.name}>`" for p in f.functions
            )
            tests = ", ".join(f"{{ref}}`{_claim(p)} <{_anchor(p)}>`" for p in f.tests)
            parts.append(
                "\n:::{container} formula\n"
                f"$$\n{_on_one_line(f.latex)}\n$$\n\n"
                f"{{eq}}`{f.label}` · {functions} · tested: {tests}\n:::\n"
            )
    return "".join(parts)


def oracles(found: list[Formula]) -> dict[str, str]:
    """Return family → page with the source of its oracle tests."""
    pages: dict[str, str] = {}
    for p in sorted({p for f in found for p in f.tests}, key=attrgetter("file", "line")):
        head = f"# Oracle tests: {_part(p)}\n\n{_ORACLES}"
        pages[_part(p)] = pages.get(_part(p), head) + (
            f"\n({_anchor(p)})=\n## {_claim(p).capitalize()}\n\n`{p.file}`\n\n"
            f"```{{literalinclude}} ../../{p.file}\n:language: python\n:pyobject: {p.name}\n"
            ":lineno-match:\n```\n"
        )
    return pages


def pages() -> dict[Path, str]:
    """Return path → text of the two lists, and of the pages with the oracle tests."""
    found = formulas()
    return {
        ROOT / "FORMULAS.md": listing(found),
        ROOT / "chapters" / "formula_index.md": index(found),
        **{ROOT / "chapters" / "oracles" / f"{n}.md": t for n, t in oracles(found).items()},
    }
