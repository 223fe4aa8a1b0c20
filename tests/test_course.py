"""The course: chapters' needs, syllabi, misconceptions, and the bank of exam questions."""

import doctest
import json
import re
from pathlib import Path

import nbformat
import pytest

from book_tools.notebooks import printed
from book_tools.pages import graph, heads, record, status, teaching
from book_tools.pages.exercises import listed

ROOT = Path(__file__).parents[1]
HEADS = heads.heads()
COURSE = teaching.course()
BANK = ROOT / "instructors" / "questions"
SYLLABI = {syllabus["name"]: syllabus["sessions"] for syllabus in COURSE["syllabi"]}
EXERCISES = {label: head.number for head in HEADS.values() for label in head.exercises}


def text_of(head):
    """Return what a reader sees of a chapter: its text, and what its cells print."""
    return head.markdown + "\n".join(map(printed, head.notebook.cells))


# -- needs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", HEADS.values(), ids=lambda head: head.number)
def test_a_chapter_needs_earlier_ones_and_states_goals_and_times(head):
    """Oracle: the order of the chapters; the first cell as a person reads it."""
    assert all(need < head.number for need in [*head.needs, *head.uses])
    assert len(head.goals) >= 4
    assert 10 <= head.minutes <= 45
    first = head.notebook.cells[0].source
    assert set(head.needs + head.uses) == set(re.findall(r"\]\((\d\d)_", first))


def test_the_arrows_of_the_picture_imply_all_needs_and_no_others():
    """Oracle: paths along the arrows, followed one by one, against the needs that cells state."""
    arrows = heads.direct(HEADS)
    before = {number: {n for n, m in arrows if m == number} for number in HEADS}
    for _ in HEADS:
        before = {k: v.union(*(before[n] for n in v)) for k, v in before.items()}
    stated = {number: set(head.needs) for number, head in HEADS.items()}
    for _ in HEADS:
        stated = {k: v.union(*(stated[n] for n in v)) for k, v in stated.items()}
    assert before == stated
    assert graph.drawn(HEADS).count("stroke-width") == len(arrows)
    assert all(
        need in graph.described(HEADS)
        for need in ("09 needs 08", "01 and 22 need no other chapter")
    )


# -- syllabi ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SYLLABI)
def test_a_syllabus_reads_no_chapter_before_what_it_needs(name):
    """Oracle: the needs that the chapters state, in the order in which learners meet chapters."""
    met: list[str] = []
    for session in SYLLABI[name]:
        for number in [*session["read"], *session["teach"]]:
            assert number not in met, f"{number} comes twice"
            assert set(HEADS[number].needs) <= {*met}, (
                f"{session['title']}: {number} comes too early"
            )
            met.append(number)
        used = {EXERCISES[label] for label in [*session["exercises"], *session["homework"]]}
        assert used <= {*session["read"], *session["teach"]}, session["title"]


def test_syllabi_have_the_promised_sessions_and_give_exercises_once():
    """Oracle: counts; the last syllabus covers every chapter."""
    assert [len(sessions) for sessions in SYLLABI.values()] == [3, 6, 12]
    for sessions in SYLLABI.values():
        labels = [x for s in sessions for x in [*s["exercises"], *s["homework"]]]
        assert len(labels) == len(set(labels))
        assert len({sum(s["plan"].values()) for s in sessions}) == 1, "sessions of one length"
    *_, whole = SYLLABI.values()
    assert [n for session in whole for n in session["teach"]] == [*HEADS]
    shortest = {"01", "02", "10", "11", "13"}
    assert heads.required(HEADS)["17"] - shortest == {"03", "07", "14", "16"}, "the text says so"


@pytest.mark.parametrize("name", SYLLABI)
def test_exercises_in_class_leave_time_to_go_over_the_answers(name):
    """Oracle: the minutes of each exercise's notes, added up."""
    minutes = {f"ex-{one.name}": one.minutes for one in listed()}
    for session in SYLLABI[name]:
        planned, needed = session["plan"]["exercises"], sum(map(minutes.get, session["exercises"]))
        assert planned / 2 <= needed <= planned * 7 / 8, f"{session['title']}: {needed} minutes"


# -- misconceptions --------------------------------------------------------------------------------


@pytest.mark.parametrize("number", HEADS)
def test_each_chapter_has_three_misconceptions_that_it_refutes(number):
    """Oracle: the labels of the notebook, its figures and its headings."""
    found, head = COURSE["misconceptions"][number], HEADS[number]
    assert len(found) >= 3
    assert len({entry["at"] for entry in found}) == len(found), "each at a place of its own"
    labels = json.dumps(head.notebook)
    for entry in found:
        place = teaching.place(entry["at"], head)
        assert entry["at"] in labels or place.startswith("[")


# -- questions -------------------------------------------------------------------------------------

QUESTION = re.compile(
    r"^## (\d\d)\.(\d+) (Recall|Compute|Explain|Critique) · (\d+) minutes · (.+)\n", re.MULTILINE
)


def questions(number):
    """Return the questions of a chapter: kind, minutes, section, text, answer."""
    parts = QUESTION.split((BANK / f"{number}.md").read_text("utf-8"))
    for given, count, kind, minutes, section, body in zip(
        *(parts[i::6] for i in range(1, 7)), strict=True
    ):
        asked, _, answer = body.partition("**Answer.**")
        yield given, int(count), kind, int(minutes), section, asked.strip(), answer.strip()


@pytest.mark.parametrize("number", HEADS)
def test_a_chapter_has_eight_questions_of_four_kinds_on_its_sections(number):
    """Oracle: the headings of the chapter."""
    found = [*questions(number)]
    text = (BANK / f"{number}.md").read_text("utf-8")
    assert text.startswith(f"# Questions on {number} {HEADS[number].title}\n")
    assert len(found) >= 8
    assert text.count("\n## ") == len(found) == text.count("**Answer.**")
    assert [count for _, count, *_ in found] == [*range(1, len(found) + 1)]
    assert {kind for _, _, kind, *_ in found} == {"Recall", "Compute", "Explain", "Critique"}
    sections = re.findall(r"^#{2,3} (.+)$", HEADS[number].markdown, re.MULTILINE)
    for given, _, kind, minutes, section, asked, answer in found:
        assert given == number
        assert section in sections
        assert 2 <= minutes <= 10
        assert asked
        assert answer
        assert kind != "Compute" or ">>>" in answer, "a computed answer stands beside its program"


@pytest.mark.parametrize("number", HEADS)
def test_computed_answers_are_right(number):
    """Oracle: Python, which runs the lines beside the answers."""
    result = doctest.testfile(str(BANK / f"{number}.md"), module_relative=False)
    assert result.attempted >= 3
    assert result.failed == 0


NUMBER = re.compile(r"\d+(?:[,.]\d+)*")


@pytest.mark.parametrize("number", HEADS)
def test_numbers_of_an_answer_are_computed_asked_or_stand_in_the_chapter(number):
    """Oracle: what the program beside the answer prints, the question, and the chapter."""
    known = set(NUMBER.findall(text_of(HEADS[number])))
    for _, count, _, _, _, asked, answer in questions(number):
        told, _, program = answer.partition(">>>")
        values = {*known, *NUMBER.findall(asked)}
        computed = {float(x) for x in NUMBER.findall(program.replace("_", "")) if "," not in x}
        for found in NUMBER.findall(told):
            value = float(found.replace(",", ""))
            near = (abs(value - c) <= 0.005 * c for x in computed for c in (x, 100 * x))
            given = found in values or value in computed or any(near)
            assert given, f"{number}.{count}: {found} is not known"


# -- the seven questions ---------------------------------------------------------------------------

FAQ = re.findall(
    r"^## (.+)\n([^#]+?)\{ref\}`[^`<]+<(sec-questions-[\w-]+)>`\.$",
    (ROOT / "chapters" / "faq.md").read_text("utf-8"),
    re.MULTILINE,
)


def section_of(label):
    """Return the text and the printed output of the section of chapter 22 with this label."""
    cells = HEADS["22"].notebook.cells
    text = "\n".join(c.source if c.cell_type == "markdown" else printed(c) for c in cells)
    return re.split(r"^\(sec-", text.partition(f"({label})=")[2], maxsplit=1, flags=re.M)[0]


def test_the_seven_questions_are_answered_in_the_order_of_the_chapter():
    """Oracle: the headings of chapter 22."""
    labels = re.findall(r"^\((sec-questions-\w+)\)=\n### \d\. ", HEADS["22"].markdown, re.MULTILINE)
    assert [label for *_, label in FAQ] == labels
    assert len(labels) == 7


@pytest.mark.parametrize(("question", "answer", "label"), FAQ, ids=[label for *_, label in FAQ])
def test_numbers_of_an_answer_stand_in_the_section_that_it_names(question, answer, label):
    """Oracle: what the section says and what its cells print."""
    names = re.compile(r"LeNet-\S+|MXFP4|NVFP4|float32")
    known = set(NUMBER.findall(names.sub("", section_of(label))))
    asked = NUMBER.findall(names.sub("", answer))
    assert [x for x in asked if x not in known] == [], question


# -- status ----------------------------------------------------------------------------------------


def test_the_status_counts_what_the_notebooks_hold(monkeypatch):
    """Oracle: nbformat's reading of the notebooks, added up; a chapter without a measurement."""
    (text,) = status.pages().values()
    rows = re.findall(r"^\| (\[\d\d [^|]+|together) \|(.+)\|$", text, re.MULTILINE)
    counts = [[x.strip() for x in row.split("|")] for _, row in rows]
    found = [nbformat.read(head.file, as_version=4).cells for head in HEADS.values()]
    code = [[c for c in cells if c.cell_type == "code"] for cells in found]
    assert [int(row[1]) for row in counts[:-1]] == [len(cells) for cells in code]
    whole = sum(len(c.outputs) > 0 for cells in code for c in cells)
    assert int(counts[-1][2].replace(",", "")) == whole
    empty = {"chapters": {}, "mutants": {}}
    monkeypatch.setattr("book_tools.pages.record.read_record", lambda: empty)
    assert record.seconds("02_min_max_rounding") == "–"


def test_a_measurement_is_kept_beside_the_others(monkeypatch, tmp_path):
    """Oracle: a notebook that works until its processor time is 1.5 s."""
    monkeypatch.setattr(record, "RECORD", tmp_path / "status.json")
    record.RECORD.write_text('{"chapters": {"old": {"seconds": 3.0}}, "mutants": {}}')
    work = "import time\nwhile time.process_time() < 1.5: pass"
    cells = [nbformat.v4.new_code_cell(work, id="a")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "new.ipynb")
    record.measure([tmp_path / "new.ipynb"])
    kept = record.read_record()["chapters"]
    assert [*kept] == ["new", "old"]
    assert 1.4 < kept["new"]["seconds"] < 10
    assert {"date", "device", "python", "torch"} <= kept["new"].keys()
