"""Execute notebooks, two at a time, in the environment's own kernel."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from nbformat import NotebookNode

from book_tools.comparing import rules
from book_tools.comparing.rules import code_cells, indented
from book_tools.failures import BookError, NotebookFailed

CELL_TIMEOUT = 120  # seconds
AT_A_TIME = 2

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class _OwnKernel(AsyncKernelManager):
    """A manager that finds only the kernel of this very environment."""

    def __init__(self, **options: Any) -> None:
        folder = Path(sys.prefix) / "share" / "jupyter" / "kernels"
        specs = KernelSpecManager(kernel_dirs=[str(folder)])
        super().__init__(kernel_spec_manager=specs, transport_encryption="auto", **options)


class _Client(NotebookClient):
    """nbclient without its handlers of signals, which end a kernel and go on."""

    @asynccontextmanager
    async def async_setup_kernel(self, **kwargs: Any) -> AsyncIterator[None]:
        self.km = self.create_kernel_manager()
        try:
            await self.async_start_new_kernel(**kwargs)
            await self.async_start_new_kernel_client()
            yield
        finally:
            await self._async_cleanup_kernel()


def read_notebook(path: Path) -> Any:
    """Return the notebook of a file."""
    try:
        return rules.read_notebook(path)
    except ValueError as error:
        raise NotebookFailed(f"{path.name}: {error}") from error


async def execute(path: Path) -> NotebookNode:
    """Run one notebook in its own folder with one torch thread; return it with fresh outputs."""
    notebook: NotebookNode = read_notebook(path)
    client = _Client(
        notebook,
        kernel_manager_class=_OwnKernel,
        kernel_name="python3",
        shutdown_kernel="immediate",  # nothing is left to save, and a graceful end takes seconds
        timeout=CELL_TIMEOUT,
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        store_widget_state=False,
    )
    begun: list[NotebookNode] = []
    client.on_cell_start = lambda cell, cell_index: begun.append(cell)  # noqa: ARG005 — its names

    def failure(number: int, cell: Any, what: str) -> NotebookFailed:
        return NotebookFailed(f"{path.name}, cell {number}:\n{indented(cell.source)}\n{what}")

    try:
        await client.async_execute(env=os.environ | _ONE_THREAD)
    except (CellExecutionError, CellTimeoutError, RuntimeError) as error:
        task = asyncio.current_task()
        if task and task.cancelling():  # nbclient takes an interrupt for a dead kernel
            raise asyncio.CancelledError from None
        what = "ended the kernel"
        if isinstance(error, CellExecutionError):
            what = f"raised {error.ename}: {error.evalue}"
        elif isinstance(error, CellTimeoutError):
            what = f"ran longer than {CELL_TIMEOUT} s"
        if not begun:
            raise NotebookFailed(f"{path.name}: the kernel did not start: {error}") from error
        number = sum(cell.cell_type == "code" for cell in begun)
        raise failure(number, begun[-1], what) from error
    for number, cell in enumerate(code_cells(notebook), start=1):
        for output in cell["outputs"]:
            if output.get("name") == "stderr":  # a warning is an error in this book
                raise failure(number, cell, f"wrote to stderr:\n{output.text.strip()}")
    return notebook


def execute_all(paths: Sequence[Path], use: Callable[[Path, NotebookNode], str]) -> None:
    """Execute the notebooks, two at a time; print what ``use`` makes of each."""
    failed: list[str] = []

    async def one(path: Path, slots: asyncio.Semaphore) -> None:
        async with slots:
            print(f"  executing {path.stem} …", flush=True)
            began = time.perf_counter()
            try:
                outcome = use(path, await execute(path))
                print(f"  {path.stem}: {outcome}, {time.perf_counter() - began:.1f} s", flush=True)
            except NotebookFailed as error:
                print(error, file=sys.stderr, flush=True)
                failed.append(path.name)

    async def all_of_them() -> None:
        slots = asyncio.Semaphore(AT_A_TIME)
        async with asyncio.TaskGroup() as group:
            for path in paths:
                group.create_task(one(path, slots))

    try:
        asyncio.run(all_of_them())
    except* OSError as errors:
        raise errors.exceptions[0] from None
    if failed:
        raise BookError(f"{', '.join(failed)} failed, see above")
