"""What a chapter's first cell sets, and that a bad argument sets nothing."""

import random
import warnings
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell

from reference_impl.notebook import Table, begin


@pytest.fixture(autouse=True)
def everything_is_put_back(monkeypatch):
    monkeypatch.delenv("REFERENCE_IMPL_THREADS", raising=False)
    threads, torchs = torch.get_num_threads(), torch.get_rng_state()
    pythons, numpys = random.getstate(), np.random.get_state()  # noqa: NPY002 — what begin seeds
    with warnings.catch_warnings(), mpl.rc_context():
        yield
    torch.set_num_threads(threads)
    torch.set_rng_state(torchs)
    random.setstate(pythons)
    np.random.set_state(numpys)  # noqa: NPY002


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002


def test_one_seed_gives_one_sequence_from_each_generator():
    """Oracle: draws from Python's, NumPy's and torch's generators after another call."""

    def after(*seed: int) -> tuple[float, float, float]:
        begin(*seed)
        return draws()

    first = after(3)
    assert all(new != old for new, old in zip(after(4), first, strict=True))
    assert after(np.int64(3)) == first
    assert after() == after(0)


def test_figures_get_the_books_style_and_one_thread_unless_the_variable_says_more(monkeypatch):
    """Oracle: a setting that makes SVG repeatable, which matplotlib leaves empty; torch's count."""
    mpl.rcParams["svg.hashsalt"] = None
    monkeypatch.setenv("REFERENCE_IMPL_THREADS", "2")
    begin()
    assert mpl.rcParams["svg.hashsalt"] == "reference_impl"
    assert torch.get_num_threads() == 2
    monkeypatch.delenv("REFERENCE_IMPL_THREADS")
    begin()
    assert torch.get_num_threads() == 1


def test_warnings_become_errors_but_for_ipykernels():
    """Oracle: a warning of each kind of module, with all filters removed before."""
    warnings.resetwarnings()
    begin()
    with pytest.raises(DeprecationWarning, match="old"):
        warnings.warn_explicit("old", DeprecationWarning, "x.py", 1, module="torch.nn")
    with warnings.catch_warnings(record=True) as seen:
        warnings.warn_explicit("late", RuntimeWarning, "x.py", 1, module="ipykernel.kernelbase")
    assert [str(one.message) for one in seen] == ["late"]


@pytest.mark.parametrize(
    ("seed", "threads"),
    [(seed, "1") for seed in (-1, 2**32, 1.0, True)]
    + [(1, threads) for threads in ("", "0", "-1", "1.5", "two", "²", "٣", "1025", "1" * 5000)],
)
def test_a_bad_seed_or_number_of_threads_is_named_and_sets_nothing(seed, threads, monkeypatch):
    """Oracle: the message, and the state of torch's generator and threads before."""
    monkeypatch.setenv("REFERENCE_IMPL_THREADS", threads)
    torch.set_num_threads(2)
    before = torch.get_rng_state()
    with pytest.raises((TypeError, ValueError), match=r"(seed|THREADS) must be (in|an integer)"):
        begin(seed)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == 2


def test_a_table_is_html_with_heads_and_its_cells_are_text():
    """Oracle: an XML parser of the standard library; a cell with markup in it."""
    table = Table(["step", "bytes < 5"], [["a & b", "1"], ["<b>", "20"]])
    root = ElementTree.fromstring(table._repr_html_())
    assert [cell.text for cell in root.iter("th")] == ["step", "bytes < 5", "a & b", "<b>"]
    assert [cell.get("scope") for cell in root.iter("th")] == ["col", "col", "row", "row"]
    assert [cell.text for cell in root.iter("td")] == ["1", "20"]
    assert repr(table) == "step   bytes < 5\na & b          1\n<b>           20"
    with pytest.raises(ValueError, match="rows must have 2 cells, got"):
        Table(["step", "bytes"], [["a"]])


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("-1.5 ± 0.2", "−1.5 ± 0.2"),
        ("-0.0 ± 0.2", "0.0 ± 0.2"),
        ("-0.00", "0.00"),
        ("(-0)", "(0)"),
        ("-0.01", "−0.01"),
        ("-.5", "−.5"),
        ("LeNet-300-100", "LeNet-300-100"),
        ("2-5", "2-5"),
        ("1e-05", "1e-05"),
        ("256-0.5", "256-0.5"),
    ],
)
def test_a_minus_in_a_table_is_a_minus_sign_and_zero_has_none(cell, shown):
    html = Table(["", "x"], [["a", cell]])._repr_html_()
    assert f">{shown}</td>" in html


def test_columns_of_words_stand_left_and_columns_of_numbers_right():
    table = Table(["", "limit", "time"], [["a", "memory", "1"], ["b", "sums", "20"]])
    assert repr(table) == "   limit   time\na  memory     1\nb  sums      20"
    rows = ElementTree.fromstring(table._repr_html_()).iter("tr")
    styles = [[cell.get("style") for cell in row][1:] for row in rows]
    assert styles == [[None, "text-align: right"]] * 3


@pytest.fixture
def shell(monkeypatch):
    """Return a shell such as a notebook has."""
    made = InteractiveShell()
    monkeypatch.setattr("IPython.get_ipython", lambda: made)
    return made


@pytest.mark.parametrize("data", [None, "FashionMNIST"])
def test_on_its_own_data_a_sentence_that_does_not_hold_stops_a_notebook(shell, data):
    """Oracle: the error of the cell."""
    begin(data=data)
    assert isinstance(shell.run_cell("assert 1 > 2, 'One is more.'").error_in_exec, AssertionError)


def test_on_other_data_a_sentence_that_does_not_hold_is_printed(shell, capsys, tmp_path):
    """Oracle: the lines printed, a sentence each; what follows in the cell runs."""
    for _ in range(2):  # a cell may be run again
        begin(data=tmp_path)
    cell = "assert 1 > 2, f'One is {1:.1f}.'\nassert 2 > 1, 'Two is more.'\nassert not 3\ny = 4"
    assert shell.run_cell(cell).success
    lines = ["this sentence needs a look: One is 1.0.", "this sentence needs a look: not 3"]
    assert capsys.readouterr().out.splitlines() == lines
    assert shell.user_ns["y"] == 4


def test_a_data_set_that_does_not_exist_is_refused_and_sets_nothing():
    """Oracle: the state of torch's generator before."""
    before = torch.get_rng_state()
    with pytest.raises(FileNotFoundError, match="nowhere: neither"):
        begin(1, data="nowhere")
    assert torch.equal(torch.get_rng_state(), before)
