"""The list of mutants fits sources and equations; breaking, noticing and restoring work."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from book_tools import mutants, mutation_score
from book_tools.mutants import ROOT, read_mutants, rewritten
from book_tools.mutation_score import changes
from book_tools.pages.formulas import formulas

MUTANTS = read_mutants()


@pytest.mark.parametrize("change", MUTANTS, ids=lambda change: change.text)
def test_each_mutant_changes_its_source_into_other_python(change):
    """Oracle: compile() accepts the broken source, and it differs."""
    assert change.source != (ROOT / change.file).read_text("utf-8")
    compile(change.source, change.file, "exec")


def test_each_labelled_equation_has_a_mutant_and_no_other_label_has():
    """Oracle: the labels of the chapters."""
    assert {change.text for change in MUTANTS} == {f.label for f in formulas()}


@pytest.mark.parametrize("old", ["no such formula", "part"])
def test_a_mutant_that_does_not_fit_once_is_refused(tmp_path, old):
    """Oracle: str.count for a formula that was rewritten since, and one that stands twice."""
    count = (ROOT / "book_tools" / "files.py").read_text("utf-8").count(old)
    given = f'module = [{{file = "book_tools/files.py", mutants = [{{old = "{old}"}}]}}]'
    (tmp_path / "a.toml").write_text(given)
    with pytest.raises(
        ValueError, match=rf"once in book_tools/files.py, got '{old}' {count} times"
    ):
        read_mutants(tmp_path / "a.toml")


SCRIPT = """
import sys
from contextlib import suppress
from pathlib import Path
from book_tools.mutants import Change, first_failure, rewritten, tried
right = Path("double.py").read_text()
def shown(source, *tests):
    for _, names in tried([Change("", Path("double.py"), source, [tests])]):
        print(*names, flush=True)
shown(right.replace("2 *", "3 *"), "test_double.py::test_double")
shown("import os; os.abort()", "test_double.py::test_double")
with rewritten(Path("double.py"), "import time; time.sleep(99)"):
    print(first_failure(["test_double.py"], 1), flush=True)
shown(right.replace("2 *", "2  *"), "test_double.py::test_double")
print("reference_impl" in sys.modules, flush=True)
shown(right.replace("2 *", "3 *"), "test_double.py")
"""


def test_a_broken_formula_is_noticed_and_restored_if_its_tests_pass_before(tmp_path):
    """Oracle: a formula and a test, right, broken, right again; a test that fails in any case."""
    (tmp_path / "double.py").write_text("def double(x):\n    return 2 * x\n")
    test = "from double import double\ndef test_double(): assert double(3) == 6\n"
    (tmp_path / "test_double.py").write_text(test + "def test_always(): assert not double(3)\n")
    unneeded = " ".join(f"-p no:{name}" for name in ("nbval", "hypothesispytest", "anyio"))
    (tmp_path / "pytest.ini").write_text(f"[pytest]\naddopts = {unneeded}\n")
    run = subprocess.run(  # in a process of one thread, which may fork
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    shown = ["test_double", "crash", "timeout", "", "False"]
    assert run.stdout.splitlines() == shown, run.stderr
    assert run.stderr == "tests must pass before anything is changed, test_always fails\n"


def test_the_projects_own_tests_run_with_the_options_of_a_mutant():
    """Oracle: a test of this project that passes."""
    script = (
        "from book_tools.mutants import first_failure\n"
        "print(repr(first_failure(['tests/book_tools/test_outputs.py'])))\n"
    )
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "''"


def test_a_source_is_restored_after_an_error(tmp_path):
    """Oracle: the file before."""
    file = tmp_path / "a.py"
    file.write_text("right")
    with suppress(KeyboardInterrupt), rewritten(file, "wrong"):
        assert file.read_text() == "wrong"
        raise KeyboardInterrupt
    assert file.read_text() == "right"


SOURCE = '''
def f(x: Annotated[int, Within(1, 9)], y: float) -> float:
    """Return 2 x + y."""
    if x > 3:
        raise ValueError(f"x must be at most {1 + 2}")
    return 2 * x
'''


def test_changes_are_those_of_bodies_and_survive_edits_elsewhere(tmp_path, monkeypatch):
    """Oracle: by hand; 3 and 2 up and down, > and * replaced, the condition negated."""
    monkeypatch.chdir(tmp_path)
    file = Path("f.py")
    file.write_text(SOURCE)
    found = {change.text for change in changes(file)}
    kinds = sorted({text.split(": ")[1].split(" at")[0] for text in found})
    assert kinds == [
        "AddNot",
        "NumberReplacer",
        *(f"ReplaceBinaryOperator_Mul_{to}" for to in ("Add", "Div", "Sub")),
        *(f"ReplaceComparisonOperator_Gt_{to}" for to in ("Eq", "GtE", "Lt", "LtE", "NotEq")),
    ]
    assert len(found) == len(kinds) + 3
    some = [change.text for change in changes(file, 0.5)]
    assert 0 < len(some) < len(found)
    file.write_text("A = 1 + 2\n" + SOURCE)
    assert [change.text for change in changes(file, 0.5)] == some


@pytest.mark.parametrize(
    ("module", "argument", "words"),
    [
        (mutants, "eq-nothing", "words must be in a label or a file of mutants.toml"),
        (
            mutation_score,
            "reference_impl/data.py",
            "paths must be like reference_impl/quantization",
        ),
        (mutation_score, "reference_impl/none", "paths must be like reference_impl/quantization"),
    ],
)
def test_what_selects_nothing_is_refused_in_a_line(module, argument, words, monkeypatch, capsys):
    """Oracle: argparse's status 2, and the last line names what was expected."""
    monkeypatch.setattr(sys, "argv", ["command", argument])
    with pytest.raises(SystemExit, match="2"):
        module.main()
    assert words in capsys.readouterr().err.splitlines()[-1]
