"""pytest collects the chapters: each code cell is a test, its stored output the expectation.

It takes nbval's options and marks, in the place of nbval's own plugin. What nbval lets pass fails
here: a cell never executed or out of order, stderr, a missing exception, an output of an unknown
kind, figures, and an ignored cell without a reason.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import indent
from typing import Any, NoReturn

import pytest
from jupyter_core.utils import run_sync
from nbformat.v4 import new_code_cell, new_notebook

from . import rules
from .kernels import KernelError, Runner
from .outputs import STDERR, outputs_difference, shown_outputs

#: How many cells of a kind there may be, over all collected notebooks.
_BUDGETS: dict[str, Callable[[rules.Cell], bool]] = {
    "notebook_ignored_cells": rules.unchecked,
    "notebook_tolerances": lambda cell: "tolerance" in cell["metadata"],
}
#: Options of nbval that would make a comparison mean something else.
_REFUSED = ("nbval_lax", "nbval_sanitize_with", "nbval_kernel_name", "nbdime")


class CellError(Exception):
    """Why a cell does not pass as a test; the message is all that the reader needs."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options of pyproject.toml."""
    parser.addini("notebook_dirs", "directories whose notebooks are tests", "args", ["chapters"])
    parser.addini("notebook_refresh", "what stores fresh outputs", default="execute the notebook")
    parser.addini("notebook_ignored_cells", "how many cells may go unchecked", "int", 0)
    parser.addini("notebook_tolerances", "how many cells may have a tolerance", "int", 0)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Collect notebooks in the place of nbval, so that ``--nbval`` means the same."""
    if not config.pluginmanager.has_plugin("nbval"):
        raise pytest.UsageError("notebooks need the plugin nbval: leave out -p no:nbval")
    for name in filter(config.getoption, _REFUSED):
        option = name.replace("_", "-")
        raise pytest.UsageError(f"--{option} has no meaning: every output is compared here")
    config.pluginmanager.unregister(name="nbval")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "NotebookFile | None":
    """Collect the notebooks below ``notebook_dirs``, those named, and with ``--nbval`` all."""
    config = parent.config
    if file_path.suffix != ".ipynb" or ".ipynb_checkpoints" in file_path.parts:
        return None
    roots = [config.rootpath / name for name in config.getini("notebook_dirs")]
    wanted = parent.session.isinitpath(file_path) or config.getoption("nbval")
    if wanted or any(file_path.is_relative_to(root) for root in roots):
        return NotebookFile.from_parent(parent, path=file_path)
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Hold the cells that go unchecked, or have a tolerance, against their budgets."""
    cells = [item for item in items if isinstance(item, NotebookCell)]
    for name, counts in _BUDGETS.items():
        counted = [item for item in cells if counts(item.cell)]
        budget = config.getini(name)
        for item in counted if len(counted) > budget else ():
            item.problem = item.problem or f"{name} is {budget}, but {len(counted)} cells count"


class NotebookFile(pytest.File):
    """A notebook, and the kernel in which its cells run one after another."""

    kernel: Any  # a Runner
    #: The cell after whose failure the rest of the notebook cannot be trusted.
    broken_by: str | None = None

    def collect(self) -> Iterator[pytest.Item]:
        """Yield a test for every code cell."""
        try:
            notebook = rules.read_notebook(self.path)
        except ValueError as error:
            raise self.CollectError(str(error)) from error
        repair = str(self.config.getini("notebook_refresh"))
        for number, cell in enumerate(rules.code_cells(notebook), start=1):
            item = NotebookCell.from_parent(self, name=f"cell {number}")
            item.cell, item.problem = cell, rules.cell_problem(cell, number, repair)
            yield item

    def setup(self) -> None:
        """Start the kernel of this environment, whatever kernel the notebook names."""
        seconds = float(self.config.getoption("nbval_cell_timeout"))
        startup = int(self.config.getoption("nbval_kernel_startup_timeout"))
        options = {"allow_errors": True, "startup_timeout": startup}
        notebook = new_notebook(cells=[new_code_cell()])  # the cell that runs
        self.kernel = Runner(notebook, self.path.parent, seconds, **options)
        try:
            run_sync(self.kernel.begin)()
        except (RuntimeError, OSError) as error:
            pytest.fail(f"{self.path.name}: the kernel did not start: {error}", pytrace=False)

    def teardown(self) -> None:
        """End the kernel."""
        run_sync(self.kernel.end)()


class NotebookCell(pytest.Item):
    """A code cell: it passes when its fresh outputs agree with the stored ones."""

    cell: rules.Cell
    parent: NotebookFile
    #: Why the cell cannot be a test as it is stored.
    problem: str | None = None

    def runtest(self) -> None:
        """Execute the cell and compare."""
        if self.parent.broken_by and not self.parent.kernel.km:
            raise CellError(f"not run: follows from {self.parent.broken_by}")
        skipped = rules.skipped(self.cell)
        outputs = [] if skipped else self._execute()
        if self.problem:
            raise CellError(self.problem)
        if skipped:
            pytest.skip(self.cell["metadata"]["reason"])
        if any(output.get("name") == "stderr" for output in outputs):
            raise CellError(f"{STDERR}\n{indent(shown_outputs(outputs), '    ')}")
        if not rules.unchecked(self.cell):
            self._compare(outputs)

    def _execute(self) -> list[Any]:
        try:
            outputs: list[Any] = run_sync(self.parent.kernel.run)(
                new_code_cell(self.cell["source"])
            )
        except KernelError as failure:
            self._break(str(failure))
        error = next((out for out in outputs if out["output_type"] == "error"), None)
        expected = rules.raises(self.cell)
        if error and not expected:
            self._break("\n".join([f"{error['ename']}: {error['evalue']}", *error["traceback"]]))
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
        stored, tolerance = self.cell["outputs"], self.cell["metadata"].get("tolerance")
        if reason := outputs_difference(stored, outputs, tolerance):
            earlier = self.parent.broken_by
            after = f"\nmay follow from {earlier}, which failed" if earlier else ""
            shown, fresh = (indent(shown_outputs(each), "    ") for each in (stored, outputs))
            repair = f"if the new output is right: {self.config.getini('notebook_refresh')}"
            raise CellError(f"{reason}{after}\nstored:\n{shown}\ngot:\n{fresh}\n{repair}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *_: Any) -> str:
        """Return the message with the cell's code."""
        if not isinstance(excinfo.value, CellError):
            return str(super().repr_failure(excinfo))
        code = indent(self.cell["source"], "    ")
        return f"{self.path.name}, {self.name}: {excinfo.value}\ncode:\n{code}"

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return where pytest reports the failure."""
        return self.path, 0, f"{self.path.name}: {self.name}"
