"""book_tools.adapt: a small notebook, and three chapters, on another data set."""

import ast
import re
from dataclasses import replace
from types import SimpleNamespace

import nbformat
import pytest
from idx_files import write_bars
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from book_tools import adapt
from book_tools.comparing.rules import code_cells, read_notebook
from book_tools.failures import BookError
from experiments import retrain

PARAMETERS = 'DATA = "FashionMNIST"  # or yours\nSEED = 2'
BEFORE = (
    "A shirt is not a shoe. A word.\n\n### 3 heads\n\nTwice 21 is 42. See chapter $3$. It is 4."
)


def calls(source):
    """Yield the loaders that a cell calls, and the names that it gives them by position."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "").startswith("load_"):
            yield node.func.id, [getattr(argument, "id", "") for argument in node.args]


def stored(*cells):
    return new_notebook(cells=list(cells))


def printed(source, text):
    output = new_output("stream", name="stdout", text=text)
    return new_code_cell(source, outputs=[output])


@pytest.mark.parametrize("path", adapt.chosen([]), ids=lambda path: path.stem)
def test_each_notebook_names_its_parameters_first_and_its_cells_use_them(path):
    """Oracle: the syntax trees; only solutions load what is the exercises' own."""
    notebook, part = read_notebook(path), ""
    seen = [c for c in code_cells(notebook) if "remove-cell" not in c.metadata.get("tags", ())]
    assert seen[0].metadata.tags == ["parameters"]
    assigned = ast.parse(seen[0].source).body
    names = [ast.unparse(line.targets[0]) for line in assigned]
    assert names[0] == "DATA"
    assert names[-1] == "SEED"
    assert "begin(seed=SEED, data=DATA)" in seen[1].source
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            part = (re.findall(r"^## (.*)$", cell.source, re.MULTILINE) or [part])[-1]
        elif part != "Exercises":
            for name, given in calls(cell.source):
                if name == "load_dataset":
                    assert given == ["DATA"], cell.source
                if name == "load_checkpoint":
                    assert given[1:] == ["DATA"], cell.source


@pytest.fixture(scope="module")
def bars(tmp_path_factory):
    """Return a small data set with networks of its own, trained for three epochs."""
    folder = tmp_path_factory.mktemp("data") / "bars"
    write_bars(folder, n_train=1800, n_test=300)
    recipes = {name: replace(r, epochs=3) for name, r in retrain.RECIPES.items()}
    names = ["lenet300", "lenet5", "student", "separable", "teacher"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrain, "RECIPES", recipes)
        assert retrain.main(["--data", str(folder), *names]) == 0
    return folder


def test_a_notebook_is_run_with_other_parameters_and_what_moved_is_reported(tmp_path, capsys):
    """Oracle: seven cells, each with one fate; the file, which nobody may write."""
    cells = [
        new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
        printed("print(SEED, 'seeds')", "2 seeds\n"),
        new_code_cell("x = 1", metadata={"mystnb": {"image": {"alt": "Two boots."}}}),
        new_markdown_cell(BEFORE),
        printed("for _ in 'ab':\n  assert SEED == 2, 'Two seeds.'\nprint('goes on')", "goes on\n"),
        new_code_cell("undefined"),
        printed("print('the same')", "the same\n"),
        new_code_cell("assert SEED == 2, 'Two.'", metadata={"tags": ["raises-exception"]}),
    ]
    path = tmp_path / "small.ipynb"
    nbformat.write(stored(*cells), path)
    before = path.read_bytes()
    assert adapt.main([str(path), "SEED=3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:5] == [
        "small with SEED=3 …",
        "of 7 code cells",
        "  1 raise",
        "  2 have sentences that do not hold",
        "  1 have outputs that moved",
    ]
    for expected in (
        "  moved: output 1: stdout, line 1: stored '2', got '3': integers agree exactly",
        "  does not hold: Two seeds.",
        "  raises NameError: name 'undefined' is not defined",
        "  beside it: Twice 21 is 42.",
        "  beside it: It is 4.",
        "the text after cell 3: A shirt is not a shoe.",
        "cell 3: Two boots.",
    ):
        assert lines.count(expected) == 1
    assert not any("chapter $3$" in line or "the same" in line for line in lines)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (
            ["02", "COLOUR=3"],
            "COLOUR is not a parameter of this chapter; it has DATA, NETWORK, SEED",
        ),
        (["02", "DATA=nowhere"], "nowhere: neither a folder below"),
        (["99", "DATA=nowhere"], "there is no chapter 99; there are"),
    ],
)
def test_what_does_not_exist_is_reported_before_anything_runs(
    arguments, error, capsys, monkeypatch
):
    """Oracle: the exit code and the line."""
    monkeypatch.setattr(adapt, "Runner", lambda *_, **__: pytest.fail("it runs"))
    assert adapt.main(arguments) == 1
    assert capsys.readouterr().err.startswith(f"make adapt: {error}")


def test_a_notebook_without_parameters_is_refused():
    """Oracle: the words."""
    with pytest.raises(BookError, match="no cell with the tag `parameters`"):
        adapt.with_parameters(stored(new_code_cell("1")), {"SEED": "3"})


@pytest.mark.parametrize(("chapter", "given"), [("02", {}), ("08", {"STEPS": "25"}), ("10", {})])
def test_a_chapter_runs_on_other_data_and_tells_what_moved(chapter, given, bars, monkeypatch):
    """Oracle: no cell raises; the first accuracy of the tables is not the stored one."""
    kept = SimpleNamespace()
    monkeypatch.setattr(
        adapt, "as_text", lambda found, notebook: setattr(kept, "found", found) or ""
    )
    adapt.adapt(chapter, {"DATA": str(bars), **given})
    assert [one.error for one in kept.found if one.error] == []
    assert sum(bool(one.moved) for one in kept.found) > 5
    assert any(one.sentences for one in kept.found)


def test_a_chapter_without_networks_for_its_data_says_how_to_get_them(tmp_path, capsys):
    """Oracle: the one line, which names the chapter; the cells after the first error do not run."""
    write_bars(mine := tmp_path / "mine", n_train=60, n_test=20)
    assert adapt.main(["02", f"DATA={mine}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"make adapt: lenet300 was not trained on {mine}, but on FashionMNIST")
    assert line.endswith(f"`make retrain DATA={mine} CHAPTER=02` trains all that it needs")
