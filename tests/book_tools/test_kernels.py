"""Running a cell, on a kernel whose messages are written down."""

import os
from queue import Empty
from typing import Any

import pytest

from book_tools.comparing import kernels
from book_tools.comparing.kernels import KernelError, run_cell


def message(kind: str, request: str = "mine", **content: Any) -> dict[str, Any]:
    return {"msg_type": kind, "parent_header": {"msg_id": request}, "content": content}


IDLE = message("status", execution_state="idle")
BUSY = message("status", execution_state="busy")


class ScriptedKernel:
    """A kernel that sends a list of messages; ``None`` stands for a second of silence."""

    def __init__(self, *messages: dict[str, Any] | None, alive: bool = True) -> None:
        self.messages = list(messages)
        self.alive = alive
        self.calls: list[str] = []
        self.kc = self

    def execute(self, source: str, **options: Any) -> str:
        assert options["store_history"]
        self.calls.append(source)
        return "mine"

    def get_message(self, stream: str, timeout: float) -> dict[str, Any]:
        assert (stream, timeout) == ("iopub", kernels._POLL)
        found = self.messages.pop(0) if self.messages else None
        if found is None:
            raise Empty
        return found

    def is_alive(self) -> bool:
        return self.alive

    def await_reply(self, request: str, timeout: float) -> None:
        assert timeout > 0
        self.calls.append(f"reply of {request}")

    def interrupt(self) -> None:
        self.calls.append("interrupt")

    def stop(self) -> None:
        self.calls.append("stop")


def test_outputs_come_in_order_and_of_this_request_only() -> None:
    """Oracle: the list as scripted, with silence, status and a stranger's output between."""
    data = {"data": {"text/plain": "b"}, "metadata": {}}
    kernel = ScriptedKernel(
        message("status", "other", execution_state="idle"),
        BUSY,
        message("execute_input", code="x"),
        message("stream", name="stdout", text="a"),
        message("stream", "other", name="stdout", text="not mine"),
        None,
        message("display_data", **data),
        message("error", ename="E", evalue="v", traceback=[]),
        IDLE,
        message("stream", name="stdout", text="never read"),
    )
    kinds = [output["output_type"] for output in run_cell(kernel, "code", 60)]
    assert kinds == ["stream", "display_data", "error"]
    assert kernel.calls == ["code", "reply of mine"]


@pytest.mark.parametrize(
    ("kernel", "seconds", "told", "calls"),
    [
        (ScriptedKernel(BUSY, alive=False), 1e9, "died", []),
        (ScriptedKernel(None, IDLE), -1, "longer than -1 s", ["interrupt"]),
        (ScriptedKernel(), -1, "longer than", ["interrupt", "stop"]),
        (ScriptedKernel(message("update_display_data"), IDLE), 60, "update_display_data", []),
        (ScriptedKernel(message("clear_output"), IDLE), 60, "clear_output", []),
    ],
    ids=["dead at the next silence", "ends when interrupted", "ends never", "update", "clear"],
)
def test_a_cell_that_cannot_end_well_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
    kernel: ScriptedKernel,
    seconds: float,
    told: str,
    calls: list[str],
) -> None:
    """Oracle: the error, and the calls that the kernel gets."""
    monkeypatch.setattr(kernels, "_GRACE", -1.0)
    with pytest.raises(KernelError, match=told):
        run_cell(kernel, "code", seconds)
    assert kernel.calls == ["code", *calls]


def test_a_stream_without_end_does_not_outrun_the_time() -> None:
    """Oracle: a kernel that is never silent."""

    class Chatting(ScriptedKernel):
        def get_message(self, stream: str, timeout: float) -> dict[str, Any]:
            if "interrupt" not in self.calls:
                self.messages = [message("stream", name="stdout", text="x"), IDLE]
            return super().get_message(stream, timeout)

    with pytest.raises(KernelError, match="longer than"):
        run_cell(Chatting(), "code", 0.01)


def test_a_kernel_starts_without_what_pytest_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the variables at the moment of the start, and after it."""
    seen: dict[str, str] = {}
    monkeypatch.setattr(kernels, "RunningKernel", lambda *_, **__: seen.update(os.environ))
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    monkeypatch.setenv("REFERENCE_IMPL_THREADS", "2")
    before = dict(os.environ)
    kernels.start_kernel(".", 60)
    assert not {"MPLBACKEND", "PYTEST_CURRENT_TEST"} & seen.keys()
    assert (seen["OMP_NUM_THREADS"], seen["MKL_NUM_THREADS"]) == ("2", "2")
    assert dict(os.environ) == before
