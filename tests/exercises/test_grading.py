"""What real students hand in: careless files, notebooks, and folders of them."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from book_tools.pages.record import read_record
from exercises.__main__ import main
from exercises.grading import SECONDS, grade_file, grade_folder
from exercises.submission import SOLUTION

RIGHT = 'check("rounding-hand", [0, 1, 5, 7])\n'


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


LOOP = "def loop():\n  while True: pass\n"
NONE = "it does not call check(name, answer)"
DOTS = "no exercise is answered yet: each call of check still has dots for the answer"
FILES = {
    "good": (RIGHT + 'check("rounding-thermometer", [10, 7, 1260])', "", "1"),
    "broken": ("def f(:", "broken.py: it does not parse: invalid syntax, line 1", ""),
    "missing": ("import nothing_here\n" + RIGHT, "No module named 'nothing_here', line 1", "1"),
    "prints": ("while True: print('x' * 10**6)\n" + RIGHT, "File too large, line 1", "1"),
    "writes": ("open('notes.txt', 'w').write('mine')\n" + RIGHT, "writes files: notes.txt", "1"),
    "overwrites": ("open(__file__, 'w').write('')\n" + RIGHT, "its own folder only, not /", "1"),
    "removes": ("import os\nos.remove(__file__)\n" + RIGHT, "its own folder only, not /", "1"),
    "makes": ("import os\nos.mkdir('/tmp/made')\n" + RIGHT, "its own folder only, not /", "1"),
    "links": ("import os\nos.link(__file__, 'mine')\n" + RIGHT, "its own folder only, not /", "1"),
    "borrows": ("import tempfile\ntempfile.TemporaryFile('w').write('x')\n" + RIGHT, "", "1"),
    "leaves": (RIGHT + "exit()", "leaves.py: exit(), line 2", "1"),
    "silent": (RIGHT + "import os; os._exit(0)", "ended Python itself, with the status 0", "1"),
    "faults": (
        RIGHT + "import ctypes; ctypes.string_at(0)",
        "Python itself, with the status -",
        "1",
    ),
    "dies": (RIGHT + "import os; os._exit(3)", "ended Python itself, with the status 3", "1"),
    "loops": (RIGHT + "while True:\n try: x = 1\n except: pass", "an endless loop?", "1"),
    "unknown": (RIGHT + 'check("rounding-hans", 1)', "did you mean rounding-hand", "1"),
    "asserts": (RIGHT + "assert 1 == 2", "asserts.py: AssertionError, line 2", "1"),
    "returns": (RIGHT + "return 1", "returns.py: it does not parse: 'return' outside", ""),
    "huge": (RIGHT + "x = 1\n" * 200_000, "huge.py: it is larger than 1 MB", ""),
    "nested": (RIGHT + "x = " + "-" * 99_999 + "1", "nested too deeply", ""),
    "marked": ("\ufeff" + RIGHT, "", "1"),
    "surrogate": (RIGHT + "raise ValueError('\\ud800')", "ValueError: \\ud800, line 2", "1"),
    "empty": ("", NONE, ""),
    "dots": ("check('rounding-hand', ...)\n", DOTS, ""),
    "part": (RIGHT + "check('rounding-thermometer', ...)\n", "", "1"),
    "again": (RIGHT + "check('rounding-hand', ...)\n", "", "1"),
    "asks": ("input('How many? ')\n" + RIGHT, "EOFError: EOF when reading a line, line 1", "1"),
    "shows": ("from matplotlib.pyplot import show\nshow()\n" + RIGHT, "", "1"),
    "recurses": ("def f(): f()\nf()\n" + RIGHT, "RecursionError: maximum recursion", "1"),
    "thread": (
        f"from threading import Thread\n{LOOP}Thread(target=loop).start()\n" + RIGHT,
        "",
        "1",
    ),
    "forks": (f"import os\n{LOOP}if not os.fork(): loop()\n" + RIGHT, "", "1"),
    "closes": (
        "import sys\nsys.stdout.close()\nprint(1)\n" + RIGHT,
        "on closed file., line 3",
        "1",
    ),
    "warns": ("import warnings\nwarnings.warn('careful')\n" + RIGHT, "", "1"),
    "windows": (RIGHT.replace("\n", "\r\n"), "", "1"),
    "tabs": ("def f():\n\treturn [0, 1, 5, 7]\ncheck('rounding-hand', f())", "", "1"),
    "star": ("from exercises import *\n" + RIGHT, "", "1"),
    "patches": (
        "import exercises\nexercises.check = print\nfrom exercises import check\n" + RIGHT,
        NONE,
        "",
    ),
    "redefines": ("def print(*_): 1 / 0\n" + RIGHT, "", "1"),
    "calls": (f"def main():\n  {RIGHT}if __name__ == '__main__':\n  main()", "", "1"),
    "array": ("import numpy as np\ncheck('rounding-hand', np.uint8([0, 1, 5, 7]))", "", "1"),
    "large": ("import torch\ncheck('rounding-hand', torch.zeros(1).expand(10**10))", "", "0"),
    "memory": ("x = [0] * 10**10\n" + RIGHT, "memory.py: MemoryError, line 1", "1"),
    "pickles": ("import pickle\nclass A: pass\npickle.dumps(A())\n" + RIGHT, "", "1"),
    "future": ("from __future__ import annotations\ndef f(x: Unknown): pass\n" + RIGHT, "", "1"),
    "swapped": (
        "check([0, 1, 5, 7], 'rounding-hand')",
        "the name of an exercise first, got a list",
        "",
    ),
    "twice": ("check('rounding-hand', 1)\n" + RIGHT, "", "1"),
    "name with 空格": (RIGHT, "", "1"),
    "binary": ("\0", "binary.py: it is not Python in UTF-8", ""),
}


def test_each_careless_file_is_a_remark_and_the_others_are_graded(tmp_path, tmp_path_factory):
    """Oracle: one file of each kind, read back by Python's own reader of CSV."""
    output = tmp_path_factory.mktemp("table") / "marks.csv"
    for name, (text, *_) in FILES.items():
        written(tmp_path, f"{name}.py", text)
    (tmp_path / "latin.PY").write_bytes(b"# coding: latin-1\n# \xe9\n" + RIGHT.encode())
    (tmp_path / "chinese.py").write_bytes(f"# 量化\n{RIGHT}".encode("gbk"))
    (tmp_path / "link.py").symlink_to("nowhere")
    before = sorted(tmp_path.iterdir())
    main(["grade", str(tmp_path), "--seconds", "5", "--output", str(output)])
    rows = {
        row["student"]: row for row in csv.DictReader(output.read_text("utf-8-sig").splitlines())
    }
    assert sorted(rows) == sorted([*FILES, "chinese", "latin", "link"])
    assert rows["latin"]["points"] == "1"
    assert rows["chinese"]["remark"].startswith("chinese.py: it is not Python in UTF-8")
    assert rows["link"]["remark"] == "link.py: it cannot be read: No such file or directory"
    for name, (_, remark, mark) in FILES.items():
        assert remark in rows[name]["remark"], rows[name]
        assert bool(remark) == bool(rows[name]["remark"]), rows[name]
        assert rows[name]["rounding-hand"] == mark
        assert rows[name]["points"] == str(int(mark or 0))
    assert rows["good"]["rounding-thermometer"] == "0"
    assert rows["good"]["rounding-inverse"] == ""
    assert sorted(tmp_path.iterdir()) == before


def cell(kind: str, source: str, *tags: str) -> dict[str, Any]:
    return {"cell_type": kind, "source": source, "metadata": {"tags": tags}}


def notebook(folder: Path, *cells: dict[str, Any] | str) -> Path:
    """Write a notebook whose cells are given, or the sources of its cells of code."""
    made = [cell("code", one) if isinstance(one, str) else one for one in cells]
    return written(folder, "02.ipynb", json.dumps({"cells": made}))


def test_a_notebook_runs_as_a_whole_without_solutions(tmp_path):
    """Oracle: solutions by tag and between gates; the same answer, not theirs, in another cell."""
    path = notebook(
        tmp_path,
        "from exercises import check, hint\n%matplotlib inline\nlast = 6",
        "raise RuntimeError('an experiment that fails')",
        "def codes():\n    return [0, 1, 5, last]",
        "check('rounding-hand', codes())",
        cell("code", "check('rounding-hand', [0, 1, 5, 7])", "hide-input", SOLUTION),
        cell("markdown", "```{solution-start} ex-rounding-hand\n```"),
        "check('rounding-hand', [0, 1, 5, 7])",
        cell("markdown", "```{solution-end}\n```"),
        "check('rounding-outlier', ...)",
        "check('rounding-thermometer', [10, 7, 1 / 0])",
        "check('rounding-thermometer', [10, 7, 1268])",
    )
    found = grade_file(path)
    assert found.passed == {"rounding-hand": False, "rounding-thermometer": True}
    assert found.remarks == [
        "RuntimeError: an experiment that fails, line 1 of 02.ipynb, cell 2: "
        "raise RuntimeError('an experiment that fails')"
    ]


HAND = "check('rounding-hand', mine)"
NOTEBOOKS = {
    "a second name": ["mine = [0, 1, 5]\nrow = mine\nrow.append(7)", HAND],
    "a call that is assigned": ["mine = [0, 1, 5, 7, 9]", "last = mine.pop()", HAND],
    "an assertion": ["mine = [0, 1, 5, 7, 9]", "assert mine.pop() == 9", HAND],
    "training": [
        "import torch\nmodel = torch.nn.Linear(1, 1, bias=False)\nx = torch.ones(1, 1)",
        "with torch.no_grad():\n    model.weight.fill_(6)",
        "step = torch.optim.SGD(model.parameters(), lr=1)",
        "for _ in range(1):\n    (-model(x)).sum().backward()\n    step.step()",
        "mine = [0, 1, 5, int(model.weight)]",
        HAND,
    ],
    "a module": ["import sys\nsys.path.append({folder!r})", "from minex import mine", HAND],
    "a global": ["def setup():\n    global mine\n    mine = 0, 1, 5, 7", "setup()", HAND],
    "a keyword": [
        "mine = [0]\ndef fill(x):\n    x += [1, 5, 7]",
        "fill(x=mine)",
        "mine?",
        HAND,
    ],
    "a deletion": ["mine = [9, 0, 1, 5, 7]", "del mine[0]", HAND],
    "another name": ["from exercises import check as mark", "mark('rounding-hand', [0, 1, 5, 7])"],
    "a method": [f"class A:\n    def go(self, mine):\n        {HAND}", "A().go((0, 1, 5, 7))"],
    "magics": ["files = !ls\nif True:\n    %time mine = [0, 1, 5, 7]\n%%time", HAND],
    "a timed cell": ["%%time\nmine = [0, 1, 5, 7]", HAND],
    "a continued line": ["mine = [0, 1, 5, (15\n% 8)]", HAND],
    "another language": ["mine = [0, 1, 5, 7]", "%%bash\nls | check(", HAND],
    "a figure": ["import matplotlib.pyplot as plt\nplt.plot([1])\nplt.show()", RIGHT],
    "stars": ["from math import *", "check('rounding-hand', [0, floor(1.5), 5, 7])"],
}


@pytest.mark.parametrize("sources", NOTEBOOKS.values(), ids=NOTEBOOKS)
def test_an_answer_is_right_however_it_is_made(tmp_path, sources):
    """Oracle: the answer is right only after each of the statements."""
    written(tmp_path, "minex.py", "mine = [0, 1, 5, 7]")
    sources = [one.replace("{folder!r}", repr(str(tmp_path))) for one in sources]
    found = grade_file(notebook(tmp_path, "from exercises import check", *sources))
    assert (found.passed, found.remarks) == ({"rounding-hand": True}, [])


BROKEN = {
    "x = = 3": "invalid syntax, line 1",
    "def f(x, x): pass": "duplicate argument 'x' in function definition, line 1",
    "def f():\n    continue": "'continue' not properly in loop, line 2",
    "x = 1\nglobal x": "name 'x' is assigned to before global declaration, line 2",
    "x = await g()": "'await' outside function, line 1",
    "return 1": "'return' outside function, line 1",
}


@pytest.mark.parametrize("source", BROKEN)
def test_a_cell_that_cannot_be_compiled_is_a_remark_and_the_others_count(tmp_path, source):
    """Oracle: such a cell between two with an answer."""
    found = grade_file(notebook(tmp_path, RIGHT, source, "check('rounding-thermometer', 1)"))
    assert found.passed == {"rounding-hand": True, "rounding-thermometer": False}
    assert found.remarks == [f"cell 2 does not parse: {BROKEN[source]}"]


def test_a_notebook_may_run_longer_than_a_file_of_python():
    """Oracle: the slowest chapter takes 122 seconds; an endless loop in a file ends sooner."""
    assert SECONDS[".py"] < max(e["seconds"] for e in read_record()["chapters"].values())
    assert SECONDS[".ipynb"] > 4 * max(e["seconds"] for e in read_record()["chapters"].values())


UTF_16 = "it is not Python in UTF-8: invalid or missing encoding declaration"
FOLDER = {
    "ada/one.py": RIGHT,
    "ada/two.py": 'check("rounding-thermometer", [10, 7, 1268])',
    "ben/one.py": RIGHT,
    "ben/two.py": "check('rounding-hand', [0, 1, 5, 6])",
    "cai/some/where/one.py": "from mine import codes\ncheck('rounding-hand', codes)",
    "cai/some/where/mine.py": "codes = [0, 1, 5, 7]",
    "cai/.ipynb_checkpoints/one.py": "1 / 0",
    "cai/__MACOSX/._one.py": "\0",
    "dan.py/one.py": RIGHT,
    "dan.py/two.py": "check('rounding-thermometer', ...)",
    "eva/answers.pdf": "",
    "eva/notes.py": "1 / 0",
    "gil/one.py": RIGHT,
    "gil/reference_impl/__init__.py": "",
    "gil/reference_impl/run.py": "1 / 0  # check",
    "gil/venv/lib/site-packages/run.py": "1 / 0  # check",
    "gil/exercises/two.py": 'check("rounding-thermometer", [10, 7, 1268])',
    "hal/utf-16.py": RIGHT,
    "fay.docx": "",
    "random.py": RIGHT,
    ".DS_Store": "",
    "marks.csv": "",
}


def test_each_file_or_folder_is_one_row(tmp_path):
    """Oracle: two files of one student, an import, files of the course and others."""
    for name, text in FOLDER.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-16" if "utf-16" in name else "utf-8")
    rows = csv.DictReader(io.StringIO(grade_folder(tmp_path)))
    assert [(row["student"], row["points"], row["remark"]) for row in rows] == [
        ("ada", "2", ""),
        ("ben", "1", ""),
        ("cai", "1", ""),
        ("dan.py", "1", ""),
        ("eva", "0", "eva: no .py or .ipynb file that calls check"),
        ("fay", "0", "fay.docx: no .py or .ipynb file that calls check"),
        ("gil", "2", ""),
        (
            "hal",
            "0",
            "utf-16.py: it is not Python in UTF-8: invalid or missing encoding declaration",
        ),
        ("random", "1", ""),
    ]
