"""``python -m experiments NAME``: measure what a record of ``data/results`` lacks."""

import argparse
import signal
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

from experiments.runner import make
from experiments.workers import Here, Hire, cluster, processes
from reference_impl.files import ROOT

#: name → module, as the chapters have them
EXPERIMENTS = {
    name: f"{'benchmarks' if name in ('roofline', 'integer') else 'experiments'}.{name}"
    for name in (
        *("roofline", "granularity", "integer", "ptq", "qat", "objective", "distillation"),
        *("mnist", "relations", "sparsity", "stability", "narrowing", "merging"),
        *("decay", "unlabelled", "deep_compression", "smallest", "order", "deployment"),
    )
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments", description="Measure what records lack; without NAME, list."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="of data/results/NAME.json")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--workers", type=int, metavar="N", help="processes here")
    where.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster, tcp://HOST:8786")
    parser.add_argument("--path", type=Path, help="of the record, instead of data/results")
    parser.add_argument("--anew", action="store_true", help="measure all, then replace the record")
    options = parser.parse_args(arguments)
    if unknown := {*options.names} - EXPERIMENTS.keys():
        parser.error(f"unknown {sorted(unknown)}, choose from {[*EXPERIMENTS]}")
    if options.path and len(options.names) > 1:
        parser.error("--path is of one record")
    if not options.names:
        for name, module in EXPERIMENTS.items():
            print(f"{name:14}{(import_module(module).__doc__ or '').splitlines()[0]}")
    hire: Hire = Here
    at_once = options.workers or 1
    if options.workers is not None:
        hire = partial(processes, options.workers)
    if options.scheduler:
        hire, at_once = partial(cluster, options.scheduler), sys.maxsize
    failed = False
    for name in options.names:
        path = options.path or ROOT / "data" / "results" / f"{name}.json"
        try:
            failed |= not make(name, EXPERIMENTS[name], path, hire, at_once, anew=options.anew)
        except KeyboardInterrupt:
            print(f"\n{name}: interrupted; the same command continues", file=sys.stderr)
            return 130
        except (OSError, ValueError, ImportError) as error:
            print(f"{name}: {' '.join(str(error).split())}", file=sys.stderr)
            failed = True
    return int(failed)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a kill ends it as Ctrl-C does
    sys.exit(main())
