"""nbclient in a kernel of the running interpreter, whose outputs stay as they were sent."""

import os
import subprocess
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

#: After an interrupt: how long a busy machine may take to answer.
_GRACE = 60
#: Outputs that change after the fact cannot be stored; nothing of the book needs them.
_MOVING = ("update_display_data", "clear_output")
#: Set by pytest or by the reader's shell; each changes what a kernel prints or draws.
_FOREIGN = ("PYTEST_CURRENT_TEST", "MPLBACKEND", "PYTHONWARNINGS")
_POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class KernelError(RuntimeError):
    """The kernel died, a cell took longer than it may, or an output changes another."""


def environment() -> dict[str, str]:
    """Return a kernel's variables; what torch calls gets as many threads as torch."""
    kept = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    return kept | dict.fromkeys(_POOLS, os.environ.get("REFERENCE_IMPL_THREADS", "1"))


class Runner(NotebookClient):
    """Runs the cells of a notebook in the notebook's folder, each for so many seconds at most."""

    km: Any  # None when there is no kernel
    kc: Any

    def __init__(  # noqa: D107 — the class says it
        self, notebook: NotebookNode, folder: Path, seconds: float, **options: Any
    ) -> None:
        super().__init__(
            notebook,
            shutdown_kernel="immediate",  # nothing is left to save; a graceful end takes seconds
            timeout_func=lambda _: seconds,
            iopub_timeout=_GRACE,
            raise_on_iopub_timeout=True,
            resources={"metadata": {"path": str(folder)}},
            record_timing=False,
            store_widget_state=False,
            **options,
        )
        self.seconds = seconds

    async def begin(self) -> None:
        """Start the kernel, without nbclient's handlers of signals, which end it and go on."""
        specs = KernelSpecManager(kernel_dirs=[])  # holds the running interpreter's kernel only
        self.km = AsyncKernelManager(kernel_spec_manager=specs, transport_encryption="auto")
        await self.async_start_new_kernel(env=environment(), stderr=subprocess.DEVNULL)
        await self.async_start_new_kernel_client()

    async def end(self) -> None:
        """End the kernel, if there is one."""
        if self.km:
            await self._async_cleanup_kernel()

    def process_message(self, msg: dict[str, Any], *place: Any) -> NotebookNode | None:
        """Take a message of a cell."""
        if msg["msg_type"] in _MOVING:
            raise KernelError(f"the cell sent {msg['msg_type']}: outputs must be static")
        return super().process_message(msg, *place)

    async def run(self, cell: NotebookNode, index: int = 0) -> list[NotebookNode]:
        """Execute the cell at this place of the notebook; return its outputs as they came in.

        Raises:
            KernelError: if time is up, if the kernel dies, or if an output changes another.
            CellExecutionError: if the cell raises what it may not.
        """
        try:
            await self.async_execute_cell(cell, index)
        except DeadKernelError:
            await self.end()
            raise KernelError("the kernel died (out of memory?)") from None
        except CellTimeoutError:
            try:
                await self.km.interrupt_kernel()
                await self.kc.wait_for_ready(timeout=_GRACE)
            except RuntimeError:
                await self.end()
            raise KernelError(f"the cell took longer than {self.seconds:g} s") from None
        return list(cell.get("outputs", []))
