"""Execute chapters and store their outputs: ``make refresh``.

Only what the reader would see differently is written, so that a refreshed notebook that says the
same makes no difference to commit. A notebook that fails is left as it was.
"""

import argparse
import sys
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from book_tools.comparing.outputs import outputs_difference
from book_tools.comparing.rules import code_cells, structure_problems
from book_tools.execute import execute_all
from book_tools.failures import BookError, explained
from book_tools.files import ROOT, write_whole
from book_tools.notebooks import chosen, read

_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def tidied(notebook: NotebookNode) -> NotebookNode:
    """Return a copy without what changes from run to run: times, versions, folders."""
    tidy = deepcopy(notebook)
    tidy.metadata.update(nbformat.from_dict(_METADATA))
    place = f"{ROOT}/"
    shorter = place.replace(f"{Path.home()}/", "~/", 1)  # as IPython writes it
    for cell in code_cells(tidy):
        cell["metadata"].pop("execution", None)
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                lines = [x.replace(place, "").replace(shorter, "") for x in output["traceback"]]
                output["traceback"] = lines
    return tidy


def merged(stored: NotebookNode, fresh: NotebookNode) -> tuple[NotebookNode, int]:
    """Return the fresh notebook with the stored outputs where they agree, and how many do not."""
    result, changed = deepcopy(fresh), 0
    for cell, old in zip(code_cells(result), code_cells(stored), strict=True):
        wrong_order = cell["execution_count"] != old["execution_count"]
        tolerance = old["metadata"].get("tolerance")
        if wrong_order or outputs_difference(old["outputs"], cell["outputs"], tolerance):
            changed += 1
        else:
            cell["outputs"] = old["outputs"]
    return result, changed


def refresh(paths: Sequence[Path]) -> str:
    """Execute the notebooks, two at a time, and store their outputs; return a closing line."""

    def store(path: Path, executed: NotebookNode) -> str:
        stored, fresh = read(path), tidied(executed)
        if [cell.source for cell in stored.cells] != [cell.source for cell in fresh.cells]:
            raise BookError(f"{path.name}: edited while it was executed; left as it is")
        problems = structure_problems(fresh)
        for position, cell in enumerate(code_cells(fresh), start=1):  # can a test compare it?
            if reason := outputs_difference(cell["outputs"], cell["outputs"]):
                problems.append(f"cell {position}: {reason}")
        if problems:
            raise BookError(f"{path.name}: " + "\n".join(problems))
        result, changed = merged(stored, fresh)
        if not changed and tidied(stored) == stored:
            return "unchanged"
        write_whole(path, nbformat.writes(result) + "\n")
        return f"{changed} of {len(code_cells(fresh))} cells changed, written"

    execute_all(paths, store)
    return f"Notebooks executed: {len(paths)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m book_tools.refresh", description=__doc__)
    parser.add_argument("notebooks", nargs="*", help="files or numbers of chapters; all by default")
    given = parser.parse_args(arguments).notebooks
    return explained(lambda: refresh(chosen(given)), "make refresh")


if __name__ == "__main__":
    sys.exit(main())
