"""Execute notebooks, two at a time, in the environment's own kernel."""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import indent

from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from book_tools.comparing import rules
from book_tools.comparing.kernels import KernelError, Runner
from book_tools.failures import BookError
from book_tools.notebooks import read

CELL_TIMEOUT = 400  # seconds; products of bytes are slow without an instruction for them
AT_A_TIME = 2


async def execute(path: Path) -> NotebookNode:
    """Run one notebook in its own folder with one torch thread; return it with fresh outputs."""
    notebook = read(path)
    runner = Runner(notebook, path.parent, CELL_TIMEOUT)
    place = f"{path.name}: the kernel did not start: "
    try:
        await runner.begin()
        for index, cell in enumerate(notebook.cells):
            name = rules.cell_name(notebook, cell)
            place = f"{path.name}, {name}:\n{indent(cell.source, '    ')}\n"
            for output in await runner.run(cell, index):
                if output.get("name") == "stderr":  # a warning is an error in this book
                    raise KernelError(f"wrote to stderr:\n{output.text.strip()}")
    except CellExecutionError as error:
        raise BookError(f"{place}raised {error.ename}: {error.evalue}") from error
    except RuntimeError as error:
        task = asyncio.current_task()
        if task and task.cancelling():  # nbclient takes an interrupt for a dead kernel
            raise asyncio.CancelledError from None
        raise BookError(f"{place}{error}") from error
    finally:
        await runner.end()
    return notebook


def execute_all(paths: Sequence[Path], use: Callable[[Path, NotebookNode], str]) -> None:
    """Execute the notebooks, two at a time; print what ``use`` makes of each."""
    failed: list[str] = []

    slots = asyncio.Semaphore(AT_A_TIME)

    async def one(path: Path) -> None:
        async with slots:
            print(f"  executing {path.stem} …", flush=True)
            began = time.perf_counter()
            try:
                outcome = use(path, await execute(path))
                print(f"  {path.stem}: {outcome}, {time.perf_counter() - began:.1f} s", flush=True)
            except BookError as error:
                print(error, file=sys.stderr, flush=True)
                failed.append(path.name)

    async def every() -> None:
        await asyncio.gather(*map(one, paths))

    asyncio.run(every())
    if failed:
        raise BookError(f"{', '.join(failed)} failed, see above")
