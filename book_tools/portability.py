"""Run the notebooks and the unit tests as other machines would: ``make portability``.

Every combination of 1 and 2 threads with three instruction sets runs all notebooks against their
stored outputs, and the unit tests of what computes. The processor's own set is compared with AVX2
and with SSE4.1 alone.
"""

import argparse
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from book_tools.failures import BookError, explained
from book_tools.files import ROOT

_NAMES = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_CBWR")
#: torch's own kernels, oneDNN's and MKL's are capped apart from each other.
CAPS: dict[str, tuple[str, ...]] = {
    "uncapped": (),
    "AVX2": ("avx2", "AVX2", "AVX2"),
    "SSE4.1": ("default", "SSE41", "COMPATIBLE"),
}
THREADS = (1, 2)
#: What could depend on the processor.
COMPUTES = [
    *("quantization", "distillation", "pruning", "merging"),
    *("measuring", "models", "compress", "training", "exercises"),
]
_CAPABILITY = "import torch; print(torch.backends.cpu.get_cpu_capability())"


def environment(threads: int, cap: str) -> dict[str, str]:
    """Return the variables of one setting; without a cap none of the caps' variables is set."""
    kept = {name: value for name, value in os.environ.items() if name not in _NAMES}
    caps = dict(zip(_NAMES, CAPS[cap], strict=False))
    return kept | caps | {"REFERENCE_IMPL_THREADS": str(threads)}


def run(paths: Sequence[str], variables: Mapping[str, str]) -> tuple[int, list[str]]:
    """Run notebooks and tests; return how many passed, and the names of those that failed."""
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}"]
        command += ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), *paths]
        subprocess.run(command, cwd=ROOT, env=variables, stdout=subprocess.DEVNULL, check=False)
        cases = list(ET.parse(report).iter("testcase")) if report.is_file() else []
    if not cases:
        raise BookError("pytest ran no cell and no test; run `pytest` to see why")
    failed = [case for case in cases if {"failure", "error"} & {node.tag for node in case}]
    names = [f"{case.get('classname')}, {case.get('name')}" for case in failed]
    return len(cases) - len(failed), names


def portability(paths: Sequence[str]) -> str:
    """Run every setting and print a table; return a closing line."""
    print(f"{'threads':>7}  {'cap':<8}  {'torch uses':<10}  passed  failed  seconds", flush=True)
    problems: list[str] = []
    for cap, threads in product(CAPS, THREADS):
        variables, began = environment(threads, cap), time.perf_counter()
        command = [sys.executable, "-c", _CAPABILITY]
        used = subprocess.run(command, env=variables, stdout=subprocess.PIPE, text=True, check=True)
        passed, failed = run(paths, variables)
        counts = f"{passed:>6}  {len(failed):>6}  {time.perf_counter() - began:>7.1f}"
        print(f"{threads:>7}  {cap:<8}  {used.stdout.strip():<10}  {counts}", flush=True)
        print("".join(f"         {name}\n" for name in failed), end="", flush=True)
        problems += [f"{name} with {threads} threads, {cap}" for name in failed]
    if problems:
        raise BookError(f"{len(problems)} failed, the first {problems[0]}")
    return f"Outputs and tests hold under all {len(CAPS) * len(THREADS)} settings."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m book_tools.portability", description=__doc__)
    everything = ["chapters", *(f"tests/{folder}" for folder in COMPUTES)]
    parser.add_argument("paths", nargs="*", default=everything, help="notebooks and tests")
    options = parser.parse_args(arguments)
    return explained(lambda: portability(options.paths), "make portability")


if __name__ == "__main__":
    sys.exit(main())
