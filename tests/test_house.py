"""The house: every room small, every formula short and exported, every contract in a signature."""

import ast
import dataclasses
import importlib
import inspect
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import reference_impl
from book_tools.failures import BookError
from book_tools.pages import formulas
from reference_impl import checked

ROOT = Path(__file__).parents[1]
PACKAGES = ("reference_impl", "exercises", "experiments", "benchmarks", "book_tools")
FAMILIES = ("quantization", "distillation", "pruning", "merging", "coding")
FACES = (*FAMILIES, "compress", "models", "training", "measuring")
LABELLED = formulas.named("reference_impl")


def modules(*folders: str) -> list[Path]:
    return [p for folder in folders for p in sorted((ROOT / folder).rglob("*.py"))]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", modules(*PACKAGES), ids=name)
def test_no_module_is_longer_than_250_lines(path):
    """Oracle: the count of its lines."""
    most = 280 if "exercises" in path.parts else 250
    assert len(path.read_text("utf-8").splitlines()) <= most


def body(file: str, dotted: str) -> int:
    """Return the number of lines of a function without its signature and docstring."""
    node: ast.AST = ast.parse((ROOT / file).read_text("utf-8"))
    for part in dotted.split("."):
        node = next(n for n in ast.iter_child_nodes(node) if getattr(n, "name", "") == part)
    if not isinstance(node, ast.FunctionDef):
        return 0  # a class: its methods count for themselves
    first = node.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    start = first.end_lineno if documented else first.lineno - 1
    return node.end_lineno - start


@pytest.mark.parametrize(
    "place", sorted({p for places in LABELLED.values() for p, _ in places}, key=str), ids=str
)
def test_what_computes_a_labelled_equation_is_short_and_exported(place):
    """Oracle: the syntax tree, and the family's list of names."""
    assert body(place.file, place.name) <= 15
    family = importlib.import_module("reference_impl." + Path(place.file).parts[1])
    if hasattr(family, "__all__"):
        assert place.name.split(".")[0] in family.__all__


@pytest.mark.parametrize("family", FACES)
def test_a_face_names_what_exists_once_and_its_values_cannot_be_changed(family):
    """Oracle: the attributes of the module; a frozen dataclass.

    In the families of formulas `checked` wraps each function that has arguments.
    """
    face = importlib.import_module(f"reference_impl.{family}")
    assert len(set(face.__all__)) == len(face.__all__)
    assert face.__doc__.count("\n") == 0
    for exported in face.__all__:
        found = getattr(face, exported)
        assert not dataclasses.is_dataclass(found) or found.__dataclass_params__.frozen, exported
        target = found.__init__ if inspect.isclass(found) else found
        takes = inspect.isfunction(target) and inspect.signature(target).parameters
        if family in FAMILIES and takes:
            code = getattr(target, "__code__", None)
            assert code is not None
            assert code.co_filename == checked.__file__, f"{family}.{exported} is not checked"


def test_families_are_imported_when_they_are_asked_for():
    """Oracle: a process of its own, in which torch is not imported; the module's own name."""
    script = (
        "import sys, reference_impl as rc\n"
        "assert 'torch' not in sys.modules and 'quantization' in dir(rc)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)
    asked = reference_impl.__getattr__("quantization")
    assert asked.__name__ == "reference_impl.quantization"
    with pytest.raises(AttributeError, match="surgery"):
        _ = reference_impl.surgery


def test_every_labelled_equation_has_a_function_and_an_oracle():
    """Oracle: the docstrings; the test that is named says what its oracle is."""
    found = formulas.formulas()
    assert len(found) == len({f.label for f in found}) > 100
    for place in {p for f in found for p in f.tests}:
        source = (ROOT / place.file).read_text("utf-8").splitlines()[place.line - 1 :]
        assert any("Oracle" in line for line in source[:12]), place.link


#: What takes more than three lines to call, or is the inside of another function.
NO_EXAMPLE = {
    *("adaround_objective", "normalised_relation", "optimal_splits", "price_by_density"),
    "row_minima",
}


def test_what_computes_a_labelled_equation_shows_an_example():
    """Oracle: the syntax tree's docstrings; `--doctest-modules` runs the examples."""
    without = set()
    for places in LABELLED.values():
        for place, _ in places:
            family = place.file.split("/")[1]
            if family in {"compress", "models", "training"} or "." in place.name:
                continue  # a whole network does not fit into three lines
            for node in ast.parse((ROOT / place.file).read_text("utf-8")).body:
                function = isinstance(node, ast.FunctionDef) and node.name == place.name
                if function and ">>>" not in (ast.get_docstring(node) or ""):
                    without.add(node.name)
    assert without == NO_EXAMPLE


SOURCES = {
    "reference_impl": 'def f():\n  """A.\n\n  Equation: eq-none, chapter 01.\n  """',
    "tests": '@pytest.mark.equation("eq-none")\ndef test_f(): ...',
}


@pytest.mark.parametrize(("folder", "source"), SOURCES.items())
def test_a_label_that_no_chapter_has_is_refused(tmp_path, folder, source):
    """Oracle: a docstring, or a mark, that names a label of nothing."""
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "a.py").write_text(source)
    with pytest.raises(BookError, match="no chapter has eq-none"):
        formulas.formulas(tmp_path)


def test_the_wheel_holds_the_package_and_nothing_is_left_behind(git, tmp_path):
    """Oracle: the names in the archive, and git's view of the folder."""
    before = untracked(git)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    tops = {entry.split("/")[0] for entry in zipfile.ZipFile(wheel).namelist()}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"reference_impl"}
    assert untracked(git) == before


def untracked(git) -> str:
    lines = git("status", "--porcelain", "--ignored", "--", ":!.pytest_cache")
    return "\n".join(line for line in lines.splitlines() if "__pycache__" not in line)
