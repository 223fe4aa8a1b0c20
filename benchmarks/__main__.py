"""Run every benchmark; ``python -m benchmarks``."""

import sys
from itertools import chain
from pathlib import Path

import torch

from benchmarks import (
    codebook,
    coding,
    distillation,
    integer,
    loading,
    merging,
    networks,
    pruning,
    quantization,
)
from benchmarks.harness import compare, report


def main() -> int:
    """Print the table and write ``_build/bench.json``; 1 if a target is missed."""
    torch.set_num_threads(1)
    cases = chain(
        quantization.cases(),
        integer.cases(),
        codebook.cases(),
        distillation.cases(),
        pruning.cases(),
        merging.cases(),
        coding.cases(),
        networks.cases(),
        loading.cases(),
    )
    results = [compare(case) for case in cases]
    return 0 if report(results, Path("_build/bench.json")) else 1


if __name__ == "__main__":
    sys.exit(main())
