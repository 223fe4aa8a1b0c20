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
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from book_tools.failures import BookError, explained
from book_tools.refresh import chosen
from reference_impl.files import ROOT

#: torch's own kernels, oneDNN's and MKL's are capped apart from each other.
CAPS: dict[str, dict[str, str]] = {
    "uncapped": {},
    "AVX2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_CBWR": "AVX2",
    },
    "SSE4.1": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_CBWR": "COMPATIBLE",
    },
}
THREADS = (1, 2)

COMPUTES = [
    *("quantization", "distillation", "pruning", "merging"),
    *("measuring", "models", "compress", "training", "exercises"),
]
"""The folders of tests whose numbers could depend on the processor."""

_NAMES = {name for settings in CAPS.values() for name in settings}
_CAPABILITY = "import torch; print(torch.backends.cpu.get_cpu_capability())"


@dataclass(frozen=True)
class Outcome:
    """What the tests did under one setting; ``failures`` are the names of those that failed."""

    passed: int
    failures: tuple[str, ...]
    seconds: float


def environment(threads: int, cap: str) -> dict[str, str]:
    """Return the variables of one setting; without a cap none of the caps' variables is set."""
    kept = {name: value for name, value in os.environ.items() if name not in _NAMES}
    return kept | CAPS[cap] | {"REFERENCE_IMPL_THREADS": str(threads)}


def capability(cap: str) -> str:
    """Return the instruction set that torch reports under a cap."""
    done = subprocess.run(
        [sys.executable, "-c", _CAPABILITY],
        env=environment(1, cap),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def read_report(report: Path, seconds: float) -> Outcome:
    """Return the outcome that pytest wrote as JUnit XML.

    Raises:
        BookError: if it reports no test; nothing would have been shown.
    """
    cases = list(ET.parse(report).iter("testcase")) if report.is_file() else []
    if not cases:
        raise BookError("pytest ran no cell and no test; run `pytest` to see why")
    failures = tuple(
        f"{case.get('classname')}, {case.get('name')}"
        for case in cases
        if any(node.tag in ("failure", "error") for node in case)
    )
    return Outcome(len(cases) - len(failures), failures, seconds)


def run(paths: Sequence[Path], variables: Mapping[str, str]) -> Outcome:
    """Run notebooks and tests in an environment; what does not finish counts as failed."""
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}"]
        command += ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
        began = time.perf_counter()
        subprocess.run(
            [*command, *map(str, paths)],
            cwd=ROOT,
            env=variables,
            stdout=subprocess.DEVNULL,
            check=False,
        )
        return read_report(report, time.perf_counter() - began)


def portability(paths: Sequence[Path]) -> str:
    """Run every setting and print a table; return a closing line.

    Raises:
        BookError: if a cell or a test failed under any setting.
    """
    print(f"{'threads':>7}  {'cap':<8}  {'torch uses':<10}  passed  failed  seconds", flush=True)
    used = {cap: capability(cap) for cap in CAPS}
    failed: list[str] = []
    for cap, threads in product(CAPS, THREADS):
        outcome = run(paths, environment(threads, cap))
        setting = f"{threads:>7}  {cap:<8}  {used[cap]:<10}"
        counts = f"{outcome.passed:>6}  {len(outcome.failures):>6}  {outcome.seconds:>7.1f}"
        print(f"{setting}  {counts}", flush=True)
        for name in outcome.failures:
            print(f"         {name}", flush=True)
            failed.append(f"{name} with {threads} threads, {cap}")
    if failed:
        raise BookError(f"{len(failed)} failed, the first {failed[0]}")
    return f"Outputs and tests hold under all {len(CAPS) * len(THREADS)} settings."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m book_tools.portability", description=__doc__)
    parser.add_argument("--notebooks", nargs="+", default=[], help="these alone")
    parser.add_argument("--tests", nargs="+", type=Path, default=[], help="these alone")
    options = parser.parse_args(arguments)

    def paths() -> list[Path]:
        alone = options.notebooks or options.tests
        notebooks = chosen(options.notebooks) if options.notebooks or not alone else []
        return [*notebooks, *(options.tests if alone else (ROOT / "tests" / d for d in COMPUTES))]

    return explained(lambda: portability(paths()), "make portability")


if __name__ == "__main__":
    sys.exit(main())
