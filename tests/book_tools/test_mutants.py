"""The list of mutants fits sources and equations; breaking, noticing and restoring work."""

import subprocess
import sys
from pathlib import Path

import pytest

from book_tools import mutants, mutation_score
from book_tools.formulas import formulas
from book_tools.mutants import ROOT, Mutant, read_mutants, rewritten
from book_tools.mutation_score import changes

MUTANTS = read_mutants()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.breaks[0]}: {mutant.new}")
def test_each_mutant_changes_its_source_into_other_python(mutant: Mutant) -> None:
    """Oracle: compile() accepts the broken source, and it differs."""
    source = (ROOT / mutant.file).read_text(encoding="utf-8")
    broken = mutant.broken(source)
    assert broken != source
    compile(broken, mutant.file, "exec")


def test_each_labelled_equation_has_a_mutant_and_no_other_label_has() -> None:
    """Oracle: the labels of the chapters."""
    assert {label for m in MUTANTS for label in m.breaks} == {f.label for f in formulas()}


@pytest.mark.parametrize(("source", "count"), [("x * y", 0), ("x + y; x + y", 2)])
def test_a_mutant_that_does_not_fit_once_is_refused(source: str, count: int) -> None:
    """Oracle: a formula that was rewritten since."""
    with pytest.raises(ValueError, match=rf"once in a.py, got 'x \+ y' {count} times"):
        Mutant("a.py", ("eq-a",), "x + y", "x - y").broken(source)


def test_a_broken_formula_is_noticed_and_restored(tmp_path: Path) -> None:
    """Oracle: a project of one formula and one test, right, broken, right again."""
    (tmp_path / "double.py").write_text("def double(x):\n    return 2 * x\n")
    (tmp_path / "test_double.py").write_text(
        "from double import double\n\n\ndef test_double():\n    assert double(3) == 6\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    script = (
        "from pathlib import Path\n"
        "from book_tools.mutants import first_failure, rewritten\n"
        "def shown():\n"
        "    print(repr(first_failure(['test_double.py'], seconds=100)), flush=True)\n"
        "shown()\n"
        "with rewritten(Path('double.py'), 'def double(x):\\n    return 3 * x\\n'): shown()\n"
        "with rewritten(Path('double.py'), 'def double(x):\\n    while 1: 2 * x\\n'):\n"
        "    print(first_failure(['test_double.py'], seconds=3), flush=True)\n"
        "with rewritten(Path('double.py'), 'import os; os.abort()'):\n"
        "    print(first_failure(['test_double.py']), flush=True)\n"
        "shown()\n"
        "import sys; print('reference_impl' in sys.modules)\n"
    )
    run = subprocess.run(  # in a process of one thread, which may fork
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == ["''", "'test_double'", "timeout", "crash", "''", "False"]


def test_the_projects_own_tests_run_with_the_options_of_a_mutant() -> None:
    """Oracle: a test of this project that passes."""
    script = (
        "from book_tools.mutants import first_failure\n"
        "print(repr(first_failure(iter(['tests/measuring/test_interval.py']))))\n"
    )
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "''"


def test_a_source_is_restored_after_an_error(tmp_path: Path) -> None:
    """Oracle: the file before."""
    file = tmp_path / "a.py"
    file.write_text("right")

    def interrupted() -> None:
        with rewritten(file, "wrong"):
            assert file.read_text() == "wrong"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert file.read_text() == "right"


SOURCE = '''
def f(x: Annotated[int, Within(1, 9)], y: float) -> float:
    """Return 2 x + y."""
    if x > 3:
        raise ValueError(f"x must be at most {1 + 2}")
    return 2 * x
'''


def test_changes_are_those_of_bodies_and_survive_edits_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: by hand; 3 and 2 up and down, > and * replaced, the condition negated."""
    monkeypatch.chdir(tmp_path)
    file = Path("f.py")
    file.write_text(SOURCE)
    found = {text for _, text in changes(file)}
    kinds = sorted({text.split(": ")[1].split(" at")[0] for text in found})
    assert kinds == [
        "AddNot",
        "NumberReplacer",
        *(f"ReplaceBinaryOperator_Mul_{to}" for to in ("Add", "Div", "Sub")),
        *(f"ReplaceComparisonOperator_Gt_{to}" for to in ("Eq", "GtE", "Lt", "LtE", "NotEq")),
    ]
    assert len(found) == len(kinds) + 3
    some = [text for _, text in changes(file, 0.5)]
    assert 0 < len(some) < len(found)
    file.write_text("A = 1 + 2\n" + SOURCE)
    assert [text for _, text in changes(file, 0.5)] == some


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
