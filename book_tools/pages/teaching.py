"""The page for instructors, from the chapters' first cells and ``instructors/course.toml``."""

import re
import tomllib
from pathlib import Path
from typing import Any

from book_tools.failures import BookError
from book_tools.files import ROOT
from book_tools.pages.graph import described, drawn
from book_tools.pages.heads import Head, heads
from book_tools.pages.record import read_record, seconds
from exercises.grading import SECONDS

COURSE = ROOT / "instructors" / "course.toml"
PICTURE = "chapters.svg"  #: in ``_static``

_TOP = """\
# Teaching with this course

Which chapter needs which, how long each takes, three syllabi, how to hand out and grade, and for
each chapter its goals and three misconceptions. Tests hold the syllabi to what the chapters need.

The repository has a bank of exam questions with answers, at least eight for each chapter, in
`instructors/questions/`. Editions for students leave this folder out, and so does this site.

## Which chapter needs which

```{{figure}} ../_static/{picture}
:name: fig-teaching-graph
:alt: {alt}
:figclass: chapter-graph

An arrow leads from a chapter to one that **needs** it. Arrows that follow from others are left out.
```

*Needs* are all chapters that a chapter's first cell names as needed. *Also uses*: one comparison,
or a link, for which the other chapter need not be read. *Time* is the processor time of a run, in
seconds ([measured](status.md)).

| chapter | needs | also uses | reading, minutes | time, s |
| --- | --- | --- | ---: | ---: |
"""
_SYLLABI = """
## Three syllabi

Every session names what learners read before it, what is taught, the minutes in the room, and the
exercises by name. Reading times are the chapters' own; the [list of exercises](exercises.md) has
minutes for each exercise. Those in class take less than the time planned for them: the rest is for
going over the answers.

Any other chapter fills a session of 90 minutes in the same way: a talk of 35 minutes, exercises for
40, and 15 to discuss the answers. Let learners read it before; take from the list of exercises
those whose minutes add up to 40 at most, and give the others as homework.
"""
_TIMES = [entry["seconds"] for entry in read_record()["chapters"].values()]
_MEAN = sum(_TIMES) / len(_TIMES)
_CLASS = 30  # students
_GRADE = f"""
(sec-teaching-grade)=
## Hand out, and grade

| command | what it makes |
| --- | --- |
| `make student CHAPTER="02 08"` | chapters without solutions, in `_build/student.zip` |
| `make chapter CHAPTER=15` | a chapter with its solutions, in a zip in `_build/chapters/` |
| `make slides CHAPTER=02` | slides of a chapter in `_build/slides/` |
| `python -m exercises grade FOLDER` | a table (CSV) of the answers in the files of a class |

Each zip holds the code and the data that its chapters need, and a `README.md` that says how to open
them. The last command needs the environment: `source .venv/bin/activate`. With `--output FILE` it
writes the table into a file. To run a chapter on other data, see {{doc}}`adapting`.

The edition without solutions holds the checkers, and these hold the expected numbers, readable in
`exercises/chapters/`. For graded work take questions from the bank.

In the slides, the right arrow leads to the next one. A chapter has more than a talk of 35 minutes
needs: choose sections by the headings, and skip what learners have read.

To grade, put the students' files or notebooks into one folder, or into a folder for each student.
In such a folder, only files that call `check` run, without the packages of the course. A notebook
runs as a whole, with the experiments of its chapter, but without the solutions that an edition may
hold. A statement that fails does not stop the others; lines with `%`, `!` or `?` are left out. If a
file answers an exercise more than once, the last answer counts; if a student has several files, the
better one does.

A chapter takes {_MEAN:.0f} seconds on average and {max(_TIMES):.0f} at most
([measured](status.md)), and as many files run at a time as the machine has processors: the
notebooks of {_CLASS} students, with one chapter each, take about {_CLASS * _MEAN / 2 / 60:.0f}
minutes on two processors, and {_CLASS * max(_TIMES) / 2 / 60:.0f} for the slowest chapter.
Each file runs in a process and an empty folder of its own, a notebook
for at most {SECONDS[".ipynb"]:g} seconds and a Python file for at most {SECONDS[".py"]:g};
`--seconds` sets another limit. It may write at most 10 MB into a file and, on Linux, hold 4 GB in
memory. Python refuses to let it write, make, move or delete files elsewhere. This protects you from
careless files, not from malicious ones.

What a file prints is not shown. The table has a row for each student, 1 for a right answer and 0
for a wrong one, the number of right answers as points, and a remark where a file could not be run
to its end, or wrote files.
"""
_GOALS = """
## Goals and misconceptions

The goals are those of each chapter's first cell. Each misconception leads to the place that refutes
it. Let learners commit to the belief first.
"""


def course() -> dict[str, Any]:
    """Return what ``instructors/course.toml`` holds."""
    return tomllib.loads(COURSE.read_text("utf-8"))


def slug(heading: str) -> str:
    """Return the anchor that a heading has on the site."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def place(at: str, head: Head) -> str:
    """Return a link to an exercise, a figure, an equation, a section or a heading of a chapter."""
    if at in head.exercises:
        return f"{{ref}}`{head.exercises[at]} <{at}>`"
    if at.startswith("fig-"):
        return f"{{numref}}`{at}`"
    if at.startswith("eq-"):
        return f"{{eq}}`{at}`"
    if at.startswith("sec-"):
        (heading,) = re.findall(rf"^\({at}\)=\n#+ (.+)$", head.markdown, re.MULTILINE)
        return f"{{ref}}`{heading} <{at}>`"
    if not re.search(rf"^#+ {re.escape(at)}$", head.markdown, re.MULTILINE):
        raise BookError(f"{head.file.name} has no heading {at!r}")
    return f"[{at}]({head.file.name}#{slug(at)})"


def _table(found: dict[str, Head]) -> str:
    rows = []
    for head in found.values():
        time = seconds(head.file.stem)
        needs, uses = (", ".join(sorted(n)) or "–" for n in (head.needs, head.uses))
        rows.append(f"| {head.link} | {needs} | {uses} | {head.minutes} | {time} |\n")
    return "".join(rows)


def _exercises(labels: list[str], found: dict[str, Head]) -> str:
    names = {label: name for head in found.values() for label, name in head.exercises.items()}
    owners = {label: head.number for head in found.values() for label in head.exercises}
    return "; ".join(f"{owners[x]} {{ref}}`{names[x]} <{x}>`" for x in labels)


def _session(count: int, session: dict[str, Any], found: dict[str, Head]) -> str:
    plan = session["plan"]
    parts = ", ".join(f"{name} {minutes}" for name, minutes in plan.items())
    read = [f"{found[n].link} ({found[n].minutes} minutes)" for n in session["read"]]
    return (
        f"\n**{count}. {session['title']}** ({sum(plan.values())} minutes: {parts})\n\n"
        + (f"- Before: learners read {', '.join(read)}\n" if read else "")
        + f"- Taught: {', '.join(found[n].link for n in session['teach'])}\n"
        f"- Exercises in class: {_exercises(session['exercises'], found)}\n"
        f"- Homework: {_exercises(session['homework'], found)}\n"
        f"- Preparation: {session['prepare']}\n"
    )


def _syllabus(syllabus: dict[str, Any], found: dict[str, Head]) -> str:
    sessions = enumerate(syllabus["sessions"], start=1)
    text = "".join(_session(count, session, found) for count, session in sessions)
    return f"\n### {syllabus['name']}\n\n{syllabus['about']}\n{text}"


def _goals(head: Head, misconceptions: list[dict[str, str]]) -> str:
    goals = "".join(f"- {goal}\n" for goal in head.goals)
    rows = "".join(
        f"| {m['belief']} | {m['right']} | {place(m['at'], head)} |\n" for m in misconceptions
    )
    link = f"[this chapter]({head.file.name})"
    heading = f"\n### {head.number} {head.title}\n\nAfter {link} learners are able to\n\n"
    return f"{heading}{goals}\n| belief | but | see |\n| --- | --- | --- |\n{rows}"


def pages() -> dict[Path, str]:
    """Return path → text of the page and of its picture."""
    found, given = heads(), course()
    text = (
        _TOP.format(picture=PICTURE, alt=described(found))
        + _table(found)
        + _SYLLABI
        + "".join(_syllabus(syllabus, found) for syllabus in given["syllabi"])
        + _GRADE
        + _GOALS
        + "".join(_goals(head, given["misconceptions"][n]) for n, head in found.items())
    )
    return {ROOT / "chapters" / "teaching.md": text, ROOT / "_static" / PICTURE: drawn(found)}
