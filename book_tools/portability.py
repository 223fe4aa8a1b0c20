"""Run the notebooks and the unit tests as other machines would: ``make portability``.

Every combination of 1 and 2 threads with three instruction sets runs all notebooks against their
stored outputs, and the unit tests of what computes. The processor's own set is compared with AVX2
and with SSE4.1 alone.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import product

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


def run(paths: Sequence[str], variables: Mapping[str, str]) -> tuple[bool, list[str]]:
    """Run notebooks and tests; return whether all passed, and pytest's lines that say so."""
    command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "--no-header", "-rfE"]
    workers = (os.cpu_count() or 1) // int(variables["REFERENCE_IMPL_THREADS"])
    command += ["-n", str(max(1, workers)), "--nbval-cell-timeout=600"]  # two threads may be slow
    command += ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), *paths]
    done = subprocess.run(
        command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True, check=False
    )
    *lines, last = done.stdout.splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return done.returncode == 0, [last, *failed]


def portability(paths: Sequence[str]) -> str:
    """Run every setting, print what failed under it, and return a closing line."""
    failed = []
    for cap, threads in product(CAPS, THREADS):
        variables, setting = environment(threads, cap), f"{threads} threads, {cap}"
        command = [sys.executable, "-c", _CAPABILITY]
        used = subprocess.check_output(command, env=variables, text=True).strip()
        passed, lines = run(paths, variables)
        print(f"{setting}, torch uses {used}:", *lines, sep="\n  ", flush=True)
        failed += [setting] * (not passed)
    if failed:
        raise BookError(f"not all passed with {'; '.join(failed)}: see above")
    return f"Outputs and tests hold under all {len(CAPS) * len(THREADS)} settings."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m book_tools.portability", description=__doc__)
    everything = ["chapters", *(f"tests/{folder}" for folder in COMPUTES)]
    parser.add_argument("paths", nargs="*", default=everything, help="notebooks and tests")
    given = parser.parse_args(arguments)
    return explained(lambda: portability(given.paths), "make portability")


if __name__ == "__main__":
    sys.exit(main())
