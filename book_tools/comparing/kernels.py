"""One cell run in a kernel of nbval: every output, no waiting for late ones, no false time-out."""

import os
import time
from collections.abc import Callable
from queue import Empty
from typing import Any
from unittest.mock import patch

from nbval.kernel import CURRENT_ENV_KERNEL_NAME, RunningKernel

#: After an interrupt: how long a busy machine may take to deliver the traceback.
_GRACE = 60.0
_POLL = 1.0
#: Outputs that change after the fact cannot be stored; nothing of the book needs them.
_MOVING = ("update_display_data", "clear_output")
#: What is kept of an output of each kind.
_FIELDS = {
    "stream": ("name", "text"),
    "error": ("ename", "evalue", "traceback"),
    "display_data": ("data",),
    "execute_result": ("data",),
}
#: Set by pytest or by the reader's shell; each changes what a kernel prints or draws.
_FOREIGN = ("PYTEST_CURRENT_TEST", "MPLBACKEND", "PYTHONWARNINGS")
_POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class KernelError(Exception):
    """The kernel died, or a cell took longer than it may."""


def start_kernel(directory: str, startup_timeout: float) -> Any:
    """Start a kernel of the running interpreter in a notebook's directory, as Jupyter would.

    The libraries below torch get the number of threads that ``notebook.begin`` gives to torch.
    """
    with patch.dict(os.environ):
        for name in _FOREIGN:
            os.environ.pop(name, None)
        os.environ |= dict.fromkeys(_POOLS, os.environ.get("REFERENCE_IMPL_THREADS", "1"))
        return RunningKernel(
            CURRENT_ENV_KERNEL_NAME, cwd=directory, startup_timeout=startup_timeout
        )


def _record(message: dict[str, Any]) -> dict[str, Any] | None:
    """Return the output that a kernel's message carries, or None for any other message."""
    kind, content = message["msg_type"], message["content"]
    if kind in _MOVING:
        raise KernelError(f"the cell sent {kind}: outputs must be static")
    if kind not in _FIELDS:
        return None
    return {"output_type": kind} | {name: content[name] for name in _FIELDS[kind]}


def _until_idle(
    kernel: Any, request: str, seconds: float, receive: Callable[[dict[str, Any]], None]
) -> bool:
    """Hand on a request's messages until the kernel is idle; return False when time is up."""
    end = time.monotonic() + seconds
    while True:
        try:
            message = kernel.get_message("iopub", timeout=_POLL)
        except Empty:
            if not kernel.is_alive():
                raise KernelError("the kernel died (out of memory?)") from None
            if time.monotonic() > end:
                return False
            continue
        if message["parent_header"].get("msg_id") != request:
            continue
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            return True
        receive(message)
        if time.monotonic() > end:
            return False


def run_cell(kernel: Any, source: str, timeout: float) -> list[dict[str, Any]]:
    """Execute a cell in nbval's ``RunningKernel``; return its outputs in the order they came in.

    Raises:
        KernelError: after ``timeout`` seconds, if the kernel dies, or if an output changes another.
    """
    outputs: list[dict[str, Any]] = []

    def receive(message: dict[str, Any]) -> None:
        if output := _record(message):
            outputs.append(output)

    # nbval keeps no history, without which IPython does not see the semicolon that ends a cell
    request = kernel.kc.execute(source, store_history=True, allow_stdin=False, stop_on_error=False)
    if _until_idle(kernel, request, timeout, receive):
        kernel.await_reply(request, timeout=_GRACE)
        return outputs
    kernel.interrupt()
    if not _until_idle(kernel, request, _GRACE, lambda _: None):
        kernel.stop()
    raise KernelError(f"the cell took longer than {timeout:g} s (--nbval-cell-timeout)")
