"""Execute notebooks into Jupyter Book's cache, two at a time, in the environment's own kernel."""

import asyncio
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn, JupyterCacheAbstract
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from book_tools.comparing.failures import NotebookFailed

CELL_TIMEOUT = 120  # seconds, as in _config.yml
AT_A_TIME = 2

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Executed:
    """A notebook with fresh outputs, and the seconds that it took."""

    notebook: NotebookNode
    seconds: float


class _OwnKernel(AsyncKernelManager):
    """A manager that finds only the kernel of this very environment."""

    def __init__(self, **options: Any) -> None:
        folder = Path(sys.prefix) / "share" / "jupyter" / "kernels"
        specs = KernelSpecManager(kernel_dirs=[str(folder)])
        super().__init__(kernel_spec_manager=specs, transport_encryption="auto", **options)


def _complain(path: Path, index: int, cell: NotebookNode, what: str) -> NotebookFailed:
    source = "\n".join(f"    {line}" for line in cell.source.splitlines())
    return NotebookFailed(f"{path.name}, cell {index + 1}:\n{source}\n{what}")


def _require_quiet(path: Path, notebook: NotebookNode) -> None:
    """Require that no cell wrote to stderr: a warning is an error in this book."""
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stderr":
                raise _complain(path, index, cell, f"wrote to stderr:\n{output.text.strip()}")


async def execute(path: Path) -> Executed:
    """Run one notebook in its own folder with one torch thread.

    Raises:
        NotebookFailed: naming the notebook, the cell and the error.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        kernel_manager_class=_OwnKernel,
        kernel_name="python3",
        shutdown_kernel="immediate",  # nothing is left to save, and a graceful end takes seconds
        timeout=CELL_TIMEOUT,
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,  # the cache compares the metadata of cells
        store_widget_state=False,
    )
    last = 0

    def note(cell: NotebookNode, cell_index: int) -> None:  # noqa: ARG001 — nbclient's names
        nonlocal last
        last = cell_index

    client.on_cell_start = note
    began = time.perf_counter()
    try:
        await client.async_execute(env=os.environ | _ONE_THREAD)
    except CellExecutionError as error:
        what = f"raised {error.ename}: {error.evalue}"
        raise _complain(path, last, notebook.cells[last], what) from error
    except CellTimeoutError as error:
        what = f"ran longer than {CELL_TIMEOUT} s"
        raise _complain(path, last, notebook.cells[last], what) from error
    except DeadKernelError as error:
        raise _complain(path, last, notebook.cells[last], "ended the kernel") from error
    _require_quiet(path, notebook)
    return Executed(notebook, time.perf_counter() - began)


def _cached(cache: JupyterCacheAbstract, path: Path) -> bool:
    notebook = nbformat.read(path, as_version=4)
    try:
        cache.match_cache_notebook(notebook)
    except KeyError:
        return False
    return True


async def _run_all(cache: JupyterCacheAbstract, paths: Sequence[Path]) -> None:
    slots = asyncio.Semaphore(AT_A_TIME)

    async def run(path: Path) -> None:
        async with slots:
            print(f"  executing {path.stem} …", flush=True)
            done = await execute(path)
        bundle = CacheBundleIn(
            done.notebook, str(path), data={"execution_seconds": round(done.seconds, 2)}
        )
        cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
        cells = sum(cell.cell_type == "code" for cell in done.notebook.cells)
        print(f"  executed {path.stem}: {cells} cells in {done.seconds:.1f} s", flush=True)

    tasks = [asyncio.create_task(run(path)) for path in paths]
    try:
        await asyncio.gather(*tasks)
    finally:  # the others stop, and shut their kernels down, when one has failed
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def execute_into_cache(paths: Iterable[Path], cache_folder: Path) -> int:
    """Execute the notebooks that the cache does not hold; return how many these were.

    Raises:
        NotebookFailed: for the first notebook that fails; the others' kernels are shut down.
    """
    cache = get_cache(str(cache_folder))
    missing = [path for path in paths if not _cached(cache, path)]
    if missing:
        asyncio.run(_run_all(cache, missing))
    return len(missing)
