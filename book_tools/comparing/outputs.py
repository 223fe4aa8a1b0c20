"""When are the outputs of a cell the same? Each by the rule of its MIME type, in order.

Every function returns a sentence that names the first difference, or None.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from .figures import figure_difference
from .screens import visible
from .texts import html_difference, text_difference
from .tolerances import Tolerances

Output = Mapping[str, Any]

#: stderr of a cell is a failure by itself, stored or fresh.
STDERR = "the cell writes to stderr (a warning does too); only stdout can be a test"

_HINTS = {
    **dict.fromkeys(("image/png", "image/jpeg"), "store figures as SVG, by %config InlineBackend"),
    "application/vnd.jupyter.widget-view+json": "outputs must be static: print, do not use widgets",
}


def coalesce(outputs: Iterable[Output]) -> list[dict[str, Any]]:
    """Return the outputs with adjacent pieces of one stream joined, as the reader sees them."""
    merged: list[dict[str, Any]] = []
    for output in outputs:
        entry = dict(output)
        if entry["output_type"] == "stream":
            joins = bool(merged) and merged[-1].get("name") == entry["name"]
            entry["text"] = "".join([merged.pop()["text"] if joins else "", *entry["text"]])
        merged.append(entry)
    return merged


_RULES: dict[str, Callable[[str, str, Tolerances], str | None]] = {
    "stdout": text_difference,
    "error": lambda stored, fresh, _: text_difference(stored, fresh),
    "text/plain": text_difference,
    "text/latex": text_difference,
    "text/markdown": html_difference,
    "text/html": html_difference,
    "image/svg+xml": lambda stored, fresh, _: figure_difference(stored, fresh),
}


def _parts(output: Output | None) -> tuple[str, dict[str, Any]]:
    """Return what an output is, in words, and its parts, each under the name of its rule."""
    if output is None:
        return "nothing", {}
    kind = str(output["output_type"])
    if kind == "stream":
        return output["name"], {output["name"]: visible(output["text"])}
    if kind == "error":
        return f"the exception {output['ename']}", {"error": output["evalue"]}
    return f"{kind} ({', '.join(sorted(output['data']))})", dict(output["data"])


def _output_difference(
    stored: Output | None, fresh: Output | None, tolerances: Tolerances
) -> str | None:
    (label, old), (other, new) = _parts(stored), _parts(fresh)
    for name, value in [*old.items(), *new.items()]:
        if name == "stderr":
            return f"{STDERR}: {value!r}"
        if name not in _RULES:
            hint = _HINTS.get(name, f"known are {', '.join(_RULES)}")
            return f"{name} cannot be compared: {hint}"
    if label != other:
        message = f": {new['error']}" if "error" in new else ""
        return f"stored {label}, got {other}{message}"
    for name in sorted(old):
        if reason := _RULES[name]("".join(old[name]), "".join(new[name]), tolerances):
            return f"{label}, {reason}"
    return None


def outputs_difference(
    stored: Sequence[Output], fresh: Sequence[Output], tolerance: Mapping[str, float] | None = None
) -> str | None:
    """Return the first difference between a cell's stored and its fresh outputs, or None.

    ``tolerance`` is that of the cell's metadata; a name in it that no number has is a difference.
    """
    tolerances = Tolerances(tolerance)
    pairs = zip_longest(coalesce(stored), coalesce(fresh))
    for number, (old, new) in enumerate(pairs, start=1):
        if reason := _output_difference(old, new, tolerances):
            return f"output {number}: {reason}"
    if tolerances.unprinted:
        return f"no printed number has the name {min(tolerances.unprinted)!r} of its tolerance"
    return None


def _brief(text: str, lines: int = 30, columns: int = 160) -> str:
    kept = [line if len(line) <= columns else f"{line[:columns]}…" for line in text.splitlines()]
    more = [f"… {len(kept) - lines} more lines"] if len(kept) > lines else []
    return "\n".join(kept[:lines] + more)


def shown_outputs(outputs: Iterable[Output]) -> str:
    """Return a cell's outputs as text, for a message; figures only by their type."""
    shown = []
    for label, parts in map(_parts, coalesce(outputs)):
        texts = [part for name, part in parts.items() if "/" not in name or name == "text/plain"]
        shown.append(f"[{label}]\n{_brief(''.join(map(''.join, texts)))}")
    return "\n".join(shown) or "nothing"
