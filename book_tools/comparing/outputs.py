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

_SVG = "store figures as SVG: %config InlineBackend.figure_formats = ['svg']"
_HINTS = {
    "image/png": _SVG,
    "image/jpeg": _SVG,
    "application/vnd.jupyter.widget-view+json": "outputs must be static: print, do not use widgets",
}


def coalesce(outputs: Iterable[Output]) -> list[dict[str, Any]]:
    """Return the outputs with adjacent pieces of one stream joined, as the reader sees them."""
    merged: list[dict[str, Any]] = []
    for output in outputs:
        entry = dict(output)
        if entry["output_type"] == "stream":
            entry["text"] = "".join(entry["text"])
            last = merged[-1] if merged else {}
            if last.get("output_type") == "stream" and last["name"] == entry["name"]:
                last["text"] += entry["text"]
                continue
        merged.append(entry)
    for entry in merged:
        if entry["output_type"] == "stream":
            entry["text"] = visible(entry["text"])
    return merged


_RULES: dict[str, Callable[[str, str, Tolerances], str | None]] = {
    "text/plain": text_difference,
    "text/latex": text_difference,
    "text/markdown": html_difference,
    "text/html": html_difference,
    "image/svg+xml": lambda stored, fresh, _: figure_difference(stored, fresh),
}


def _data_difference(
    stored: Mapping[str, Any], fresh: Mapping[str, Any], tolerances: Tolerances
) -> str | None:
    for mime in [*stored, *fresh]:
        if mime not in _RULES:
            hint = _HINTS.get(mime, f"known are {', '.join(_RULES)}")
            return f"{mime} cannot be compared: {hint}"
    if stored.keys() != fresh.keys():
        return f"stored the types {sorted(stored)}, got {sorted(fresh)}"
    for mime in sorted(stored):
        value, other = "".join(stored[mime]), "".join(fresh[mime])
        if reason := _RULES[mime](value, other, tolerances):
            return f"{mime}, {reason}"
    return None


def _error_difference(stored: Output, fresh: Output) -> str | None:
    if stored["ename"] != fresh["ename"]:
        return f"stored the exception {stored['ename']}, got {fresh['ename']}: {fresh['evalue']}"
    reason = text_difference(stored["evalue"], fresh["evalue"])
    return f"message of the {stored['ename']}, {reason}" if reason else None


def _label(output: Output | None) -> str:
    """Return a short description: 'stdout', 'display_data (image/svg+xml)', 'ValueError'."""
    if output is None:
        return "nothing"
    kind = str(output["output_type"])
    if kind == "stream":
        return str(output["name"])
    if kind == "error":
        return f"{output['ename']}: {output['evalue']}"
    return f"{kind} ({', '.join(sorted(output['data']))})"


def _output_difference(
    stored: Output | None, fresh: Output | None, tolerances: Tolerances
) -> str | None:
    for output in (stored, fresh):
        if output is not None and output.get("name") == "stderr":
            return f"{STDERR}: {output['text']!r}"
    same_kind = (
        stored is not None
        and fresh is not None
        and stored["output_type"] == fresh["output_type"]
        and stored.get("name") == fresh.get("name")
    )
    if stored is None or fresh is None or not same_kind:
        return f"stored {_label(stored)}, got {_label(fresh)}"
    if stored["output_type"] == "stream":
        reason = text_difference(stored["text"], fresh["text"], tolerances)
        return f"{stored['name']}, {reason}" if reason else None
    if stored["output_type"] == "error":
        return _error_difference(stored, fresh)
    return _data_difference(stored["data"], fresh["data"], tolerances)


def outputs_difference(
    stored: Sequence[Output], fresh: Sequence[Output], tolerance: Mapping[str, float] | None = None
) -> str | None:
    """Return the first difference between a cell's stored and its fresh outputs, or None.

    Args:
        stored: the outputs in the notebook.
        fresh: those of a run.
        tolerance: as in the cell's metadata, how far numbers may move, by name. A name that no
            number has is a difference.
    """
    tolerances = Tolerances(tolerance)
    pairs = zip_longest(coalesce(stored), coalesce(fresh))
    for number, (old, new) in enumerate(pairs, start=1):
        if reason := _output_difference(old, new, tolerances):
            return f"output {number}: {reason}"
    if tolerances.unprinted:
        return f"no printed number has the name {min(tolerances.unprinted)!r} of its tolerance"
    return None
