"""Ways to run a network on this processor, by name: each gives a call that answers one batch.

All but torch are optional; what is not installed is left out of the record, by name.
"""

import sys
import time
import warnings
from collections.abc import Callable
from functools import cache, partial
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import torch
from torch import Tensor, nn

from reference_impl.compress import fold_batch_norms, to_onnx

Call = Callable[[], Any]


def session(content: bytes, threads: int = 1, **options: Any) -> Any:
    """Return ONNX Runtime's session of a file, on the processor; options are those of a session.

    Its threads do not spin while they wait. If they did, those of the sessions whose turn is over
    would keep a core busy, and one call in twenty would take three times as long as the median.
    """
    given = onnxruntime.SessionOptions()
    given.add_session_config_entry("session.intra_op.allow_spinning", "0")
    wanted = {"intra_op_num_threads": threads, "log_severity_level": 3, **options}
    for name, value in wanted.items():
        setattr(given, name, value)
    return onnxruntime.InferenceSession(content, given, providers=["CPUExecutionProvider"])


def onnx_runtime(network: nn.Module, x: Tensor, threads: int) -> Call:
    """Return a call in ONNX Runtime."""
    return partial(session(to_onnx(network, x[:1]), threads).run, None, {"x": x.numpy()})


def openvino(network: nn.Module, x: Tensor, threads: int) -> Call:
    """Return a call in OpenVINO, in float32 where it is not in integers, for this batch."""
    import openvino as ov  # type: ignore[import-not-found] # noqa: PLC0415

    core = ov.Core()
    model = core.read_model(to_onnx(network, x[:1]))
    model.reshape(list(x.shape))
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16, which rounds to 8 binary digits
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    return partial(request.infer, {0: x.numpy()}, share_inputs=True, share_outputs=True)


kept: list[Any] = []  #: what must live as long as its calls


def executorch(network: nn.Module, x: Tensor, _: int) -> Call:
    """Return a call in ExecuTorch, by XNNPACK's kernels, in float32, with its one thread."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import (  # type: ignore[import-not-found] # noqa: PLC0415
        XnnpackPartitioner,
    )
    from executorch.exir import (  # type: ignore[import-not-found] # noqa: PLC0415
        to_edge_transform_and_lower,
    )
    from executorch.runtime import Runtime as Runner  # type: ignore[import-not-found] # noqa: PLC0415

    plain = nn.Sequential(*fold_batch_norms(network).children())  # without checks of arguments
    exported = torch.export.export(plain, (x,))
    lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
    buffer = lowered.to_executorch().buffer
    program = Runner.get().load_program(buffer)
    method = program.load_method("forward")
    kept.append((buffer, program, method))  # the runtime does not: it crashes without
    return partial(method.execute, [x])


def eager(network: nn.Module, x: Tensor, threads: int) -> Call:
    """Return a call of the network in torch, channels last."""
    return _in_torch(network.to(memory_format=torch.channels_last), x, threads)


def compiled(network: nn.Module, x: Tensor, threads: int) -> Call:
    """Return a call of what torch.compile makes of the network, BatchNorm folded."""
    plain = nn.Sequential(*fold_batch_norms(network).children())
    return _in_torch(torch.compile(plain), x, threads)


def _in_torch(run: Callable[[Tensor], Tensor], x: Tensor, threads: int) -> Call:
    def call() -> Tensor:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            return run(x)

    return call


class Runtime(NamedTuple):
    """A way to run networks."""

    package: str
    prepare: Callable[[nn.Module, Tensor, int], Call]
    quantized: bool = False  #: whether it runs quantized files
    threads: tuple[int, ...] = (1, 2)


RUNTIMES = {
    "ONNX Runtime": Runtime("onnxruntime", onnx_runtime, quantized=True),
    "OpenVINO": Runtime("openvino", openvino, quantized=True),
    "ExecuTorch": Runtime("executorch", executorch, threads=(1,)),
    "torch.compile": Runtime("torch", compiled, threads=(1,)),
    "torch": Runtime("torch", eager),
}


@cache
def installed(name: str) -> bool:
    """Return whether a runtime is here; say once if it is not."""
    package = RUNTIMES[name].package
    if find_spec(package) is None:
        print(f"deployment: {name} is left out: pip install {package}", file=sys.stderr)
        return False
    return True


def percentiles(
    calls: dict[str, Call], clock: Callable[[], float] = time.process_time, rounds: int = 15
) -> dict[str, dict[str, float]]:
    """Return name → p50 and p95 of single calls, in microseconds, warm, calls taking turns.

    They are those of the round with the least median: what else runs can only slow a call down.
    The usual clock counts the time in which this process has a processor. With one thread that is
    the time that passes on an idle machine; with two use ``time.perf_counter``.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what compilers say
        for call in calls.values():
            for _ in range(10):
                call()
    found: dict[str, list[Any]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times: list[float] = []
            began = last = clock()
            while len(times) < 20 or (last - began < 0.02 and len(times) < 1000):
                call()
                now = clock()
                times.append(now - last)
                last = now
            found[name].append(np.percentile(times, [50, 95]) * 1e6)
    quietest = {name: min(several, key=lambda ends: ends[0]) for name, several in found.items()}
    return {
        name: {"p50": round(float(ends[0]), 2), "p95": round(float(ends[1]), 2)}
        for name, ends in quietest.items()
    }
