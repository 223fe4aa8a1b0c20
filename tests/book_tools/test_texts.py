"""The rules of printed text, against pairs made by hand from the design and generated numbers."""

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from book_tools.comparing.screens import visible
from book_tools.comparing.texts import html_difference, text_difference
from book_tools.comparing.tokens import tokenize
from book_tools.comparing.tolerances import Tolerances


def pairs(table: str) -> list[tuple[str, ...]]:
    """Read ``stored | fresh`` pairs, which stand two or more spaces apart."""
    return [tuple(pair.split(" | ")) for pair in re.split(r"\s{2,}|\n", table.strip())]


SAME = [
    *pairs(r"""
        0.52 | 0.53           0.99 | 1.00           9.99 | 10.00         -0.00 | 0.00
        -0.01 | 0.00          −0.50 | -0.51         +0.00 | -0.01        .50 | .51
        9.99e-07 | 1.00e-06   9e-07 | 1e-06         9.99e−07 | 1.00e−06  9.99e+99 | 1.00e+100
        999.9 | 1,000.0       3.50GB | 3.51GB       1.52× | 1.53×        nan inf -inf | nan inf -inf
        -0 | 0                σ=0.50 | σ=0.49       (x)-0.50 | (x)-0.51  [9.99 1.00] | [10.00 1.00]
        88.3 ± 0.6 % | 88.9 ± 0.3 %                 88.3 +/- 0.6 % | 87.7 +/- 1.2 %
        $88.3 \pm 0.6$ | $88.8 \pm 0.6$             88 ± 2 | 90 ± 1
        1.2e-03 ± 1e-04 | 1.3e-03 ± 2e-04
    """),
    ("[ 9.99 1.00]", "[10.00 1.00]"),
    ("a  \nb", "a\nb\n"),
    ("a   b", "a b"),
    ("999.9", "1\N{THIN SPACE}000.0"),
]
DIFFERENT = [
    *pairs("""
        0.52 | 0.54     0.52 | 0.520    0.52 | -0.52     0.01 | -0.01    3 | 4         3 | 3.0
        -3 | 3          007 | 7         1. | 2.          1,234 | 1,235   1e-07 | 1e-06
        1e-06 | 1e+06   0.1 | 1e-1      1e-06 | 1E-06    0.1 | nan       nan | inf     inf | -inf
        W4A4 | W4A8     3e5f | 3e6f     28x28 | 28x29    1.2.3 | 1.2.4   x-1 | x+1     a b | ab
        conv1 | conv2   +0.50 | 0.50    x - 1 | x -1     <= 3 | >= 3     True | False  0.5 | 0.5 0.5
        1,234.5 | 1234.5                accuracy | Accuracy              v2.14.1 | v2.14.2
        conv1.0.weight | conv1.1.weight                  acc: 0.52 | acc:0.52
        tensor([1., 2.]) | tensor([2., 2.])              0.5 0.7 | 0.7 0.5
        88.3 ± 0.6 | 89.0 ± 0.6         88.3 ± 0.6 | 88.3 ± 0.2          88.3 ± 0.6 | 88.3 ± 1.3
        88.3 ± 0.6 | 88.3               88.3 ± 0.6 % | 88.3 ± 0.6        88.3 ± 0.0 | 88.4 ± 0.0
        88.3 ± 0.6 | 88.30 ± 0.60
    """),
    ("a\nb", "a b"),
    ("a\n\nb", "a\nb"),
]


@pytest.mark.parametrize("colour", ["{}", "\x1b[1;31m{}\x1b[0m"])
@pytest.mark.parametrize("pair", [*SAME, *DIFFERENT])
def test_texts_agree_in_both_directions_and_in_any_colour(pair, colour):
    """Oracle: the tables; a measure has the margin of the stored one."""
    stored, fresh = map(colour.format, pair)
    same = pair in SAME
    assert (text_difference(stored, fresh) is None) is same
    if not same or not re.search(r"±|\+/-", stored):
        assert (text_difference(fresh, stored) is None) is same


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("10 %\r100 %", "100 %"),
        ("abc\rx", "xbc"),
        ("99 %\r\x1b[Kdone", "done"),
        ("abcd\b\b\x1b[1KZ", "  Zd"),
        ("abc\x1b[2K\rx", "x"),
        ("abc\r\nx", "abc\nx"),
        ("abx\bc", "abc"),
        ("\x1b]8;;https://a.org\x1b\\link\x1b]8;;\x07 \x1b(Bx\x1b[?25l", "link x"),
        ("0.5\N{ZERO WIDTH SPACE}2, e\N{COMBINING ACUTE ACCENT}", "0.52, é"),
    ],
)
def test_what_remains_on_the_screen_is_compared(printed, shown):
    """Oracle: what xterm shows."""
    assert visible(printed) == shown
    assert text_difference(printed, shown) is None


def test_the_message_names_line_token_and_rule():
    """Oracle: the sentence that a reader needs, written down."""
    told = "line 2: stored '3', got '4': integers agree exactly"
    assert text_difference("a\nb 3", "a\nb 4") == told
    assert text_difference("a", "a b") == "line 1: stored nothing, got 'b': one of them ends here"


@pytest.mark.parametrize(
    ("stored", "fresh", "same"),
    [
        ("<td>1.50</td>", "<td>1.51</td>", True),
        ("<td>1.50</td>", "<td>1.52</td>", False),
        ('<td class="a1">x</td>', '<td class="a2">x</td>', False),
        ("<td>a &lt; &minus;1.50</td>", "<td>a &#60; -1.51</td>", True),
        ("<i>8&nbsp;&plusmn;&nbsp;2</i>", "<i>9 ± 2</i>", True),
        ("<td>a</td><td>b</td>", "<td>b</td><td>a</td>", False),
        ("<td>a</td>", "<td>a</td><td></td>", False),
        ('<img alt="x > 1" src="a">', '<img alt="x > 2" src="a">', False),
        ("<!-- 1.50 -->", "<!-- 1.51 -->", False),
        ("<b>1</b> 2", "1 <b>2</b>", False),
    ],
)
def test_html_compares_tags_exactly_and_text_as_text(stored, fresh, same):
    """Oracle: pairs made by hand."""
    assert (html_difference(stored, fresh) is None) is same


TABLE = "student    test, %    loss\n\nalone        87.5    0.36\n"
HTML = (
    '<table><tr><th scope="col">student</th><th>test,<br>%</th><th colspan="2">loss</th></tr>'
    "<tr><th>alone</th><td>87.5</td><td>7</td><td>0.36</td></tr></table><p>0.36</p>"
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("test accuracy: 87.5 % (loss 0.36)", "accuracy"),
        ("test accuracy: 87.5 % (loss 0.36)", "test accuracy"),
        ("accuracy (%) = 87.5 ± 0.3; loss 0.36", "accuracy (%)"),
        ("LeNet-300-100  87.5  87.9 0.36", "LeNet-300-100"),
        (TABLE.replace("\n\n", "\n"), "test, %"),
        (HTML, "test, %"),
    ],
)
@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("87.5", "87.8", True),
        ("87.5", "87.2", True),
        ("87.5", "87.9", False),
        ("87.5", "87.50", False),
        ("87.5", "nan", False),
        ("0.36", "0.39", False),
        ("87.9", "88.2", False),
    ],
)
def test_a_tolerance_moves_the_number_of_its_name_and_no_other(text, name, old, new, same):
    """Oracle: a tolerance of 0.3 and the words or the head of the column by hand."""
    difference = html_difference if text == HTML else text_difference
    changed = text.replace(old, new)
    assert (difference(text, changed, Tolerances({name: 0.3})) is None) is (same or changed == text)


@pytest.mark.parametrize(
    "text", ["accuracies 87.5", "accuracy of LeNet 87.5", "87.5 accuracy", TABLE]
)
def test_a_number_without_the_name_is_compared_by_its_digits(text):
    """Oracle: other words, and a column that an empty line separates from its head."""
    tolerances = Tolerances({"accuracy": 0.3, "test, %": 0.3})
    assert text_difference(text, text.replace("87.5", "87.7"), tolerances)
    assert tolerances.unprinted == {"accuracy", "test, %"}


def test_both_numbers_of_an_interval_move_by_its_tolerance_and_the_longer_name_decides():
    """Oracle: by hand."""
    tolerances = Tolerances({"accuracy": 0.3, "test accuracy": 3})
    for name, new, same in (
        ("accuracy", "88.6 ± 0.9", True),
        ("accuracy", "88.3 ± 1.0", False),
        ("test accuracy", "91 ± 3.6", False),
        ("test accuracy", "91.3 ± 3.6", True),
    ):
        stored, fresh = (f"{name} {value}" for value in ("88.3 ± 0.6", new))
        assert (text_difference(stored, fresh, tolerances) is None) is same
    assert text_difference("misses 999", "misses 1,002", Tolerances({"misses": 3})) is None


@given(st.text())
def test_every_text_agrees_with_itself(text):
    """Oracle: reflexivity."""
    assert text_difference(text, text) is None
    assert html_difference(text, text) is None


@given(st.text())
def test_tokens_lose_nothing_but_white_space(text):
    """Oracle: the characters of the text itself."""
    kept = "".join(text[slice(*token.span)] for token in tokenize(text))
    assert "".join(kept.split()) == "".join(text.split())


digits = st.integers(-(10**9), 10**9)
steps = st.integers(-3, 3) | st.integers(-(10**6), 10**6)


@given(digits, st.integers(1, 8), steps)
def test_one_unit_in_the_last_digit_passes_and_two_fail(value, decimals, step):
    """Oracle: integer arithmetic on the digits."""
    old, new = (f"{Decimal(v).scaleb(-decimals):.{decimals}f}" for v in (value, value + step))
    assert (text_difference(f"x = {old} m", f"x = {new} m") is None) is (abs(step) <= 1)


@given(digits, st.integers(-10, 10), st.integers(1, 9))
def test_a_measure_passes_exactly_within_its_stored_margin(x, step, margin):
    """Oracle: |step| ≤ margin in integers."""
    stored, fresh = f"{x} ± {margin}", f"{x + step} ± {margin}"
    assert (text_difference(stored, fresh) is None) is (abs(step) <= margin)


@given(digits, st.integers(1, 8), steps, st.integers(1, 100))
def test_a_tolerance_passes_exactly_within_itself(value, decimals, step, limit):
    """Oracle: |step| ≤ limit in integers."""
    values = (value, value + step, limit)
    old, new, bound = (f"{Decimal(v).scaleb(-decimals):.{decimals}f}" for v in values)
    found = text_difference(f"x {old}", f"x {new}", Tolerances({"x": float(bound)}))
    assert (found is None) is (abs(step) <= limit)


@given(st.floats(1e-200, 1e200), st.integers(0, 6))
def test_an_exponent_form_agrees_with_itself_and_not_with_ten_times_it(value, decimals):
    """Oracle: the value times ten."""
    stored = f"{value:.{decimals}e}"
    assert text_difference(stored, stored) is None
    assert text_difference(stored, f"{value * 10:.{decimals}e}")
