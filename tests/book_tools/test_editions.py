"""Editions of the chapters: what they leave out, and that no reader meets a raw directive."""

import re
import subprocess
import sys

import nbformat
import pytest

from book_tools.editions.edition import edition
from book_tools.editions.labels import Labels, labels
from book_tools.editions.plain import Translator
from book_tools.failures import BookError
from book_tools.notebooks import chosen, exercises_solved, read, without_solutions

NOTEBOOKS = chosen()


def translated(text: str, **names: str) -> str:
    """Return a text as an edition has it, in which these labels are known."""
    known = Labels({k.replace("_", "-"): v for k, v in names.items()}, labels().works)
    return Translator(known, ["han2016deep"], {"03_b.ipynb"}).translated(text)


INLINE = {
    "{eq}`eq-a`": "(2.1)",
    "{numref}`fig-a`": "Fig. 2.3",
    "{cite:p}`han2016deep`": "[Han et al., 2016]",
    "{cite:t}`han2016deep`": "Han et al. [2016]",
    "{term}`Pruning <pruning>` and {term}`logit`": "Pruning and logit",
    "{ref}`below <sec-a>`": "below",
    "{ref}`ex-a`": "Exercise 2.1",
    "{func}`~reference_impl.data.load_dataset`": "`load_dataset`",
    "{mod}`reference_impl.shifts`": "`reference_impl.shifts`",
    "{doc}`formula index <formula_index>`": "formula index",
    "[here](03_b.ipynb#x), [there](04_c.ipynb)": "[here](03_b.ipynb), there",
    "[on the net](https://a.org/b)": "[on the net](https://a.org/b)",
}


@pytest.mark.parametrize("text", INLINE)
def test_a_role_becomes_what_the_site_shows(text):
    """Oracle: the built site, copied by hand."""
    named = {"eq_a": "(2.1)", "fig_a": "Fig. 2.3", "ex_a": "Exercise 2.1"}
    assert translated(text, **named) == INLINE[text]


BLOCKS = {
    "(sec-a)=\n## A\n\n$$\nx^2\n$$ (eq-a)\n\n$$\ny\n$$": (
        "## A\n\n\\begin{equation*}\nx^2\n\\tag{2.1}\n\\end{equation*}\n\n"
        "\\begin{equation*}\ny\n\\end{equation*}"
    ),
    "````{exercise} By hand\n:label: ex-a\n\nRun {eq}`eq-a`:\n\n```python\n{eq}`x`\n```\n````": (
        "### Exercise 2.1: By hand\n\nRun (2.1):\n\n```python\n{eq}`x`\n```"
    ),
    ":::{admonition} Erratum\n:class: erratum\n\nIt says\n\nno.\n:::": (
        "> **Erratum**\n>\n> It says\n>\n> no."
    ),
    "```{list-table} What\n:name: tab-a\n\n* - head\n  - two\n    lines\n* - a|b\n  - c\n```": (
        "**Table 2.1.** What\n\n| head | two lines |\n| --- | --- |\n| a\\|b | c |"
    ),
}


@pytest.mark.parametrize("text", BLOCKS, ids=lambda text: text[:12])
def test_a_directive_becomes_markdown_that_every_jupyter_shows(text):
    """Oracle: CommonMark's headings, quotations and tables, and LaTeX's equation, by hand."""
    named = {"eq_a": "(2.1)", "ex_a": "Exercise 2.1", "tab_a": "Table 2.1"}
    assert translated(text, **named) == BLOCKS[text]


def test_the_list_of_references_names_the_cited_works():
    """Oracle: the entry of references.bib."""
    (line,) = translated("```{bibliography}\n:filter: docname in docnames\n```").splitlines()
    assert line.startswith("- Song Han, Huizi Mao, and William J. Dally. Deep compression")
    assert "2016" in line


@pytest.mark.parametrize("text", ["{video}`x`", "```{video} x\n```", "{eq}`eq-of-nothing`"])
def test_what_an_edition_cannot_show_is_refused_by_name(text):
    """Oracle: a role, a directive and a label that the book does not have."""
    with pytest.raises(BookError, match=r"video|eq-of-nothing"):
        translated(text)


def raw_parts(text: str) -> list[str]:
    """Return the directives, roles and labels in a text that only the site would understand."""
    patterns = r"^(?:`{3,}|:{3,})\{.*", r"\{[\w:-]+\}`[^`]*`", r"^\([\w-]+\)=", r"^\$\$ \(.*\)"
    return [part for p in patterns for part in re.findall(p, text, re.MULTILINE)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_copy_has_every_exercise_and_no_solution_output_or_directive(path):
    """Oracle: the labels, calls of checkers and figures that the chapter's text has."""
    chapter = read(path)
    copy = edition(chapter, without_solutions(chapter.cells), outputs=False)
    text = "\n\n".join(cell.source for cell in copy.cells if cell.cell_type == "markdown")
    code = "\n\n".join(cell.source for cell in copy.cells if cell.cell_type == "code")
    source = path.read_text("utf-8")
    exercises = len(re.findall(r"\{exercise\}", source))
    assert len(re.findall(r"^### Exercise \d", text, re.MULTILINE)) == exercises
    assert len(re.findall(r"\bcheck\(\s*\"", code)) == exercises
    assert len(re.findall(r"^\*\*Fig\. ", text, re.MULTILINE)) == source.count('"name": "fig-')
    assert not raw_parts(re.sub(r"^(`{3,}).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL))
    assert all(not cell.get("outputs") for cell in copy.cells)
    assert all(not {"mystnb", "tolerance"} & set(cell.metadata) for cell in copy.cells)
    assert len({cell.id for cell in copy.cells}) == len(copy.cells)
    nbformat.validate(copy)
    solutions = edition(chapter, exercises_solved(chapter.cells))
    assert sum("check(" in cell.source for cell in solutions.cells) >= exercises
    theirs = [
        cell
        for cell in edition(chapter, chapter.cells).cells
        if re.search(r"\bcheck\(\s*\"", cell.source)
        and "solution" not in cell.metadata.get("tags", ())
    ]
    assert len(theirs) == exercises, "a solution without the tag would be graded as an answer"


def test_no_cell_of_a_copy_needs_a_name_that_only_a_solution_defines(tmp_path):
    """Oracle: ruff's rule F821, undefined names."""
    for path in NOTEBOOKS:
        chapter = read(path)
        copy = edition(chapter, without_solutions(chapter.cells), outputs=False)
        nbformat.write(copy, tmp_path / path.name)
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
