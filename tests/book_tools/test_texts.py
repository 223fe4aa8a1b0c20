"""The rules of printed text, against hand-made pairs and generated numbers."""

import doctest
from decimal import Decimal
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from book_tools.comparing import svg_values, texts, tokens
from book_tools.comparing.texts import html_difference, text_difference
from book_tools.comparing.tokens import Kind, tokenize

SAME = [
    ("0.52", "0.53"),
    ("0.99", "1.00"),
    ("9.99", "10.00"),
    ("[ 9.99 1.00]", "[10.00 1.00]"),
    ("-0.00", "0.00"),
    ("-0.01", "0.00"),
    ("\N{MINUS SIGN}0.50", "-0.51"),
    ("+0.00", "-0.01"),
    ("a  \nb", "a\nb\n"),
    ("a   b", "a b"),
    ("9.99e-07", "1.00e-06"),
    ("9e-07", "1e-06"),
    ("9.99e+99", "1.00e+100"),
    ("999.9", "1,000.0"),
    ("88.3 ± 0.6 %", "88.9 ± 0.3 %"),
    ("88.3 +/- 0.6 %", "87.7 +/- 1.2 %"),
    (r"$88.3 \pm 0.6$", r"$88.8 \pm 0.6$"),
    ("88 ± 2", "90 ± 1"),
    ("1.2e-03 ± 1e-04", "1.3e-03 ± 2e-04"),
    ("3.50GB", "3.51GB"),
    ("1.52×", "1.53×"),
    ("nan inf -inf", "nan inf -inf"),
    (".50", ".51"),
    ("-0", "0"),
    ("σ=0.50", "σ=0.49"),
    ("(x)-0.50", "(x)-0.51"),
]

DIFFERENT = [
    ("0.52", "0.54"),
    ("0.52", "0.520"),
    ("0.52", "-0.52"),
    ("0.01", "-0.01"),
    ("3", "4"),
    ("3", "3.0"),
    ("-3", "3"),
    ("007", "7"),
    ("1.", "2."),
    ("tensor([1., 2.])", "tensor([2., 2.])"),
    ("1,234", "1,235"),
    ("1,234.5", "1234.5"),
    ("1e-07", "1e-06"),
    ("1e-06", "1e+06"),
    ("0.1", "1e-1"),
    ("1e-06", "1E-06"),
    ("0.1", "nan"),
    ("nan", "inf"),
    ("inf", "-inf"),
    ("conv1", "conv2"),
    ("conv1.0.weight", "conv1.1.weight"),
    ("W4A4", "W4A8"),
    ("3e5f", "3e6f"),
    ("28x28", "28x29"),
    ("1.2.3", "1.2.4"),
    ("v2.14.1", "v2.14.2"),
    ("accuracy", "Accuracy"),
    ("a b", "ab"),
    ("acc: 0.52", "acc:0.52"),
    ("a\nb", "a b"),
    ("a\n\nb", "a\nb"),
    ("+0.50", "0.50"),
    ("x-1", "x+1"),
    ("x - 1", "x -1"),
    ("88.3 ± 0.6", "89.0 ± 0.6"),
    ("88.3 ± 0.6", "88.3 ± 0.2"),
    ("88.3 ± 0.6", "88.3 ± 1.3"),
    ("88.3 ± 0.6", "88.3"),
    ("88.3 ± 0.6 %", "88.3 ± 0.6"),
    ("88.3 ± 0.6", "88.30 ± 0.60"),
    ("88.3 ± 0.0", "88.4 ± 0.0"),
    ("0.5 0.7", "0.7 0.5"),
    ("0.5", "0.5 0.5"),
    ("<= 3", ">= 3"),
    ("True", "False"),
]


@pytest.mark.parametrize(("stored", "fresh"), SAME)
def test_the_same_text_passes_in_both_directions(stored: str, fresh: str) -> None:
    """Oracle: pairs made by hand from the rules of the design."""
    assert text_difference(stored, fresh) is None
    if "±" not in stored and "+/-" not in stored:
        assert text_difference(fresh, stored) is None


@pytest.mark.parametrize(("stored", "fresh"), DIFFERENT)
def test_another_text_fails_in_both_directions(stored: str, fresh: str) -> None:
    """Oracle: pairs made by hand from the rules of the design."""
    assert text_difference(stored, fresh)
    assert text_difference(fresh, stored)


def test_the_message_names_line_token_and_rule() -> None:
    """Oracle: the sentence that a reader needs, written down."""
    assert text_difference("a\nb 3", "a\nb 4") == (
        "line 2: stored '3', got '4': integers agree exactly"
    )
    assert text_difference("a", "a b") == "line 1: stored nothing, got 'b': one of them ends here"


@pytest.mark.parametrize(
    ("stored", "fresh", "same"),
    [
        ("<td>1.50</td>", "<td>1.51</td>", True),
        ("<td>1.50</td>", "<td>1.52</td>", False),
        ('<td class="a1">x</td>', '<td class="a2">x</td>', False),
        ("<td>a &lt; b</td>", "<td>a &#60; b</td>", True),
        ("<td>a</td><td>b</td>", "<td>b</td><td>a</td>", False),
        ("<td>a</td>", "<td>a</td><td></td>", False),
        ('<img alt="x > 1" src="a">', '<img alt="x > 2" src="a">', False),
        ("<!-- 1.50 -->", "<!-- 1.51 -->", False),
    ],
)
def test_html_compares_tags_exactly_and_text_as_text(stored: str, fresh: str, same: bool) -> None:
    """Oracle: pairs made by hand."""
    assert (html_difference(stored, fresh) is None) is same


@given(st.text())
def test_every_text_agrees_with_itself(text: str) -> None:
    """Oracle: reflexivity."""
    assert text_difference(text, text) is None
    assert html_difference(text, text) is None


@given(st.text())
def test_tokens_lose_nothing_but_white_space(text: str) -> None:
    """Oracle: the characters of the text itself."""
    kept = "".join(token.text for token in tokenize(text) if token.kind is not Kind.MEASURE)
    if not any(token.kind is Kind.MEASURE for token in tokenize(text)):
        expected = "".join(c for c in text if c == "\n" or not c.isspace())
        assert kept.replace("\N{MINUS SIGN}", "-") == expected.replace("\N{MINUS SIGN}", "-")


digits = st.integers(-(10**9), 10**9)


@given(digits, st.integers(1, 8), st.sampled_from([-1, 0, 1]))
def test_one_unit_in_the_last_digit_passes(value: int, decimals: int, step: int) -> None:
    """Oracle: integer arithmetic on the digits."""
    old, new = (f"{Decimal(v).scaleb(-decimals):.{decimals}f}" for v in (value, value + step))
    assert text_difference(f"x = {old} m", f"x = {new} m") is None


@given(digits, st.integers(1, 8), st.integers(2, 10**6), st.sampled_from([-1, 1]))
def test_two_units_in_the_last_digit_fail(value: int, decimals: int, step: int, sign: int) -> None:
    """Oracle: integer arithmetic on the digits."""
    other = value + sign * step
    old, new = (f"{Decimal(v).scaleb(-decimals):.{decimals}f}" for v in (value, other))
    assert text_difference(f"x = {old} m", f"x = {new} m")


@given(digits, st.integers(-10, 10), st.integers(1, 9))
def test_a_measure_passes_exactly_within_its_stored_margin(x: int, step: int, margin: int) -> None:
    """Oracle: |step| ≤ margin in integers."""
    stored, fresh = f"{x} ± {margin}", f"{x + step} ± {margin}"
    assert (text_difference(stored, fresh) is None) is (abs(step) <= margin)


@given(st.floats(1e-200, 1e200), st.integers(0, 6))
def test_an_exponent_form_agrees_with_itself_and_not_with_ten_times_it(
    value: float, decimals: int
) -> None:
    """Oracle: the value times ten."""
    stored = f"{value:.{decimals}e}"
    assert text_difference(stored, stored) is None
    assert text_difference(stored, f"{value * 10:.{decimals}e}")


@pytest.mark.parametrize("module", [svg_values, texts, tokens])
def test_examples_in_docstrings_hold(module: ModuleType) -> None:
    """Oracle: the printed examples."""
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
