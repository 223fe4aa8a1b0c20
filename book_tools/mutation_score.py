"""What share of small changes to the formulas do the unit tests notice? ``make mutation-score``.

In a copy of the project, cosmic-ray exchanges an operator (+ − * /), a number or a condition in
the body of a function, or removes a decorator; the tests of the formula's family must fail. What
stands in a ``raise`` stays as it is.

A change belongs to the sample if the hash of its line, function and kind is small. So the sample
is random, and the same changes are tried again after other lines or the tests were edited.
"""

import argparse
import hashlib
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.ast.ast_query import ASTQuery
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names
from scipy.stats import binomtest  # type: ignore[attr-defined]

from book_tools.failures import explained
from book_tools.files import ROOT
from book_tools.mutants import Change, copied_project, tried

FAMILIES = [f"reference_impl/{f}" for f in ("quantization", "distillation", "pruning", "merging")]
_TOO_EASY = re.compile(r"_(?!Bit)\w+_(.Shift|Bit\w+|Mod|FloorDiv|Pow|Invert|UAdd|Not|Is|IsNot)$")


def changes(file: Path, share: float = 1.0) -> Iterator[Change]:
    """Yield the sampled changes of a module."""
    source = file.read_text("utf-8")
    tree, lines = get_ast(source), source.splitlines()
    seen: Counter[str] = Counter()
    for kind in (name for name in operator_names() if not _TOO_EASY.search(name)):
        operator = get_operator(kind)
        if operator.arguments():  # variables by name: none is given
            continue
        places = ((n, p) for n in ast_nodes(tree) for p in operator().mutation_positions(n))
        for occurrence, (node, (start, _)) in enumerate(places):
            line = lines[start[0] - 1]
            column = start[1] - len(line) + len(line.lstrip())
            function = ASTQuery(node).get_definition_name() or "module"
            text = f"{file.as_posix()} {function}: {kind[5:]} at {column} of `{line.strip()}`"
            seen[text] += 1
            text += f" ({seen[text]})" * (seen[text] > 1)
            drawn = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 16**8
            if drawn < share and (kind == "core/RemoveDecorator" or _computes(node)):
                changed = mutate_code(source, operator(), occurrence)
                yield Change(text, file, changed, [family_tests(file)])


def _computes(node: Any) -> bool:
    """Say whether a node stands in the body of a function, and not in a ``raise``."""
    function = node.search_ancestor("funcdef")
    in_body = function is not None and node.start_pos >= function.children[-1].start_pos
    return in_body and node.search_ancestor("raise_stmt") is None


def family_tests(module: Path) -> list[str]:
    """Return the files of tests of a module's family, the module's own first."""
    own = f"test_{module.stem}"
    tests = (ROOT / "tests" / module.parent.name).glob("test_*.py")
    found = sorted(tests, key=lambda test: (test.stem != own, test))
    return [test.relative_to(ROOT).as_posix() for test in found]


def main() -> str:
    """Print each change and whether a test noticed; return the score with its interval."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", default=FAMILIES, help="families or modules")
    parser.add_argument("--share", type=float, default=0.08, help="of all changes (default 0.08)")
    given = parser.parse_args()
    noticed, sample = [], []
    for path in map(Path, given.paths):
        modules = sorted((ROOT / path).glob("*.py")) or [ROOT / path]
        if not modules[0].exists() or not family_tests(modules[0]):
            parser.error(f"paths must be like {FAMILIES[0]} or {FAMILIES[0]}/grid.py, got {path}")
        sample += modules
    with copied_project():
        every = (c for m in sample for c in changes(m.relative_to(ROOT), given.share))
        for change, (failure,) in tried(every):
            noticed.append(bool(failure))
            print("noticed " if failure else "SURVIVED", change.text, flush=True)
    if not noticed:
        parser.error(f"share must be large enough for one change, got {given.share}")
    interval = binomtest(sum(noticed), len(noticed)).proportion_ci(method="wilson")
    score, low, high = sum(noticed) / len(noticed), interval.low, interval.high
    return f"{sum(noticed)} of {len(noticed)} noticed: {score:.1%} (95 %: {low:.1%} to {high:.1%})"


if __name__ == "__main__":
    sys.exit(explained(main, "make mutation-score"))
