"""Ways to corrupt an executed notebook in place: the specimen's outputs, order and figures."""

import re
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import nbformat

from book_tools.comparing.rules import code_cells


def first(notebook: Any, wanted: Callable[[dict[str, Any]], Any]) -> tuple[Any, int]:
    """Return the first cell that has an output of this kind, and the place of the output."""
    for cell in code_cells(notebook):
        for i, output in enumerate(cell["outputs"]):
            if wanted(output):
                return cell, i
    raise ValueError("the notebook has no such output")


def is_figure(output: dict[str, Any]) -> bool:
    return "image/svg+xml" in output.get("data", {})


def edit_figure(change: Callable[[str], str]) -> Callable[[Any], None]:
    def corrupt(notebook: Any) -> None:
        cell, i = first(
            notebook, lambda out: is_figure(out) and "legend_1" in out["data"]["image/svg+xml"]
        )
        data = cell["outputs"][i]["data"]
        changed = change(data["image/svg+xml"])
        assert changed != data["image/svg+xml"]
        data["image/svg+xml"] = changed

    return corrupt


CURVE = re.compile(r'<path d="(M [^"]*)" clip-path="[^"]*" style="fill: none; stroke: #0072b2')


def moved_curve(svg: str) -> str:
    """Move the first curve up by 2 % of a 240 point high axis."""
    found = CURVE.search(svg)
    assert found is not None
    path = found[1]
    lifted = re.sub(
        r"([ML] [\d.]+) ([\d.]+)", lambda m: f"{m[1]} {float(m[2]) - 0.02 * 240:.6f}", path
    )
    return svg.replace(path, lifted)


def without_group(name: str) -> Callable[[str], str]:
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


def swapped_first_two(pattern: str) -> Callable[[str], str]:
    def change(svg: str) -> str:
        a, b = list(dict.fromkeys(re.findall(pattern, svg)))[:2]
        return svg.replace(a, "\0").replace(b, a).replace("\0", b)

    return change


def duplicate_output(notebook: Any) -> None:
    cell, i = first(notebook, lambda out: out["output_type"] == "stream")
    cell["outputs"].insert(i, deepcopy(cell["outputs"][i]))


def drop(kind: str) -> Callable[[Any], None]:
    def corrupt(notebook: Any) -> None:
        cell, i = first(notebook, lambda out: out["output_type"] == kind)
        del cell["outputs"][i]

    return corrupt


def drop_figure(notebook: Any) -> None:
    cell, i = first(notebook, is_figure)
    del cell["outputs"][i]["data"]["image/svg+xml"]


def set_output(kind: str, **changes: Any) -> Callable[[Any], None]:
    def corrupt(notebook: Any) -> None:
        cell, i = first(notebook, lambda out: out["output_type"] == kind)
        cell["outputs"][i].update(changes)

    return corrupt


def set_cell(**changes: Any) -> Callable[[Any], None]:
    def corrupt(notebook: Any) -> None:
        code_cells(notebook)[1].update(changes)  # type: ignore[attr-defined]

    return corrupt


def swap_counts(notebook: Any) -> None:
    a, b = code_cells(notebook)[:2]
    a["execution_count"], b["execution_count"] = b["execution_count"], a["execution_count"]


def swap_lines(notebook: Any) -> None:
    cell, i = first(notebook, lambda out: len(set("".join(out.get("text", "")).splitlines())) > 1)
    lines = "".join(cell["outputs"][i]["text"]).splitlines(keepends=True)
    cell["outputs"][i]["text"] = "".join(lines[1:] + lines[:1])


def swap_table_rows(notebook: Any) -> None:
    cell, i = first(
        notebook, lambda out: "<tr" in "".join(out.get("data", {}).get("text/html", ""))
    )
    data = cell["outputs"][i]["data"]
    rows = re.findall(r"<tr.*?</tr>", "".join(data["text/html"]), re.DOTALL)
    swapped = "".join(data["text/html"]).replace(rows[-1], "\0").replace(rows[-2], rows[-1])
    data["text/html"] = swapped.replace("\0", rows[-2])


def another_table_tag(notebook: Any) -> None:
    cell, i = first(
        notebook, lambda out: "<td" in "".join(out.get("data", {}).get("text/html", ""))
    )
    data = cell["outputs"][i]["data"]
    data["text/html"] = "".join(data["text/html"]).replace("<td", "<th", 1)


def store_stderr(notebook: Any) -> None:
    output = nbformat.v4.new_output("stream", name="stderr", text="UserWarning: late\n")
    code_cells(notebook)[0]["outputs"].append(output)


def store_png(notebook: Any) -> None:
    cell, i = first(notebook, is_figure)
    data = cell["outputs"][i]["data"]
    data["image/png"] = data.pop("image/svg+xml")


def unannounced_exception(notebook: Any) -> None:
    cell, _ = first(notebook, lambda out: out["output_type"] == "error")
    cell["metadata"]["tags"] = []


def widget(notebook: Any) -> None:
    cell, i = first(notebook, lambda out: "data" in out)
    cell["outputs"][i]["data"]["application/vnd.jupyter.widget-view+json"] = {"model_id": "1"}


CORRUPTIONS: dict[str, Callable[[Any], None]] = {
    "a line of text gone": set_output("stream", text=""),
    "lines exchanged": swap_lines,
    "stdout missing": drop("stream"),
    "stdout twice": duplicate_output,
    "result missing": drop("execute_result"),
    "result shown instead of returned": set_output("execute_result", output_type="display_data"),
    "exception missing": drop("error"),
    "another exception": set_output("error", ename="KeyError"),
    "another message": set_output("error", evalue="something else"),
    "exception not announced": unannounced_exception,
    "stderr stored": store_stderr,
    "stdout became stderr": set_output("stream", name="stderr"),
    "cell never executed": set_cell(execution_count=None),
    "cell executed late": set_cell(execution_count=7),
    "cells executed in another order": swap_counts,
    "cell emptied": set_cell(source="  \n"),
    "rows of a table exchanged": swap_table_rows,
    "another tag in a table": another_table_tag,
    "figure missing": drop_figure,
    "figure stored as PNG": store_png,
    "widget": widget,
    "curve moved by 2 %": edit_figure(moved_curve),
    "curve missing": edit_figure(without_group("line2d_")),
    "legend missing": edit_figure(without_group("legend_1")),
    "legend entry missing": edit_figure(without_group("text_")),
    "tick missing": edit_figure(without_group("xtick_2")),
    "axis missing": edit_figure(without_group("matplotlib.axis_2")),
    "colours of curves exchanged": edit_figure(swapped_first_two(r"stroke: (#0072b2|#d55e00)")),
    "glyphs exchanged": edit_figure(swapped_first_two(r'href="(#DejaVuSans-[0-9a-f]+)"')),
    "labels exchanged": edit_figure(swapped_first_two(r"<!-- .*? -->")),
    "line width": edit_figure(lambda svg: svg.replace("stroke-width: 1.8", "stroke-width: 2.4")),
    "curve made transparent": edit_figure(
        lambda svg: svg.replace("stroke: #0072b2;", "stroke: #0072b2; stroke-opacity: 0.5;")
    ),
}
