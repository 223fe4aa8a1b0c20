"""The portability matrix, on a notebook that prints what it sees of its setting."""

import os
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from book_tools import portability
from book_tools.failures import BookError

SOURCE = """import os
names = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_CBWR", "REFERENCE_IMPL_THREADS")
print([os.environ.get(name) for name in names], os.environ["OMP_NUM_THREADS"])"""


def write(path: Path, *texts: str) -> Path:
    notebook = new_notebook()
    for i, text in enumerate(texts):
        output = new_output("stream", name="stdout", text=text)
        cell = new_code_cell(SOURCE, execution_count=i + 1, outputs=[output], id=f"c{i}")
        notebook.cells.append(cell)
    nbformat.write(notebook, path)
    return path


def test_a_setting_reaches_the_kernel(tmp_path: Path) -> None:
    """Oracle: the variables as the notebook prints them, and one wrong letter."""
    seen = "['default', 'SSE41', 'COMPATIBLE', '2'] 2"
    notebook = write(tmp_path / "a.ipynb", seen, f"{seen}!")
    outcome = portability.run([notebook], portability.environment(2, "SSE4.1"))
    assert outcome.passed == 1
    assert [name[-6:] for name in outcome.failures] == ["cell 2"]


def test_without_a_cap_no_cap_of_the_caller_remains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the caller's own variable."""
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    assert "ATEN_CPU_CAPABILITY" not in portability.environment(1, "uncapped")
    assert os.environ["ATEN_CPU_CAPABILITY"] == "default"


def test_a_failure_under_any_setting_fails_the_matrix(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Oracle: one failure at 2 threads with AVX2, counted by hand."""
    fails = portability.environment(2, "AVX2")

    def run(_: object, variables: object) -> portability.Outcome:
        return portability.Outcome(3, ("02, Cell 4",) if variables == fails else (), 1.0)

    monkeypatch.setattr(portability, "run", run)
    monkeypatch.setattr(portability, "capability", lambda cap: f"<{cap}>")
    with pytest.raises(BookError, match="1 failed, the first 02, Cell 4 with 2 threads"):
        portability.portability([])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["2", "AVX2", "<AVX2>", "3", "1", "1.0"] in rows
    assert sum("0" in row for row in rows) == 5
    fails = {}
    assert "all 6 settings" in portability.portability([])


def test_a_report_without_tests_is_an_error(tmp_path: Path) -> None:
    """Oracle: an empty report, and none."""
    report = tmp_path / "report.xml"
    with pytest.raises(BookError, match="ran no cell and no test"):
        portability.read_report(report, 1.0)
    report.write_text("<testsuites><testsuite /></testsuites>", encoding="utf-8")
    with pytest.raises(BookError, match="ran no cell and no test"):
        portability.read_report(report, 1.0)


def test_the_folders_of_unit_tests_exist() -> None:
    """Oracle: the file system."""
    for folder in portability.COMPUTES:
        assert list((portability.ROOT / "tests" / folder).glob("test_*.py"))
