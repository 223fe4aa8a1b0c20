"""Ways to corrupt an executed notebook in place: the specimen's outputs, order and figures."""

import re
from collections.abc import Callable
from typing import Any

from nbformat.v4 import new_output

from book_tools.comparing.rules import code_cells

Change = Callable[[Any], Any]


def edit(key: str, change: Change) -> Callable[[Any], None]:
    """Change the first text or figure under this key that the change does not leave as it is."""

    def corrupt(notebook: Any) -> None:
        outputs = [output for cell in code_cells(notebook) for output in cell["outputs"]]
        for holder in (part for output in outputs for part in (output, output.get("data", {}))):
            if key in holder and (changed := change(holder[key])) != holder[key]:
                holder[key] = changed
                return
        raise ValueError(f"the notebook has no such {key}")

    return corrupt


def replaced(kind: str, change: Change) -> Callable[[Any], None]:
    """Put other outputs in the place of the first one of a kind."""

    def corrupt(notebook: Any) -> None:
        for cell in code_cells(notebook):
            for i, output in enumerate(cell["outputs"]):
                if output["output_type"] == kind:
                    cell["outputs"][i : i + 1] = change(output)
                    return
        raise ValueError(f"the notebook has no {kind}")

    return corrupt


def with_fields(**fields: Any) -> Change:
    return lambda output: [output | fields]


def with_data(**types: Any) -> Change:
    """Set or, with None, drop MIME types of an output."""

    def change(output: Any) -> Any:
        data = output["data"] | {name.replace("_", "/", 1): value for name, value in types.items()}
        return [output | {"data": {name: value for name, value in data.items() if value}}]

    return change


def set_cell(number: int, **changes: Any) -> Callable[[Any], None]:
    return lambda notebook: code_cells(notebook)[number - 1].update(changes)


def swap_counts(notebook: Any) -> None:
    a, b = code_cells(notebook)[:2]
    a["execution_count"], b["execution_count"] = b["execution_count"], a["execution_count"]


def moved_curve(svg: str) -> str:
    """Move the first curve up by 2 % of a 240 point high axis."""
    curve = re.search(
        r'<path d="(M [^"]*)" clip-path="[^"]*" style="fill: none; stroke: #0072b2', svg
    )
    assert curve is not None
    lifted = re.sub(
        r"([ML] [\d.]+) ([\d.]+)", lambda m: f"{m[1]} {float(m[2]) - 0.02 * 240:.6f}", curve[1]
    )
    return svg.replace(curve[1], lifted)


def without_group(name: str) -> Change:
    """Drop the last group of matplotlib whose id begins so."""

    def change(svg: str) -> str:
        start = svg.rindex(f'<g id="{name}')
        depth = 0
        for tag in re.finditer(r"<g[ >]|</g>", svg[start:]):
            depth += -1 if tag[0] == "</g>" else 1
            if depth == 0:
                return svg[:start] + svg[start + tag.end() :]
        raise AssertionError(name)

    return change


def swapped_first_two(pattern: str) -> Change:
    def change(svg: str) -> str:
        a, b = list(dict.fromkeys(re.findall(pattern, svg)))[:2]
        return svg.replace(a, "\0").replace(b, a).replace("\0", b)

    return change


SVG = "image/svg+xml"
CORRUPTIONS: dict[str, Callable[[Any], None]] = {
    "a line of text gone": replaced("stream", with_fields(text="")),
    "lines exchanged": edit("text", lambda text: re.sub(r"^(.*\n)(.+\n)", r"\2\1", text)),
    "stdout missing": replaced("stream", lambda _: []),
    "stdout twice": replaced("stream", lambda output: [output, output]),
    "result missing": replaced("execute_result", lambda _: []),
    "result shown": replaced("execute_result", with_fields(output_type="display_data")),
    "exception missing": replaced("error", lambda _: []),
    "another exception": replaced("error", with_fields(ename="KeyError")),
    "another message": replaced("error", with_fields(evalue="something else")),
    "exception not announced": set_cell(6, metadata={}),
    "stderr stored": set_cell(1, outputs=[new_output("stream", name="stderr", text="late\n")]),
    "stdout became stderr": replaced("stream", with_fields(name="stderr")),
    "cell never executed": set_cell(2, execution_count=None),
    "cell executed late": set_cell(2, execution_count=7),
    "cells executed in another order": swap_counts,
    "cell emptied": set_cell(2, source="  \n"),
    "rows of a table exchanged": edit(
        "text/html", lambda page: re.sub(r"(<tr.*?</tr>)(<tr.*?</tr>)", r"\2\1", page)
    ),
    "another tag in a table": edit("text/html", lambda page: page.replace("<td", "<th", 1)),
    "tolerance exceeded": edit("text", lambda text: text.replace("rate 0.91", "rate 0.95")),
    "number beside it moved": edit("text", lambda text: text.replace("loss 0.44", "loss 0.47")),
    "tolerance of another name": set_cell(10, metadata={"tolerance": {"rat": 0.03}, "reason": "x"}),
    "tolerance without a reason": set_cell(10, metadata={"tolerance": {"rate": 0.03}}),
    "figure missing": replaced("display_data", with_data(**{"image_svg+xml": None})),
    "figure stored as PNG": replaced(
        "display_data", with_data(**{"image_svg+xml": None, "image_png": "iVBO"})
    ),
    "widget": replaced(
        "display_data", with_data(**{"application_vnd.jupyter.widget-view+json": {"model_id": "1"}})
    ),
    "curve moved by 2 %": edit(SVG, moved_curve),
    "curve missing": edit(SVG, without_group("line2d_")),
    "legend missing": edit(SVG, without_group("legend_1")),
    "legend entry missing": edit(SVG, without_group("text_")),
    "tick missing": edit(SVG, without_group("xtick_2")),
    "axis missing": edit(SVG, without_group("matplotlib.axis_2")),
    "colours of curves exchanged": edit(SVG, swapped_first_two(r"stroke: (#0072b2|#d55e00)")),
    "glyphs exchanged": edit(SVG, swapped_first_two(r'href="(#DejaVuSans-[0-9a-f]+)"')),
    "labels exchanged": edit(SVG, swapped_first_two(r"<!-- .*? -->")),
    "line width": edit(SVG, lambda svg: svg.replace("stroke-width: 1.8", "stroke-width: 2.4")),
    "curve made transparent": edit(
        SVG, lambda svg: svg.replace("stroke: #0072b2;", "stroke: #0072b2; stroke-opacity: 0.5;")
    ),
}
