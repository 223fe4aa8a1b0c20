"""The book's pages against the chapters, the package and the tests that they speak of."""

import importlib
import inspect
import itertools
import pkgutil
import re
from pathlib import Path

import pytest
import yaml
from pybtex.database import parse_file

import reference_impl
from book_tools import notebooks
from book_tools.site import build

ROOT = Path(__file__).parents[1]
CHAPTERS = ROOT / "chapters"


def text_of(path: Path) -> str:
    """Return the Markdown cells of a notebook, or a Markdown page as it is."""
    if path.suffix != ".ipynb":
        return path.read_text("utf-8")
    return notebooks.markdown_of(notebooks.read(path))


PAGES = notebooks.chosen()
NUMBERED = [path for path in PAGES if path.name[0].isdigit()]


def resolve(name: str) -> object:
    """Import a dotted name; a field of a dataclass and ``function(parameter)`` count as well."""
    name, _, parameter = name.partition("(")
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:n]))
        except ModuleNotFoundError:
            continue
        for part in parts[n:]:
            fields = getattr(found, "__dataclass_fields__", {})
            found = fields[part] if part in fields else getattr(found, part)
        if parameter:
            assert callable(found)
            assert parameter.rstrip(")") in inspect.signature(found).parameters, name
        return found
    raise ModuleNotFoundError(name)


ROWS = re.findall(r"^\|(?! Symbol | ---)(.+)\|$", (CHAPTERS / "notation.md").read_text(), re.M)
NOTATION = [[cell.strip() for cell in row.split(" | ")] for row in ROWS]


def test_the_table_of_symbols_is_read():
    """Oracle: a count by another way, the lines of tables that hold code."""
    lines = (CHAPTERS / "notation.md").read_text("utf-8").splitlines()
    assert len(NOTATION) == sum(x.startswith("|") and "`" in x for x in lines) > 10


@pytest.mark.parametrize("row", NOTATION, ids=lambda row: row[0])
def test_each_symbol_has_a_name_that_exists(row):
    """Oracle: Python's import system."""
    names = re.findall(r"`([\w.]+(?:\(\w+\))?)`", row[-3])
    assert len(names) == 1, "one Python name for each symbol"
    resolve(f"reference_impl.{names[0]}")
    assert len(row) in {5, 6}, "symbol, meaning, perhaps the first chapter, name, shape and unit"
    assert all(row)


def test_errata_page_and_boxes_agree():
    """Oracle: the labels of the boxes in the chapters."""
    boxes = {
        label
        for path in NUMBERED
        for label in re.findall(r"^\((erratum-[\w-]+)\)=", text_of(path), re.MULTILINE)
    }
    linked = re.findall(r"<(erratum-[\w-]+)>", (CHAPTERS / "errata.md").read_text("utf-8"))
    assert sorted(linked) == sorted(boxes)


def test_the_glossary_is_in_order_and_has_a_chinese_word_for_each_term():
    """Oracle: the alphabet; Unicode's block of Chinese characters, or the name of a method."""
    text = (CHAPTERS / "glossary.md").read_text("utf-8")
    terms = re.findall(r"^(?!:::|#|English)(\S.*)\n  (\S.*)$", text, re.MULTILINE)
    names = [term for term, _ in terms]
    assert len(names) == len(set(names)) > 150
    assert names == sorted(names, key=lambda name: name.lower().replace("–", "-"))
    unnamed = {term for term, meaning in terms if not re.match(r"[^.]*[\u4e00-\u9fff]", meaning)}
    assert unnamed == {"GPTQ", "NVFP4", "SparseGPT", "Wanda"}
    firsts = {name[0].upper(): name for name in reversed(names)}
    assert dict(re.findall(r"\{term\}`([A-Z]) <(.+)>`", text)) == firsts, "the line of letters"


def test_api_pages_document_every_part_once():
    """Oracle: the folders and modules of the package; a family's page is its list of names."""
    pages = "".join(p.read_text("utf-8") for p in (CHAPTERS / "api").glob("*.md"))
    documented = re.findall(r"automodule:: (reference_impl\.\w+)\n", pages)
    parts = [
        f"{reference_impl.__name__}.{m.name}"
        for m in pkgutil.iter_modules(reference_impl.__path__)
        if m.name != "__main__"  # the command
    ]
    assert sorted(documented) == sorted(parts)
    for part in parts:
        if hasattr(importlib.import_module(part), "__all__"):
            assert f"automodule:: {part}\n   :members:\n" in pages


def test_every_page_is_in_the_table_of_contents_and_the_chapters_in_order():
    """Oracle: the files in the folder."""
    assert build.notebooks(ROOT) == PAGES
    toc = (ROOT / "_toc.yml").read_text("utf-8")
    listed = set(re.findall(r"file: (\S+)", toc))
    pages = {
        p.relative_to(ROOT).with_suffix("").as_posix()
        for pattern in ("*.md", "*.ipynb", "*/*.md")
        for p in CHAPTERS.glob(pattern)
        if ".ipynb_checkpoints" not in p.parts
    }
    assert listed == pages


@pytest.mark.parametrize("path", [*PAGES, ROOT / "intro.md"], ids=lambda path: path.stem)
def test_prose_keeps_to_the_house_style(path):
    """Oracle: the rule that nothing is called simple, and headings that go down by one level."""
    text = re.sub(r"^(`{3,}|:{3,}).*?^\1", "", text_of(path), flags=re.MULTILINE | re.DOTALL)
    assert not re.search(r"\b(simply|obviously|trivially)\b", text, re.IGNORECASE)
    levels = [len(m) for m in re.findall(r"^(#+) ", text, re.MULTILINE)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))


@pytest.mark.parametrize("path", [*PAGES, ROOT / "intro.md"], ids=lambda path: path.stem)
def test_fences_are_longer_than_those_they_hold(path):
    """Oracle: CommonMark, where a fence ends at the first bare one of its length or longer."""
    fence = None
    for line in text_of(path).splitlines():
        if not (found := re.match(r"(`{3,})(.*)", line)):
            continue
        if fence is None:
            fence = found[1]
        elif len(found[1]) >= len(fence):
            assert not found[2].strip(), f"{line!r} begins inside a fence of {len(fence)}"
            fence = None
    assert fence is None


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_each_figure_is_numbered_captioned_and_described(path):
    """Oracle: the stored outputs; a cell that shows an SVG needs the metadata."""
    for cell in notebooks.read(path).cells:
        shows = [o for o in cell.get("outputs", []) if "image/svg+xml" in o.get("data", {})]
        if shows:
            meta = cell["metadata"].get("mystnb", {})
            assert meta.get("figure", {}).get("name", "").startswith("fig-"), cell["source"]
            assert len(meta["figure"]["caption"]) > 30, "the caption states the finding"
            assert len(meta["image"]["alt"]) > 30, "the alternative text tells what is drawn"


@pytest.mark.parametrize("path", NUMBERED, ids=lambda path: path.stem)
def test_each_chapter_has_three_exercises_with_solutions(path):
    """Oracle: the labels of exercises and solutions; both call the checker of this name."""
    text = text_of(path)
    asked = [*notebooks.exercises_in(text)]
    solved = re.findall(r"^`{3,}\{solution-start\} ex-([\w-]+)", text, re.MULTILINE)
    assert len(asked) >= 3
    assert solved == asked
    calls = re.findall(r'\bcheck\(\s*"([\w-]+)"', notebooks.code_of(notebooks.read(path)))
    assert sorted(calls) == sorted(2 * asked)


def test_references_are_complete_and_cited_keys_exist():
    """Oracle: pybtex's reading of the file, and the citations in the pages."""
    entries = parse_file(str(ROOT / "references.bib")).entries
    place = ("journal", "booktitle", "eprint", "publisher", "school")
    for key, entry in entries.items():
        assert entry.persons.get("author"), key
        assert entry.fields.get("title"), key
        assert "$" not in entry.fields["title"], f"{key}: the list of references shows no formulas"
        assert re.fullmatch(r"(19|20)\d\d", entry.fields.get("year", "")), key
        assert any(field in entry.fields for field in place), key
        assert entry.fields["year"] in key, key
    pages = [*PAGES, ROOT / "intro.md", *CHAPTERS.glob("*.md")]
    cited = re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", "".join(map(text_of, pages)))
    assert {key.strip() for keys in cited for key in keys.split(",")} <= set(entries)


def test_configuration_sets_what_the_site_promises():
    """Oracle: the design: errors raise, stderr is an error, nothing runs twice."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    execute = config["execute"]
    assert execute["execute_notebooks"] == "off"  # `make book` executes them
    assert execute["stderr_output"] == "error"
    assert "thebe" not in config["launch_buttons"], "it loads its scripts from elsewhere"
