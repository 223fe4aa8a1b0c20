"""``python -m experiments NAME``: measure what a record of ``data/results`` lacks."""

import argparse
import ast
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from experiments.runner import make
from experiments.workers import cluster, here, processes
from reference_impl.files import ROOT

EXPERIMENTS = {
    name: "benchmarks.integer" if name == "integer" else f"experiments.{name}"
    for name in (
        *("roofline", "granularity", "integer", "ptq", "qat", "distillation", "mnist"),
        *("relations", "sparsity", "stability", "narrowing", "merging", "decay"),
    )
}
"""Name → module, as the chapters have them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    options = _options(arguments)
    if not options.names:
        for name, module in EXPERIMENTS.items():
            source = (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
            print(f"{name:14}{(ast.get_docstring(ast.parse(source)) or '').splitlines()[0]}")
        return 0
    hire, at_once = here, 1
    if options.workers > 1:
        hire, at_once = partial(processes, options.workers), options.workers
    if options.scheduler:
        hire, at_once = partial(cluster, options.scheduler), sys.maxsize
    failed = False
    for name in options.names:
        path = options.path or ROOT / "data" / "results" / f"{name}.json"
        growing = path.with_name(f"{path.name}.part") if options.anew else path
        try:
            done = make(name, EXPERIMENTS[name], growing, hire, at_once)
            if done and growing != path and growing.exists():
                growing.replace(path)
            failed |= not done
        except KeyboardInterrupt:
            print(f"\n{name}: interrupted; the same command continues", file=sys.stderr)
            return 130
        except (OSError, ValueError, ImportError) as error:
            print(f"{name}: {' '.join(str(error).split())}", file=sys.stderr)
            failed = True
    return int(failed)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m experiments", description="Measure what records lack; without NAME, list."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="of data/results/NAME.json")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes here")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster, tcp://HOST:8786")
    parser.add_argument("--path", type=Path, help="of the record, instead of data/results")
    parser.add_argument("--anew", action="store_true", help="measure all, then replace the record")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in EXPERIMENTS]:
        parser.error(f"unknown {', '.join(unknown)}: choose from {', '.join(EXPERIMENTS)}")
    if options.workers < 1:
        parser.error(f"--workers must be at least 1, got {options.workers}")
    if options.scheduler and options.workers > 1:
        parser.error("--workers and --scheduler exclude each other: a cluster has its own workers")
    if options.path and len(options.names) > 1:
        parser.error("--path is of one record")
    return options


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a kill ends it as Ctrl-C does
    sys.exit(main())
