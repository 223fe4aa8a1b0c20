"""pytest collects the chapters: each code cell is a test, its stored output the expectation.

Built on nbval's collector and kernel. What nbval lets pass fails here: a cell never executed or
out of order, stderr, a missing exception, an output of an unknown kind, figures, and an ignored
cell without a reason. ``pytest chapters/02_minmax.ipynb`` runs one chapter.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from nbval.plugin import IPyNbCell, IPyNbFile

from book_tools.comparing.kernels import KernelError, run_cell, start_kernel
from book_tools.comparing.outputs import STDERR, coalesce, outputs_difference
from book_tools.comparing.rules import (
    REPAIR,
    Cell,
    ignoring_problem,
    indented,
    raises,
    shown_outputs,
    structure_problems,
)

_CHECKPOINTS = ".ipynb_checkpoints"


class CellError(Exception):
    """Why a cell does not pass as a test; the message is all that the reader needs."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options of pyproject.toml."""
    parser.addini("notebook_dirs", "directories whose notebooks are tests", "args", ["chapters"])
    parser.addini("notebook_ignored_cells", "how many cells may go unchecked", default="0")
    parser.addini("notebook_cell_timeout", "seconds that a cell may take", default="120")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "NotebookFile | None":
    """Collect the notebooks below ``notebook_dirs`` and those named on the command line."""
    if file_path.suffix != ".ipynb" or _CHECKPOINTS in file_path.parts:
        return None
    roots = [parent.config.rootpath / name for name in parent.config.getini("notebook_dirs")]
    named = parent.session.isinitpath(file_path)
    if not named and not any(file_path.is_relative_to(root) for root in roots):
        return None
    return NotebookFile.from_parent(parent, path=file_path)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Count the cells that go unchecked, over all collected notebooks, against the budget."""
    ignored = [item for item in items if isinstance(item, NotebookCell) and item.unchecked]
    budget = int(config.getini("notebook_ignored_cells"))
    for item in ignored:
        item.problem = ignoring_problem(item.cell, len(ignored), budget)


class NotebookFile(IPyNbFile):
    """A notebook, and the kernel in which its cells run one after another."""

    nb: Any
    kernel: Any
    #: The cell after whose failure the rest of the notebook cannot be trusted.
    broken_by: str | None = None

    def collect(self) -> Iterator[pytest.Item]:
        """Yield a test for every code cell, or one that tells why they cannot be tests."""
        cells = list(super().collect())  # type: ignore[no-untyped-call]
        if problems := structure_problems(self.nb):
            yield NotebookStructure.from_parent(self, name="structure", problems=problems)
            return
        for cell in cells:
            yield NotebookCell.from_parent(
                self, name=cell.name, cell_num=cell.cell_num, cell=cell.cell, options=cell.options
            )

    def setup(self) -> None:
        """Start the kernel of this environment, whatever kernel the notebook names."""
        if structure_problems(self.nb):
            return
        timeout = float(self.config.getoption("nbval_kernel_startup_timeout"))
        self.kernel = start_kernel(str(self.path.parent), timeout)


class NotebookStructure(pytest.Item):
    """A test that fails: the notebook was not stored as it must be."""

    def __init__(self, *, problems: list[str], **kwargs: Any) -> None:
        """Keep the sentences to report."""
        super().__init__(**kwargs)
        self.problems = problems

    def runtest(self) -> None:
        """Fail.

        Raises:
            CellError: always.
        """
        raise CellError("\n".join([*self.problems, REPAIR]))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *_: Any) -> str:
        """Return the message without a traceback of the plugin."""
        return str(excinfo.value)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return where pytest reports the failure."""
        return self.path, 0, f"{self.path.name}: structure"


class NotebookCell(IPyNbCell):
    """A code cell: it passes when its fresh outputs agree with the stored ones."""

    cell: Cell
    parent: NotebookFile
    #: Why the cell may not go unchecked, if it wants to.
    problem: str | None = None

    @property
    def unchecked(self) -> bool:
        """Whether a marker takes the cell out of the comparison."""
        return bool(self.options["skip"]) or not self.options["check"]

    def setup(self) -> None:
        """Do nothing: nbval marks what follows a time-out as expected to fail."""

    def runtest(self) -> None:
        """Execute the cell and compare.

        Raises:
            CellError: if anything differs from what is stored.
        """
        if self.parent.broken_by and not self.parent.kernel.is_alive():
            raise CellError(f"not run: follows from {self.parent.broken_by}")
        if self.problem:
            self._break(self.problem)
        if self.options["skip"]:
            pytest.skip(self.cell["metadata"]["nbval-reason"])
        outputs = self._execute()
        if any(output.get("name") == "stderr" for output in outputs):
            raise CellError(f"{STDERR}\n{indented(shown_outputs(coalesce(outputs)))}")
        if self.options["check"]:
            self._compare(outputs)

    def _execute(self) -> list[dict[str, Any]]:
        timeout = float(self.config.getini("notebook_cell_timeout"))
        try:
            outputs = run_cell(self.parent.kernel, self.cell["source"], timeout)
        except KernelError as failure:
            self._break(str(failure))
        error = next((out for out in outputs if out["output_type"] == "error"), None)
        expected = raises(self.cell)
        if error and not expected:
            text = f"{error['ename']}: {error['evalue']}\n" + "\n".join(error["traceback"])
            self._break(text)
        if expected and not error:
            raise CellError("the cell must raise the stored exception, but raised nothing")
        return outputs

    def _break(self, message: str) -> NoReturn:
        """Fail, and remember the first cell after which the notebook's state is unknown."""
        earlier = self.parent.broken_by
        self.parent.broken_by = earlier or self.name
        first_line = message.splitlines()[0]
        raise CellError(f"{first_line}\nfollows from {earlier}" if earlier else message)

    def _compare(self, outputs: list[dict[str, Any]]) -> None:
        reason = outputs_difference(self.cell["outputs"], outputs)
        if reason is None:
            return
        stored = indented(shown_outputs(coalesce(self.cell["outputs"])))
        fresh = indented(shown_outputs(coalesce(outputs)))
        earlier = self.parent.broken_by
        after = f"\nmay follow from {earlier}, which failed" if earlier else ""
        raise CellError(
            f"{reason}{after}\nstored:\n{stored}\ngot:\n{fresh}\n"
            "if the new output is right: make refresh"
        )

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *_: Any) -> str:
        """Return the message with the cell's code."""
        if not isinstance(excinfo.value, CellError):
            return str(super().repr_failure(excinfo))  # type: ignore[no-untyped-call]
        code = indented(self.cell["source"])
        return f"{self.path.name}, {self.name}: {excinfo.value}\ncode:\n{code}"

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return where pytest reports the failure."""
        return self.path, 0, f"{self.path.name}: {self.name}"
