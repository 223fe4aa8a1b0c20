"""Run a chapter with other parameters, and say what moved: ``make adapt CHAPTER=02 DATA=mine``.

Nothing is written: the notebook stays as it is. Three kinds of cells are listed: those that raise,
those in which a sentence of the text does not hold, and those whose outputs moved, each with the
sentences with numbers that stand beside it.
"""

import argparse
import asyncio
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

from nbformat import NotebookNode

from book_tools.comparing.kernels import Runner
from book_tools.comparing.outputs import coalesce, outputs_difference
from book_tools.comparing.rules import cell_name, code_cells, raises
from book_tools.execute import CELL_TIMEOUT
from book_tools.failures import BookError, explained
from book_tools.notebooks import chosen, read
from reference_impl.folders import data_folder
from reference_impl.notebook import NEEDS_A_LOOK

_SENTENCE = re.compile(r"(?<=[.:!?])\s+(?=[A-Z“*\[])")
_NOT_PROSE = re.compile(r"^(```|:|#|\||\().*$", re.MULTILINE)  # directives, headings, tables
_REFERENCE = re.compile(
    r"\$[^$]*\$|\{[^}]*\}`[^`]*`|\[chapter[^\]]*\]|\([^)]*\.ipynb\)", re.IGNORECASE
)
_NAMED = re.compile(
    r"fashion|cloth|shirt|trouser|pullover|\bdress|\bcoat|sandal|sneaker|\bbags?\b|\bboots?\b",
    re.IGNORECASE,
)
_RECORD = re.compile(r"\b([a-z_]+)\.json\b")
_UNTRAINED = re.compile(r"\w+ was not trained on .*?`make retrain DATA=[^`\s]*")
_GOING_ON = "from reference_impl.notebook import print_failed_sentences as _going_on\n_going_on()\n"


@dataclass
class Found:
    """What happened to a cell."""

    name: str  #: as all commands of the book name it
    error: str = ""  #: what it raises
    sentences: list[str] = field(default_factory=list)  #: those that do not hold
    moved: str = ""  #: the first difference of its outputs
    beside: list[str] = field(default_factory=list)  #: sentences with numbers before and after it


def with_parameters(notebook: NotebookNode, given: Mapping[str, str]) -> NotebookNode:
    """Return a copy whose parameters have other values, and whose assertions go on.

    Raises:
        BookError: if the notebook has no parameter of a name; the message lists its own.
    """
    changed = deepcopy(notebook)
    for cell in code_cells(changed):
        if "parameters" in cell["metadata"].get("tags", ()):
            break
    else:
        raise BookError("the notebook has no cell with the tag `parameters`")
    for name, value in given.items():
        old = re.search(rf"^{re.escape(name)} = (\"[^\"]*\"|\d+)", cell["source"], re.MULTILINE)
        if not old:
            known = ", ".join(re.findall(r"^(\w+) = ", cell["source"], re.MULTILINE))
            raise BookError(f"{name} is not a parameter of this chapter; it has {known}")
        new = repr(value) if old[1].startswith('"') else value
        cell["source"] = cell["source"].replace(old[0], f"{name} = {new}")
    cell["source"] = _GOING_ON + cell["source"]
    return changed


async def run(notebook: NotebookNode, folder: Path) -> None:
    """Execute the cells in a folder, whatever they raise; the outputs are then the notebook's.

    Raises:
        BookError: if a network was not trained on the data; what follows would raise too.
    """
    runner = Runner(notebook, folder, CELL_TIMEOUT, allow_errors=True)
    try:
        await runner.begin()
        for index, cell in enumerate(notebook.cells):
            await runner.run(cell, index)
            errors = [one["evalue"] for one in cell.get("outputs", ()) if "evalue" in one]
            if untrained := _UNTRAINED.search(" ".join(errors)):
                raise BookError(untrained[0])
    finally:
        await runner.end()


def compared(stored: NotebookNode, fresh: NotebookNode) -> Iterator[Found]:
    """Yield the cells that raise, that contradict the text, or whose outputs moved."""
    pairs = zip(stored.cells, fresh.cells, strict=True)
    for place, (old, new) in enumerate(pairs):
        if old["cell_type"] != "code":
            continue
        found, outputs = Found(cell_name(stored, old)), coalesce(new["outputs"])
        for output in outputs:
            if output["output_type"] == "error" and not raises(old):
                found.error = f"{output['ename']}: {output['evalue']}".partition("\n")[0]
            elif output.get("name") == "stdout":
                lines = output["text"].splitlines(keepends=True)
                marked = [line for line in lines if line.startswith(NEEDS_A_LOOK)]
                marked = [*dict.fromkeys(marked)]  # a loop prints it more than once
                found.sentences += [line.removeprefix(NEEDS_A_LOOK).strip() for line in marked]
                output["text"] = "".join(line for line in lines if line not in marked)
        outputs = [one for one in outputs if one.get("text") != ""]
        if not found.error:
            tolerance = old["metadata"].get("tolerance")
            found.moved = outputs_difference(old["outputs"], outputs, tolerance) or ""
        if found.error or found.sentences or found.moved:
            found.beside = list(beside(stored, place))
            yield found


def sentences(text: str) -> list[str]:
    """Return the sentences of a text in Markdown, without headings, directives and tables.

    A letter of a formula, ``$b$``, stands without its signs.
    """
    prose = re.sub(r"\$(\w)\$", r"\1", _NOT_PROSE.sub("", text))
    return _SENTENCE.split(" ".join(prose.split()))


def figure_texts(cell: NotebookNode) -> str:
    """Return the caption and the alternative text of a cell's figure."""
    shown = cell["metadata"].get("mystnb", {})
    texts = shown.get("figure", {}).get("caption"), shown.get("image", {}).get("alt")
    return " ".join(text for text in texts if text)


def beside(notebook: NotebookNode, place: int) -> Iterator[str]:
    """Yield the sentences with a number in a figure's texts, and just before and after its cell."""
    texts = [figure_texts(notebook.cells[place])]
    for other, which in ((place - 1, -1), (place + 1, 0)):
        cell = notebook.cells[other] if 0 <= other < len(notebook.cells) else {}
        if cell.get("cell_type") == "markdown":
            paragraphs = [x for x in cell["source"].split("\n\n") if _NOT_PROSE.sub("", x).strip()]
            texts += paragraphs[which:][:1]
    for sentence in (one for text in texts for one in sentences(text)):
        if re.search(r"\d", _REFERENCE.sub("", sentence)):
            yield sentence


def naming(notebook: NotebookNode) -> Iterator[str]:
    """Yield the sentences that name Fashion-MNIST or one of its classes, each with its place."""
    for cell in notebook.cells:
        text = cell["source"] if cell["cell_type"] == "markdown" else figure_texts(cell)
        for sentence in filter(_NAMED.search, sentences(text)):
            yield f"{cell_name(notebook, cell)}: {sentence}"


def as_text(found: Sequence[Found], notebook: NotebookNode) -> str:
    """Return the list as text, its numbers first."""
    cells = code_cells(notebook)
    records = sorted({x for cell in cells for x in _RECORD.findall(cell["source"])})
    names = list(naming(notebook))
    kinds = {
        "raise": [one for one in found if one.error],
        "have sentences that do not hold": [one for one in found if one.sentences],
        "have outputs that moved": [one for one in found if one.moved],
    }
    lines = [f"of {len(cells)} code cells"]
    lines += [f"  {len(some)} {kind}" for kind, some in kinds.items()]
    lines += [f"{len(names)} sentences name Fashion-MNIST or its classes"]
    if records:
        lines += [f"measured on Fashion-MNIST, and only shown here: {', '.join(records)}"]
    for one in found:
        lines += ["", one.name]
        lines += [f"  raises {one.error}"] if one.error else []
        lines += [f"  does not hold: {sentence}" for sentence in one.sentences]
        lines += [f"  moved: {one.moved}"] if one.moved else []
        lines += [f"  beside it: {sentence}" for sentence in one.beside]
    return "\n".join([*lines, "", *names])


def adapt(chapter: str, given: Mapping[str, str]) -> str:
    """Run the chapter with these parameters; return the list, and how long it took."""
    (path,) = chosen([chapter])
    if "DATA" in given:
        try:
            data_folder(given["DATA"])
        except FileNotFoundError as error:
            raise BookError(str(error)) from error
    stored = read(path)
    fresh = with_parameters(stored, given)
    values = ", ".join(f"{name}={value}" for name, value in given.items()) or "its own parameters"
    print(f"{path.stem} with {values} …", flush=True)
    began = time.perf_counter()
    try:
        asyncio.run(run(fresh, path.parent))
    except BookError as error:
        raise BookError(f"{error} CHAPTER={chapter}` trains all that it needs") from error
    report = as_text(list(compared(stored, fresh)), stored)
    return f"{report}\n\n{time.perf_counter() - began:.0f} s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m book_tools.adapt", description=__doc__)
    parser.add_argument("chapter", help="its number, such as 02, or a notebook")
    parser.add_argument("values", nargs="*", metavar="NAME=VALUE", help="such as DATA=mine SEED=3")
    options = parser.parse_args(arguments)
    if wrong := [value for value in options.values if "=" not in value]:
        parser.error(f"{wrong[0]} is not NAME=VALUE")
    given = dict(value.split("=", 1) for value in options.values)
    return explained(lambda: adapt(options.chapter, given), "make adapt")


if __name__ == "__main__":
    sys.exit(main())
