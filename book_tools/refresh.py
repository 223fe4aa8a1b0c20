"""Execute chapters and store their outputs: ``make refresh``.

Only what the reader would see differently is written, so that a refreshed notebook that says the
same makes no difference to commit. A notebook that fails is left as it was.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from book_tools.comparing.failures import BookError, NotebookFailed, explained
from book_tools.comparing.outputs import outputs_difference
from book_tools.comparing.rules import code_cells, structure_problems
from book_tools.site.execute import AT_A_TIME, execute
from reference_impl.files import ROOT, write_atomically

_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def _without_places(line: str) -> str:
    """Return a line of a traceback without the folders of this machine."""
    line = line.replace(f"{ROOT}/", "")
    if ROOT.is_relative_to(Path.home()):  # IPython writes ~ for the user's folder
        line = line.replace(f"~/{ROOT.relative_to(Path.home())}/", "")
    return line


def tidied(notebook: NotebookNode) -> NotebookNode:
    """Return a copy without what changes from run to run: times, versions, folders."""
    tidy = deepcopy(notebook)
    tidy.metadata.update(nbformat.from_dict(_METADATA))
    for cell in code_cells(tidy):
        cell["metadata"].pop("execution", None)
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                output["traceback"] = [_without_places(line) for line in output["traceback"]]
    return tidy


def merged(stored: NotebookNode, fresh: NotebookNode) -> tuple[NotebookNode, int]:
    """Return the fresh notebook with the stored outputs where they agree, and how many do not."""
    result, changed = deepcopy(fresh), 0
    for cell, old in zip(code_cells(result), code_cells(stored), strict=True):
        wrong_order = cell["execution_count"] != old["execution_count"]
        if wrong_order or outputs_difference(old["outputs"], cell["outputs"]):
            changed += 1
        else:
            cell["outputs"] = old["outputs"]
    return result, changed


def _require_testable(path: Path, fresh: NotebookNode) -> None:
    """Require outputs that a test can compare.

    Raises:
        NotebookFailed: for a missing exception, an empty cell or an output of an unknown kind.
    """
    problems = structure_problems(fresh)
    for position, cell in enumerate(code_cells(fresh), start=1):
        if reason := outputs_difference(cell["outputs"], cell["outputs"]):
            problems.append(f"code cell {position}: {reason}")
    if problems:
        raise NotebookFailed(f"{path.name}: " + "\n".join(problems))


async def _refresh(path: Path, *, force: bool) -> str:
    try:
        stored = nbformat.read(path, as_version=4)
    except ValueError as error:
        raise NotebookFailed(f"{path.name}: not a notebook: {error}") from error
    done = await execute(path)
    fresh = tidied(done.notebook)
    _require_testable(path, fresh)
    result, changed = merged(stored, fresh)
    took = f"{done.seconds:.1f} s"
    if force:
        result = fresh
    elif not changed and tidied(stored) == stored:
        return f"{path.stem}: unchanged, {took}"
    write_atomically(path, lambda part: nbformat.write(result, part))
    return f"{path.stem}: {changed} of {len(code_cells(fresh))} cells changed, written, {took}"


async def _refresh_all(paths: Sequence[Path], *, force: bool) -> list[BaseException]:
    slots = asyncio.Semaphore(AT_A_TIME)

    async def run(path: Path) -> None:
        async with slots:
            print(await _refresh(path, force=force), flush=True)

    results = await asyncio.gather(*(run(path) for path in paths), return_exceptions=True)
    return [result for result in results if isinstance(result, BaseException)]


def refresh(paths: Sequence[Path], *, force: bool = False) -> str:
    """Execute the notebooks, two at a time, and store their outputs; return a closing line.

    Args:
        paths: of the notebooks.
        force: write every output anew, even those that agree with the stored ones.

    Raises:
        NotebookFailed: when a cell fails, writes to stderr or cannot be a test. The other
            notebooks are finished first.
    """
    failures = asyncio.run(_refresh_all(paths, force=force))
    for failure in failures[1:]:
        print(failure, file=sys.stderr)
    if failures:
        raise failures[0]
    return f"Notebooks executed: {len(paths)}"


def chosen(given: Sequence[Path]) -> list[Path]:
    """Return the notebooks to work on: the given ones, or all chapters.

    Raises:
        BookError: if one does not exist, or chapters/ has none.
    """
    paths = list(given) or sorted((ROOT / "chapters").glob("*.ipynb"))
    for path in paths:
        if path.suffix != ".ipynb" or not path.is_file():
            raise BookError(f"{path} is not a notebook; name files such as chapters/02_….ipynb")
    if not paths:
        raise BookError("there are no notebooks in chapters/")
    return [path.resolve() for path in paths]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m book_tools.refresh", description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all chapters")
    parser.add_argument("--force", action="store_true", help="write unchanged outputs too")
    options = parser.parse_args(arguments)
    return explained(
        lambda: refresh(chosen(options.notebooks), force=options.force), "make refresh"
    )


if __name__ == "__main__":
    sys.exit(main())
