"""Build the book: ``python -m book_tools.site.build``, which ``make book`` and ``make site`` run.

A chapter is executed when it, the package, the data or the lock file has changed. Its page shows
the stored outputs where the run agrees with them. Pages are written again when they have changed.
"""

import argparse
import errno
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from nbformat import NotebookNode
from sphinx_external_toc.parsing import parse_toc_yaml

from book_tools.comparing.rules import code_cells
from book_tools.execute import execute_all
from book_tools.failures import BookError, explained
from book_tools.files import write_whole
from book_tools.notebooks import read
from book_tools.pages.formulas import equations
from book_tools.refresh import merged, tidied
from book_tools.site import runs

#: Written last, removed first: a build that was interrupted leaves none, and is done again.
_STAMP = "built.json"

#: What every page may depend on, and what holds pages that are read without the others.
_FRAME = (
    *(*runs.CODE, "_config.yml", "_toc.yml", "_static", "_extra", "_templates"),
    *("book_tools", "tests", "references.bib"),
)
_READ_ALONE = ("chapters", "intro.md", f"_build/{runs.FOLDER}")


def notebooks(root: Path) -> list[Path]:
    """Return the notebooks that ``_toc.yml`` names, in reading order."""
    toc = root / "_toc.yml"
    if not toc.is_file():
        raise BookError(f"{toc} is missing; run this in a clone of the book")
    paths = [(root / name).with_suffix(".ipynb") for name in parse_toc_yaml(toc)]
    return [path for path in paths if path.is_file()]


def run_sphinx(root: Path, build: Path) -> None:
    """Turn the pages into HTML; a warning is an error."""
    log = build / "sphinx.log"
    call = "import book_tools; from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", call, "build", str(root), "-W", "-n", "--keep-going"]
    with log.open("w", encoding="utf-8") as stream:
        done = subprocess.run(command, stdout=stream, stderr=stream, check=False)
    if done.returncode:
        text = re.sub(r"\x1b\[[0-9;]*m", "", log.read_text("utf-8", errors="replace"))
        lines = text.splitlines()
        if "No space left on device" in text:
            raise OSError(errno.ENOSPC, "No space left on device", str(build))
        faults = [x for x in dict.fromkeys(lines) if "WARNING: " in x or "ERROR: " in x]
        print(*(faults[:40] or lines[-40:]), sep="\n")
        raise BookError(f"the pages have errors, listed above; the whole log is {log}")


def _execute(root: Path, paths: Sequence[Path]) -> None:
    """Execute the notebooks whose last run is not that of their present code."""
    build, code = root / "_build", runs.code_digest(root)
    stored = {path: read(path) for path in paths}
    inputs = {path: runs.inputs_digest(notebook, code) for path, notebook in stored.items()}

    def keep(path: Path, executed: NotebookNode) -> str:
        shown, changed = merged(stored[path], tidied(executed))
        outputs = [cell["outputs"] for cell in code_cells(shown)] if changed else None
        runs.keep_run(build, _page(root, path), inputs[path], outputs)
        return f"{changed} cells differ from the stored outputs" if changed else "as stored"

    due = [p for p in paths if runs.read_run(build, _page(root, p)).get("inputs") != inputs[p]]
    execute_all(due, keep)
    print(f"{len(due)} of {len(paths)} notebooks executed; the others have not changed.")


def _page(root: Path, path: Path) -> str:
    return path.relative_to(root).with_suffix("").as_posix()


def build_book(root: Path, *, execute: bool = True) -> str:
    """Build the site in ``root/_build/html`` where needed; return one line that says so."""
    began = time.perf_counter()
    build = root / "_build"
    stamp, index = build / _STAMP, build / "html" / "index.html"
    pages = notebooks(root)
    build.mkdir(exist_ok=True)
    if execute:
        _execute(root, pages)
    else:
        for page in (_page(root, path) for path in pages):
            if runs.read_run(build, page).get("outputs"):
                runs.keep_run(build, page, None, None)
    shown = [equations(path) for path in pages]  # on pages of the API
    frame = f"{runs.digest(root, _FRAME)} {shown} {sys.version}"
    inputs = [frame, runs.digest(root, _READ_ALONE)]
    built = json.loads(stamp.read_text("utf-8")) if stamp.is_file() else [None, None]
    opening = f"open it with `make serve`, or {index}"
    if index.is_file() and built == inputs:
        return f"The book is up to date; {opening}"
    stamp.unlink(missing_ok=True)
    if built[0] != frame or not index.is_file():
        for folder in ("html", ".doctrees", "jupyter_execute"):
            shutil.rmtree(build / folder, ignore_errors=True)
    print("Writing the pages …", flush=True)
    run_sphinx(root, build)
    write_whole(stamp, json.dumps(inputs))
    return f"The book is built ({time.perf_counter() - began:.0f} s); {opening}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m book_tools.site.build", description=__doc__)
    parser.add_argument("root", nargs="?", type=Path, default=Path.cwd(), help="the book's folder")
    parser.add_argument("--stored", action="store_true", help="execute nothing")
    given = parser.parse_args(arguments)
    command = "make site" if given.stored else "make book"
    return explained(lambda: build_book(given.root.resolve(), execute=not given.stored), command)


if __name__ == "__main__":
    sys.exit(main())
