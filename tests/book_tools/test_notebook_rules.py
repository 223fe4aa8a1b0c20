"""The rules of a stored notebook that the runs of test_pytest_notebooks do not reach."""

import json
import re
from typing import Any

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from book_tools.comparing.outputs import shown_outputs
from book_tools.comparing.rules import cell_name, cell_problem, raises, read_notebook

PRINTED = new_output("stream", name="stdout", text="accuracy 88.3")


@pytest.mark.parametrize(
    ("tolerance", "reason", "told"),
    [
        ({"accuracy": 0.3}, "trained", None),
        ({"accuracy": 1}, "trained", None),
        *(({"accuracy": 0.3}, reason, "a reason in its metadata") for reason in (None, " ", 3)),
        *(
            ({"accuracy": value}, "trained", "must be a positive number")
            for value in (0, -0.3, "0.3", None, True, float("nan"), float("inf"), [1])
        ),
        *((value, "trained", "instead of") for value in ({}, {" ": 1}, 0.3, None, ["accuracy"])),
        ({"accuracy": 0.3, "loss": 0.3}, "trained", "no printed number has the name 'loss'"),
    ],
)
def test_a_tolerance_is_positive_reasoned_and_names_what_is_printed(tolerance, reason, told):
    """Oracle: values by hand; the same cell without outputs never passes."""
    metadata = {"tolerance": tolerance, "reason": reason}
    cell = new_code_cell("1", execution_count=1, outputs=[PRINTED], metadata=metadata)
    problem = cell_problem(cell, 1, "run it")
    assert problem is None if told is None else told in str(problem)
    assert cell_problem(cell | {"outputs": []}, 1, "run it")


def test_an_exception_is_announced_by_tag_or_by_comment():
    """Oracle: nbval's two markers."""
    assert raises(new_code_cell("1", metadata={"tags": ["raises-exception"]}))
    assert raises(new_code_cell("# NBVAL_RAISES_EXCEPTION\n1"))
    assert not raises(new_code_cell("1"))
    assert not raises(new_code_cell("x = 'NBVAL_RAISES_EXCEPTION'"))


def test_a_cell_has_the_number_that_jupyter_shows():
    """Oracle: equal cells, counted by hand without the texts between them."""
    texts = [new_markdown_cell("# A", id="t"), new_markdown_cell("b", id="t")]
    cells = [new_code_cell("1", id="c") for _ in range(3)]
    notebook = {"cells": [texts[0], *cells[:2], texts[1], cells[2]]}
    names = ["the text after cell 0", "cell 1", "cell 2", "the text after cell 2", "cell 3"]
    assert [cell_name(notebook, cell) for cell in notebook["cells"]] == names


def changed(**fields: Any) -> str:
    """Return a notebook of a text and a cell with some fields of the cell replaced."""
    cell = {
        "cell_type": "code", "id": "a", "source": "1", "execution_count": 1,
        "metadata": {}, "outputs": [],
    } | fields  # fmt: skip
    cells = [{"cell_type": "markdown", "id": "b", "metadata": {}, "source": "text"}, cell]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        *((text, "a.ipynb is not a notebook: ") for text in ("", "{", "[]", "{}", "null", "3")),
        ("<<<<<<< HEAD\n" + changed(), "a.ipynb is not a notebook: "),
        (changed().replace('"nbformat": 4', '"nbformat": 9'), "Unsupported nbformat version 9"),
        (changed(source=3), "a.ipynb, cell 1 is not valid: "),
        (changed(metadata={"tags": "x"}), "a.ipynb, cell 1 is not valid: "),
        (changed(outputs=[{"a": 1}]), "a.ipynb, cell 1 is not valid: "),
        (re.sub(r'"outputs": \[\]', '"x": 1', changed()), "a.ipynb, cell 1 is not valid: "),
    ],
)
def test_what_is_not_a_notebook_is_one_line_that_names_file_and_cell(tmp_path, text, told):
    """Oracle: the line."""
    path = tmp_path / "a.ipynb"
    path.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=re.escape(told)) as caught:
        read_notebook(path)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("text", [changed(id="b"), re.sub(r'"id": "\w",', "", changed())])
def test_missing_and_repeated_ids_are_read_in_silence(tmp_path, text):
    """Oracle: the cell's source; warnings are errors in these tests."""
    path = tmp_path / "a.ipynb"
    path.write_text(text, "utf-8")
    assert read_notebook(path).cells[1].source == "1"


def test_long_outputs_are_shortened_for_a_message():
    """Oracle: the number of lines and columns that a terminal shows."""
    text = "\n".join(["x" * 1000] * 100)
    shown = shown_outputs([new_output("stream", name="stdout", text=text)])
    assert len(shown.splitlines()) < 40
    assert max(map(len, shown.splitlines())) < 200
    assert shown_outputs([]) == "nothing"
