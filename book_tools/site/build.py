"""Build the book: ``python -m book_tools.site.build``, which ``make book`` runs.

Jupyter Book's cache of executed notebooks looks only at their cells. Here it is wiped when the
package, the data or the lock file changes, and nothing at all is done when no input has changed.
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

import yaml

from book_tools.comparing.failures import BuildFailed, explained
from book_tools.site.fingerprint import CODE, PAGES, digest

#: Written last, removed first: a build that was interrupted leaves none, and is done again.
_STAMP = "built.json"

_MOST_LINES = 40


def notebooks(root: Path) -> list[Path]:
    """Return the notebooks that ``_toc.yml`` names, in reading order.

    Raises:
        BuildFailed: if the table of contents is missing, or it names a file that is.
    """
    toc = root / "_toc.yml"
    if not toc.is_file():
        raise BuildFailed(f"{toc} is missing; run this in a clone of the book")
    found = []
    for name in _files_of(yaml.safe_load(toc.read_text("utf-8"))):
        stem = root / name
        page = [p for p in (stem, *(Path(f"{stem}{s}") for s in (".ipynb", ".md"))) if p.is_file()]
        if not page:
            raise BuildFailed(f"_toc.yml names {name}, and there is no {name}.ipynb or {name}.md")
        if page[0].suffix == ".ipynb":
            found.append(page[0])
    return found


def _files_of(entry: object) -> list[str]:
    """Return the files named anywhere below an entry of the table of contents."""
    if isinstance(entry, list):
        return [name for child in entry for name in _files_of(child)]
    if isinstance(entry, dict):
        own = [str(entry[key]) for key in ("root", "file") if key in entry]
        return own + [name for value in entry.values() for name in _files_of(value)]
    return []


def _read_stamp(file: Path) -> dict[str, str]:
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def drop_stale_outputs(build: Path, code: str) -> bool:
    """Wipe executed notebooks, and the pages read from them, that another code made.

    Returns whether anything was wiped.
    """
    cache = build / ".jupyter_cache"
    stamp = cache / "code.sha256"
    if stamp.is_file() and stamp.read_text("utf-8") == code:
        return False
    wiped = cache.is_dir()
    for folder in (cache, build / ".doctrees", build / "jupyter_execute"):
        shutil.rmtree(folder, ignore_errors=True)
    cache.mkdir(parents=True)
    stamp.write_text(code, "utf-8")
    return wiped


def run_sphinx(root: Path, build: Path) -> None:
    """Turn the pages into HTML; a warning is an error.

    Raises:
        BuildFailed: with Sphinx's warnings, or the end of its log.
    """
    shutil.rmtree(build / "html", ignore_errors=True)  # no page of a removed chapter is left
    log = build / "sphinx.log"
    call = "from jupyter_book.cli.main import main; main()"
    options = ["build", str(root), "-W", "-n", "--keep-going", "--path-output", str(build.parent)]
    with log.open("w", encoding="utf-8") as stream:
        done = subprocess.run(
            [sys.executable, "-c", call, *options], stdout=stream, stderr=stream, check=False
        )
    if done.returncode:
        text = re.sub(r"\x1b\[[0-9;]*m", "", log.read_text("utf-8", errors="replace"))
        lines = text.splitlines()
        if any("No space left on device" in line for line in lines):
            raise OSError(errno.ENOSPC, "No space left on device", str(build))
        wanted = dict.fromkeys(x for x in lines if "WARNING: " in x or "ERROR: " in x)
        print("\n".join(list(wanted)[:_MOST_LINES] or lines[-_MOST_LINES:]))
        raise BuildFailed(f"the pages have errors, listed above; the whole log is {log}")


def build_book(root: Path) -> str:
    """Build the site in ``root/_build/html`` where needed; return one line that says so.

    Raises:
        BuildFailed: if a page has an error.
        NotebookFailed: if a notebook does.
        OSError: if files cannot be written.
    """
    began = time.perf_counter()
    build = root / "_build"
    stamp, index = build / _STAMP, build / "html" / "index.html"
    code = f"{digest(root, CODE)} Python {sys.version}"
    inputs = {"code": code, "pages": digest(root, PAGES)}
    opening = f"open it with `make serve`, or {index}"
    if index.is_file() and _read_stamp(stamp) == inputs:
        return f"The book is up to date; {opening}"
    stamp.unlink(missing_ok=True)
    pages = notebooks(root)
    build.mkdir(exist_ok=True)
    if drop_stale_outputs(build, code):
        print("The package, the data or the lock file changed: every notebook is executed again.")
    from book_tools.site.execute import execute_into_cache  # noqa: PLC0415 — slow to import

    n_executed = execute_into_cache(pages, build / ".jupyter_cache")
    print(f"{n_executed} of {len(pages)} notebooks executed, the others were cached.")
    print("Writing the pages …", flush=True)
    run_sphinx(root, build)
    stamp.write_text(json.dumps(inputs), "utf-8")
    return f"The book is built ({time.perf_counter() - began:.0f} s); {opening}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m book_tools.site.build", description=__doc__)
    parser.add_argument("root", nargs="?", type=Path, default=Path.cwd(), help="the book's folder")
    root = parser.parse_args(arguments).root.resolve()
    return explained(lambda: build_book(root), "make book")


if __name__ == "__main__":
    sys.exit(main())
