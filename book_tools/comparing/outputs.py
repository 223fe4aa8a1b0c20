"""When are the outputs of a cell the same? Each by the rule of its MIME type, in order.

Every function returns a sentence that names the first difference, or None.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from book_tools.comparing.figures import figure_difference
from book_tools.comparing.texts import html_difference, text_difference

Output = Mapping[str, Any]

#: stderr of a cell is a failure by itself, stored or fresh.
STDERR = "the cell writes to stderr (a warning does too); only stdout can be a test"

_HINTS = {
    "image/png": "store figures as SVG: call reference_impl.notebook.begin() in the first cell",
    "image/jpeg": "store figures as SVG: call reference_impl.notebook.begin() in the first cell",
    "application/vnd.jupyter.widget-view+json": "outputs must be static: print, do not use widgets",
}

_OVERWRITTEN = re.compile(r"^[^\n]*\r(?=[^\n\r])", re.MULTILINE)
_ERASED = re.compile(r"[^\n]\x08")


def _visible(text: str) -> str:
    """Return what remains on the screen after carriage returns and backspaces."""
    text = _OVERWRITTEN.sub("", text.replace("\r\n", "\n"))
    while _ERASED.search(text):
        text = _ERASED.sub("", text)
    return text


def _joined(value: Any) -> Any:
    """Return text that a notebook file may hold as a list of lines."""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "".join(value)
    return value


def coalesce(outputs: Iterable[Output]) -> list[dict[str, Any]]:
    """Return the outputs with adjacent pieces of one stream joined, as the reader sees them."""
    merged: list[dict[str, Any]] = []
    for output in outputs:
        entry = dict(output)
        if entry["output_type"] == "stream":
            entry["text"] = _joined(entry["text"])
            last = merged[-1] if merged else {}
            if last.get("output_type") == "stream" and last["name"] == entry["name"]:
                last["text"] += entry["text"]
                continue
        merged.append(entry)
    for entry in merged:
        if entry["output_type"] == "stream":
            entry["text"] = _visible(entry["text"])
    return merged


def json_difference(stored: Any, fresh: Any, path: str = "$") -> str | None:
    """Return the first difference of two JSON values: numbers and strings as text."""
    if type(stored) is not type(fresh):
        return f"{path}: stored {stored!r}, got {fresh!r}"
    if isinstance(stored, dict):
        if stored.keys() != fresh.keys():
            return f"{path}: stored keys {sorted(stored)}, got {sorted(fresh)}"
        pairs = ((stored[key], fresh[key], f"{path}.{key}") for key in stored)
    elif isinstance(stored, list):
        if len(stored) != len(fresh):
            return f"{path}: stored {len(stored)} entries, got {len(fresh)}"
        pairs = ((a, b, f"{path}[{i}]") for i, (a, b) in enumerate(zip(stored, fresh, strict=True)))
    else:
        reason = text_difference(str(stored), str(fresh))
        return None if reason is None else f"{path}: {reason}"
    return next(filter(None, (json_difference(*pair) for pair in pairs)), None)


_RULES: dict[str, Callable[[Any, Any], str | None]] = {
    "text/plain": text_difference,
    "text/latex": text_difference,
    "text/markdown": text_difference,
    "text/html": html_difference,
    "image/svg+xml": figure_difference,
    "application/json": json_difference,
}


def _data_difference(stored: Mapping[str, Any], fresh: Mapping[str, Any]) -> str | None:
    for mime in [*stored, *fresh]:
        if mime not in _RULES:
            hint = _HINTS.get(mime, f"known are {', '.join(_RULES)}")
            return f"{mime} cannot be compared: {hint}"
    if stored.keys() != fresh.keys():
        return f"stored the types {sorted(stored)}, got {sorted(fresh)}"
    for mime in sorted(stored):
        rule = _RULES[mime]
        value, other = stored[mime], fresh[mime]
        if mime != "application/json":
            value, other = _joined(value), _joined(other)
        if reason := rule(value, other):
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


def _output_difference(stored: Output | None, fresh: Output | None) -> str | None:
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
        reason = text_difference(stored["text"], fresh["text"])
        return f"{stored['name']}, {reason}" if reason else None
    if stored["output_type"] == "error":
        return _error_difference(stored, fresh)
    return _data_difference(stored["data"], fresh["data"])


def outputs_difference(stored: Sequence[Output], fresh: Sequence[Output]) -> str | None:
    """Return the first difference between a cell's stored and its fresh outputs, or None."""
    pairs = zip_longest(coalesce(stored), coalesce(fresh))
    for number, (old, new) in enumerate(pairs, start=1):
        if reason := _output_difference(old, new):
            return f"output {number}: {reason}"
    return None
