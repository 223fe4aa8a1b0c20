"""The list of mutants fits the sources; breaking, noticing and restoring work."""

from pathlib import Path

import pytest

from book_tools.mutants import ROOT, Mutant, applied, first_failure, read_mutants

MUTANTS = read_mutants()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_mutant_changes_its_source_into_other_python(mutant: Mutant) -> None:
    """Oracle: compile() accepts the broken source, and it differs."""
    source = (ROOT / mutant.file).read_text(encoding="utf-8")
    broken = mutant.broken(source)
    assert broken != source
    compile(broken, mutant.file, "exec")
    assert all((ROOT / path).exists() for path in (*mutant.tests, mutant.chapter))


def test_there_are_at_least_ten_mutants_of_the_rounding_formula() -> None:
    """Oracle: what the book promises of each formula's module."""
    names = [m.name for m in MUTANTS if m.file.endswith("quantization/min_max.py")]
    assert len(set(names)) >= 10


def test_a_mutant_that_fits_nowhere_is_refused() -> None:
    """Oracle: a formula that was rewritten since."""
    lost = Mutant("lost", "a.py", "x + y", "x - y", ("tests",), "chapters/a.ipynb")
    with pytest.raises(ValueError, match=r"'lost': .* it occurs 0 times"):
        lost.broken("x * y")
    with pytest.raises(ValueError, match="it occurs 2 times"):
        lost.broken("x + y; x + y")


def test_a_broken_formula_is_noticed_and_restored(tmp_path: Path) -> None:
    """Oracle: a project of one formula and one test, right and broken."""
    (tmp_path / "double.py").write_text("def double(x):\n    return 2 * x\n")
    (tmp_path / "test_double.py").write_text(
        "from double import double\n\n\ndef test_double():\n    assert double(3) == 6\n"
    )
    mutant = Mutant("triple", "double.py", "2 * x", "3 * x", ("test_double.py",), "none")
    assert first_failure(tmp_path, mutant.tests) == ""
    with applied(mutant, tmp_path):
        assert first_failure(tmp_path, mutant.tests) == "test_double"
    assert first_failure(tmp_path, mutant.tests) == ""
