"""A course in small: a folder with some chapters and all that they run with, and its zip.

It holds `data`, `reference_impl` and `exercises` as they are, and the modules of `experiments` and
`benchmarks` that the chapters use. What the chapters and these modules import has to be installed.
"""

import ast
import re
import shutil
import tomllib
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from nbformat import NotebookNode

from book_tools.editions.edition import written
from book_tools.files import ROOT, write_whole
from book_tools.notebooks import code_of
from book_tools.pages.first_cells import address

_ABOVE = "experiments", "benchmarks"  # what may stand above reference_impl
_LENT = "torch", "torchvision"  # a machine that runs notebooks has them, in a build that fits it
_DISTRIBUTIONS = {"sklearn": "scikit-learn", "PIL": "pillow"}  # where the names differ
_BESIDE = "LICENSE", "LICENSE-prose", "data", "reference_impl", "exercises"
_README = """\
# {title}

From the course “Model Compression, Formula by Formula”{where}. You need Python 3.11 or later with
torch and torchvision; `pip install -r requirements.txt` installs the rest. Then open
{names} in Jupyter, in this folder.

The notebooks find the package `reference_impl`, the checkers of the exercises and the data beside
them. Code: MIT; prose, figures and exercises: CC BY 4.0; Fashion-MNIST: MIT, Zalando SE.
"""


def imported(code: str) -> set[str]:
    """Return the modules that a text of Python imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def modules_of(code: str) -> list[Path]:
    """Return the modules of `experiments` and `benchmarks` that code imports, and these in turn."""
    found: list[Path] = []
    waiting = [code]
    while waiting:
        for name in sorted(imported(waiting.pop())):
            path = ROOT / f"{name.replace('.', '/')}.py"
            if name.startswith(_ABOVE) and path.is_file() and path not in found:
                found.append(path)
                waiting.append(path.read_text("utf-8"))
    return found


def requirements_of(modules: Iterable[str]) -> list[str]:
    """Return the lines of pyproject.toml for what is imported, without torch and its kin."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    optional = project["optional-dependencies"]
    lines = [*project["dependencies"], *optional["oracles"], *optional["deploy"]]
    known = {re.split(r"[>=<]", line)[0]: line for line in lines}
    tops = {name.partition(".")[0] for name in modules}
    wanted = {_DISTRIBUTIONS.get(top, top.replace("_", "-")) for top in tops}
    needed = {*project["dependencies"], *(known[name] for name in wanted & set(known))}
    return sorted(line for line in needed if re.split(r"[>=<]", line)[0] not in _LENT)


def lay(folder: Path, notebooks: Mapping[str, NotebookNode]) -> None:
    """Make the folder anew, with notebooks and all that their cells run with."""
    shutil.rmtree(folder, ignore_errors=True)
    codes = [code_of(notebook) for notebook in notebooks.values()]
    modules = sorted({module for code in codes for module in modules_of(code)})
    texts = [*codes, *(module.read_text("utf-8") for module in modules)]
    faces = {module.parent / "__init__.py" for module in modules}
    for path in (*map(ROOT.joinpath, _BESIDE), *modules, *faces):
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target, ignore=shutil.ignore_patterns("__pycache__"))
        elif not target.exists():
            shutil.copyfile(path, target)
    for name, notebook in notebooks.items():
        write_whole(folder / name, written(notebook))
    needed = requirements_of({name for text in texts for name in imported(text)})
    write_whole(folder / "requirements.txt", "\n".join(needed) + "\n")
    write_whole(folder / "README.md", _readme(notebooks))


def _readme(notebooks: Mapping[str, NotebookNode]) -> str:
    first = next(iter(notebooks.values())).cells[0].source.splitlines()[0].removeprefix("# ")
    url = address()
    return _README.format(
        title=first if len(notebooks) == 1 else "Chapters for students",
        where=f" ({url})" if url else "",
        names=f"`{next(iter(notebooks))}`" if len(notebooks) == 1 else "a chapter",
    )


def zipped(folder: Path) -> Path:
    """Return a zip that holds the folder under its name, and stands beside it."""
    target = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                archive.write(path, path.relative_to(folder.parent))
    return target
