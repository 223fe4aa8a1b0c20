"""Where runs are made: in this process, in processes beside it, or on a Dask cluster."""

import hashlib
import logging
import os
import platform
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from importlib.metadata import version
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import torch

from experiments.records import Found, place, plain
from reference_impl.data import Dataset, load_dataset
from reference_impl.files import ROOT
from reference_impl.measuring import device_name

MNIST = ROOT / "data" / "MNIST"  #: where MNIST is looked for, which is not shipped
#: what a result depends on, which each worker takes from its own checkout
PROJECT = {
    "sources": ("reference_impl/**/*.py", "experiments/*.py", "benchmarks/*.py"),
    "data": ("data/FashionMNIST/*", "data/checkpoints/*", "data/MNIST/*"),
}
TIMEOUT = 5  #: seconds in which a scheduler must answer, and name a worker
#: opens an executor, which is closed at the end of the block
Hire = Callable[[], AbstractContextManager[Executor]]
Made = tuple[Found, dict[str, str]]  #: results, and where they were measured
_one_at_a_time = Lock()  # torch's threads and its generator are those of the whole process


def work(project: Found, run: Any) -> Made:
    """Measure a run here, with one thread, if this is the project it is to be of."""
    if differs := _differences(fingerprint(), project):
        raise ValueError(f"the worker on {platform.node()} has other {differs}")
    with _one_at_a_time:
        torch.set_num_threads(1)
        dataset = fashion_mnist()
        began = time.perf_counter()
        results = plain(run.measured(dataset))
        seconds = round(time.perf_counter() - began, 1)
    if isinstance(place(run), str):  # a row; some say their seconds themselves
        results.setdefault("seconds", seconds)
    return results, machine(getattr(run, "packages", ()))


def _differences(theirs: Found, ours: Found) -> str:
    return " and ".join(part for part in PROJECT if theirs[part] != ours[part])


@cache
def fashion_mnist() -> Dataset:
    """Return the course's data set, read once a process."""
    return load_dataset()


@cache
def fingerprint() -> dict[str, str]:
    """Return how the SHA-256 of each part of `PROJECT` in this checkout begins."""
    found = {}
    for part, patterns in PROJECT.items():
        digest = hashlib.sha256()
        for file in sorted({file for pattern in patterns for file in ROOT.glob(pattern)}):
            if file.is_file():
                digest.update(file.relative_to(ROOT).as_posix().encode() + file.read_bytes())
        found[part] = digest.hexdigest()[:16]
    return found


def machine(packages: tuple[str, ...]) -> dict[str, str]:
    """Return this processor, its instruction sets, and the versions of packages and sources."""
    cpuinfo = Path("/proc/cpuinfo")  # Linux
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    wide = sorted(flag for flag in flags if flag.startswith(("avx512", "avx_vnni", "amx")))
    return {
        "device": device_name(),
        "instruction_sets": " ".join([torch.backends.cpu.get_cpu_capability(), *wide]),
        "python": platform.python_version(),
        "torch": torch.__version__,
        **{package: version(package) for package in packages},
        "sources": fingerprint()["sources"],
    }


class Here(Executor):
    """Makes each run when it is submitted, one after another, in this process."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Return what has been made."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 — any error is the run's, as elsewhere
            future.set_exception(error)
        return future


@contextmanager
def processes(n: int) -> Iterator[Executor]:
    """Start n processes on this machine; they end with the block, or with this process."""
    before = set(active_children())
    pool = ProcessPoolExecutor(n, get_context("spawn"), initializer=_end_with_parent)
    try:
        ctrl_c = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: only this process ends
        try:
            started = [pool.submit(os.getpid) for _ in range(n)]
        finally:
            signal.signal(signal.SIGINT, ctrl_c)
        if any(isinstance(future.exception(), BrokenExecutor) for future in started):
            raise OSError(f"{n} processes could not be started (out of memory?)")
        yield pool
    except BaseException:
        for process in set(active_children()) - before:
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    def wait(parent: Any) -> None:
        parent.join()
        os._exit(1)

    Thread(target=wait, args=[parent_process()], daemon=True).start()


@contextmanager
def cluster(address: str) -> Iterator[Executor]:
    """Connect to a Dask cluster, all of whose workers must have this project."""
    try:
        import distributed  # noqa: PLC0415 — an optional extra
    except ImportError:
        raise ValueError("--scheduler needs distributed: pip install distributed") from None
    for name in ("distributed", "distributed.client"):  # an error is one line, here
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = distributed.Client(address, timeout=TIMEOUT)
    except (OSError, ValueError) as error:
        raise ValueError(f"no scheduler answers at {address} ({error})") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=TIMEOUT)
        except TimeoutError:
            raise ValueError(f"{address} has no worker: dask worker {address}") from None
        for worker, found in client.run(fingerprint, on_error="return").items():
            if isinstance(found, Exception):
                raise ValueError(f"worker {worker} does not have the project ({found})")
            if differs := _differences(found, fingerprint()):
                raise ValueError(f"worker {worker} has other {differs}: check out the same commit")
        yield client.get_executor()
