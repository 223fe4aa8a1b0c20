"""Spelling of the notebooks' prose and types of their code: what ruff does not look at.

Each notebook is written below ``_build/lint`` as ``NAME.md`` (its prose, for codespell) and
``NAME.py`` (its code, for mypy), one cell after the other.
"""

import subprocess
import sys
from pathlib import Path

import nbformat

MYPY_OPTIONS = (
    "--config-file=",  # not the package's strict rules: a cell reads like speech
    "--check-untyped-defs",
    "--ignore-missing-imports",
    "--follow-imports=silent",
    "--allow-redefinition",
    "--disable-error-code=assignment",  # a name may mean something else in a later section
    "--disable-error-code=no-redef",
    "--disable-error-code=misc",
    "--disable-error-code=var-annotated",
    "--disable-error-code=operator",  # what a dictionary of functions holds is inferred as object
    "--disable-error-code=arg-type",
    "--disable-error-code=index",
)


def split(notebook: Path, folder: Path) -> tuple[Path, Path]:
    """Write a notebook's prose and code to ``folder``; return both files."""
    cells = nbformat.read(notebook, as_version=4).cells
    written = []
    for kind, suffix in (("markdown", ".md"), ("code", ".py")):
        name = f"chapter_{notebook.stem}{suffix}"  # a module's name starts with a letter
        text = "\n\n".join(cell.source for cell in cells if cell.cell_type == kind)
        (folder / name).write_text(text + "\n", encoding="utf-8")
        written.append(folder / name)
    return written[0], written[1]


def main() -> int:
    """Run both tools over every chapter; return the worse exit code."""
    folder = Path("_build/lint")
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("chapter_*"):
        stale.unlink()
    pairs = [split(notebook, folder) for notebook in sorted(Path("chapters").glob("*.ipynb"))]
    if not pairs:
        print("lint: no notebook found in chapters/", file=sys.stderr)
        return 1
    prose, code = zip(*pairs, strict=True)
    spelling = subprocess.run([sys.executable, "-m", "codespell_lib", *prose], check=False)
    types = [
        subprocess.run([sys.executable, "-m", "mypy", *MYPY_OPTIONS, module], check=False)
        for module in code
    ]
    return max(spelling.returncode, *(run.returncode for run in types))


if __name__ == "__main__":
    sys.exit(main())
