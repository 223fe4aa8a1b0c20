"""The comparison of a cell's outputs, against hand-made lists."""

from typing import Any

import pytest

from book_tools.comparing.outputs import coalesce, outputs_difference


def stream(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


def result(kind: str = "execute_result", **data: Any) -> dict[str, Any]:
    return {"output_type": kind, "data": {k.replace("_", "/", 1): v for k, v in data.items()}}


def error(ename: str = "ValueError", evalue: str = "got 17", *lines: str) -> dict[str, Any]:
    return {"output_type": "error", "ename": ename, "evalue": evalue, "traceback": [*lines]}


SAME = [
    ([], []),
    ([stream("a\n"), stream("b\n")], [stream("a\nb\n")]),
    ([stream(["a\n", "b"])], [stream("a\nb")]),
    ([stream("10 %"), stream("\r100 %\n")], [stream("100 %\n")]),
    ([result(text_plain="0.50")], [result(text_plain="0.51")]),
    ([result(text_plain="\x1b[31m0.99")], [result(text_plain="\x1b[31m1.00")]),
    ([result(text_markdown="8&nbsp;±&nbsp;2")], [result(text_markdown="9 ± 2")]),
    ([error()], [error("ValueError", "got 17", "another machine")]),
    ([error(evalue="got 0.50")], [error(evalue="got 0.51")]),
]
DIFFERENT = [
    ([], [stream("a")]),
    ([stream("a"), result(text_plain="b")], [result(text_plain="b"), stream("a")]),
    ([stream("a"), result(text_plain="b"), stream("c")], [stream("ac"), result(text_plain="b")]),
    ([result(text_plain="a")], [result("display_data", text_plain="a")]),
    ([result(text_plain="a")], [result(text_plain="a", text_html="a")]),
    ([error()], [error(ename="TypeError")]),
    ([error()], [error(evalue="got 18")]),
    ([error()], []),
    ([stream("a")], [stream("a", "stderr")]),
    ([result(text_latex="$x$")], [result(text_latex="$y$")]),
    ([result(text_markdown="*x*")], [result(text_markdown="**x**")]),
]


@pytest.mark.parametrize("pair", [*SAME, *DIFFERENT])
def test_outputs_agree_in_both_directions_when_a_reader_sees_them_alike(pair):
    """Oracle: the tables."""
    for stored, fresh in (pair, pair[::-1]):
        assert (outputs_difference(stored, fresh) is None) is (pair in SAME)


@pytest.mark.parametrize(
    ("output", "advice"),
    [
        (result(image_png="iVBO"), "store figures as SVG"),
        (result(**{"application_vnd.jupyter.widget-view+json": {}}), "outputs must be static"),
        (result(application_json={"a": 1}), "cannot be compared"),
        (stream("UserWarning", "stderr"), "stderr"),
    ],
)
def test_what_cannot_be_compared_fails_with_advice(output, advice):
    """Oracle: an output against itself, which only its kind can make fail."""
    assert advice in str(outputs_difference([output], [output]))


def test_coalescing_changes_no_argument():
    """Oracle: the list from before."""
    outputs = [stream("a"), stream("b")]
    assert coalesce(outputs) == [stream("ab")]
    assert outputs == [stream("a"), stream("b")]
