"""Run the notebooks and the unit tests as other machines would: ``make portability``.

Every combination of 1 and 2 threads with three instruction sets runs all notebooks against their
stored outputs, and the unit tests of what computes. The processor's own set is compared with AVX2
and with SSE4.1 alone.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
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


def environment(threads: int, cap: str) -> dict[str, str]:
    """Return the variables of one setting; without a cap none of the caps' variables is set."""
    kept = {name: value for name, value in os.environ.items() if name not in _NAMES}
    caps = dict(zip(_NAMES, CAPS[cap], strict=False))
    return kept | caps | {"REFERENCE_IMPL_THREADS": str(threads)}


def portability(paths: Sequence[str]) -> str:
    """Run every setting, show pytest's lines of what failed under it, and return a closing line."""
    failed = []
    for cap, threads in product(CAPS, THREADS):
        setting = f"{threads} threads, {cap}"
        print(f"{setting}:", flush=True)
        command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "--no-header", "-rfE"]
        command += ["-n", str(max(1, (os.cpu_count() or 1) // threads))]
        command += ["--nbval-cell-timeout=600"]  # two threads may be slow
        command += ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), *paths]
        done = subprocess.run(command, cwd=ROOT, env=environment(threads, cap), check=False)
        failed += [setting] * (done.returncode != 0)
    if failed:
        raise BookError(f"not all passed with {'; '.join(failed)}: see above")
    return f"Outputs and tests hold under all {len(CAPS) * len(THREADS)} settings."


if __name__ == "__main__":
    everything = ["chapters", *(f"tests/{folder}" for folder in COMPUTES)]
    sys.exit(explained(lambda: portability(sys.argv[1:] or everything), "make portability"))
