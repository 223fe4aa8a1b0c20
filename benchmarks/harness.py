"""How two callables are timed against each other."""

import json
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """Our callable, a peer's that does the same, and the ratio of their times to stay below."""

    name: str
    peer: str
    target: float
    ours: Callable[[], object]
    theirs: Callable[[], object]
    rounds: int = 15


@dataclass(frozen=True)
class Result:
    """The median over rounds of our time divided by the peer's, and its quartiles."""

    case: Case
    ratio: float
    lower_quartile: float
    upper_quartile: float
    peer_seconds: float

    @property
    def holds(self) -> bool:
        """Return whether the target is met."""
        return self.ratio <= self.case.target

    def record(self) -> dict[str, object]:
        """Return the entry of ``bench.json``."""
        return {
            "name": self.case.name,
            "peer": self.case.peer,
            "ratio": round(self.ratio, 3),
            "target": self.case.target,
            "holds": self.holds,
        }


def seconds(call: Callable[[], object]) -> float:
    """Return the time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare(case: Case) -> Result:
    """Time both sides in turn, so that what slows the machine slows both."""
    case.ours(), case.theirs()  # the first call pays for caches and lazy set-up
    pairs = [(seconds(case.ours), seconds(case.theirs)) for _ in range(case.rounds)]
    low, middle, high = statistics.quantiles([ours / theirs for ours, theirs in pairs], n=4)
    return Result(case, middle, low, high, statistics.median(theirs for _, theirs in pairs))


def report(results: Iterable[Result], path: Path) -> bool:
    """Print the table, write ``path``, and return whether every target holds."""
    results = list(results)
    width = max(len(result.case.name) for result in results)
    print(f"{'benchmark':<{width}}  ratio  (quartiles)    target  holds  peer")
    for result in results:
        print(
            f"{result.case.name:<{width}}  {result.ratio:5.2f}  "
            f"({result.lower_quartile:.2f}-{result.upper_quartile:.2f})    "
            f"{result.case.target:6.2f}  {'yes' if result.holds else 'NO':<5}  "
            f"{result.case.peer} ({result.peer_seconds * 1000:.1f} ms)"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    records = [result.record() for result in results]
    path.write_text(json.dumps(records, indent=2) + "\n", encoding="utf-8")
    return all(result.holds for result in results)
