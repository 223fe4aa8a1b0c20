"""What real students hand in: careless files, notebooks, and folders of them."""

import csv
import io
import json
from pathlib import Path

import pytest

from exercises.__main__ import main
from exercises.grading import graded, of_folder

RIGHT = 'check("rounding-hand", [0, 1, 5, 7])\n'


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


LOOP = "def loop():\n  while True: pass\n"
NONE = "it does not call check(name, answer)"
FILES = {
    "good": (RIGHT + 'check("rounding-thermometer", [10, 7, 1260])', "", "1"),
    "broken": ("def f(:", "broken.py: it does not parse: invalid syntax, line 1", ""),
    "missing": ("import nothing_here\n" + RIGHT, "No module named 'nothing_here', line 1", "1"),
    "prints": ("while True: print('x' * 10**6)\n" + RIGHT, "File too large, line 1", "1"),
    "writes": ("open('notes.txt', 'w').write('mine')\n" + RIGHT, "writes files: notes.txt", "1"),
    "overwrites": ("open(__file__, 'w').write('')\n" + RIGHT, "its own folder only, not /", "1"),
    "removes": ("import os\nos.remove(__file__)\n" + RIGHT, "its own folder only, not /", "1"),
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


def cell(kind: str, source: str) -> dict[str, str]:
    return {"cell_type": kind, "source": source}


def test_a_notebook_gives_its_answers_without_running_the_chapter(tmp_path):
    """Oracle: a cell that would fail, a magic, and a solution that is right."""
    cells = [
        cell("code", "raise RuntimeError('a long experiment')"),
        cell("code", "%matplotlib inline\nfrom exercises import check\nlast = 6"),
        cell("code", "def codes():\n    return [0, 1, 5, last]"),
        cell("code", "mine = codes()\ncheck('rounding-hand', mine)\nlater = ..."),
        cell("markdown", "```{solution-start} ex-rounding-hand\n```"),
        cell("code", "check('rounding-hand', [0, 1, 5, 7])"),
        cell("markdown", "```{solution-end}\n```"),
        cell("code", "check('rounding-outlier', ...)"),
        cell("code", "check('rounding-thermometer', [10, 7, 1 / 0])"),
    ]
    path = written(tmp_path, "02.ipynb", json.dumps({"cells": cells}))
    found = graded(path)
    assert found.passed == {"rounding-hand": False}
    assert found.remarks == [
        "ZeroDivisionError: division by zero, line 1 of 02.ipynb, cell 9: "
        "check('rounding-thermometer', [10, 7, 1 / 0])"
    ]


HAND = "check('rounding-hand', mine)"
NOTEBOOKS = {
    "an item": ["mine = [0, 1, 5, 6]\nmine?", "mine[3] = 7", HAND],
    "methods": ["mine = [0, 1, 5, 6]", "mine.pop(3)\nmine.append(7)", HAND],
    "a slice": ["mine = [0, 1, 5, 6]", "mine[2:] = 5, 7", HAND],
    "a loop": ["mine = []", "for one in (0, 1, 5, 7):\n    mine.append(one)", HAND],
    "a later value": [
        "def f():\n    return mine",
        "mine = [0, 1, 5, 7]",
        HAND.replace("mine", "f()"),
    ],
    "a function": ["mine = [0]\ndef fill(x):\n    x += [1, 5, 7]", "fill(mine)", HAND],
    "a seed": [
        "import random\nrandom.seed(3)\nfirst = random.random()",
        "random.seed(3)",
        "mine = [0, 1, 5, 7 if random.random() == first else 0]",
        HAND,
    ],
    "a comment": ["mine = [0, 1, 5, 7]  # is it?", HAND],
    "a magic": ["!ls\nif True:\n    %time x = 1\nmine = [0, 1, 5, 7]", HAND],
    "a continued line": ["mine = [0, 1, 5, (15\n% 8)]", HAND],
    "a submission": [
        "import exercises",
        f"mine = 0, 1, 5, 7\ndef f():\n    exercises.{HAND}",
        "f()",
    ],
    "another name": ["from exercises import check as mark", "mark('rounding-hand', [0, 1, 5, 7])"],
    "stars": ["from math import *", "check('rounding-hand', [0, floor(1.5), 5, 7])"],
    "a display": ["mine = [0, 1, 5, 7]\ndisplay(mine)", HAND],
    "another language": ["mine = [0, 1, 5, 7]", "%%bash\nls | check(", HAND],
    "later values": ["mine = [0, 1, 5, 7]", HAND, "mine = 1 / 0"],
    "overwritten values": ["mine = 1 / 0", "mine = [0, 1, 5, 7]", HAND],
}


@pytest.mark.parametrize("sources", NOTEBOOKS.values(), ids=NOTEBOOKS)
def test_what_an_answer_needs_is_run_and_nothing_else(tmp_path, sources):
    """Oracle: the answer is right only after the statement in question; 1 / 0 is not run."""
    cells = [cell("code", one) for one in ("from exercises import check", *sources)]
    found = graded(written(tmp_path, "02.ipynb", json.dumps({"cells": cells})))
    assert (found.passed, found.remarks) == ({"rounding-hand": True}, [])


def test_a_cell_that_does_not_parse_is_a_remark_and_the_others_count(tmp_path):
    """Oracle: a cell without a check between two with one."""
    sources = (
        "check('rounding-hand', [0, 1, 5, 7])",
        "x = = 3",
        "check('rounding-thermometer', 1)",
    )
    cells = [cell("code", one) for one in sources]
    found = graded(written(tmp_path, "02.ipynb", json.dumps({"cells": cells})))
    assert found.passed == {"rounding-hand": True, "rounding-thermometer": False}
    assert found.remarks == ["SyntaxError: cell 2 does not parse: invalid syntax, line 1"]


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
    "eva/answers.pdf": "",
    "fay.docx": "",
    "random.py": RIGHT,
    ".DS_Store": "",
    "marks.csv": "",
}


def test_each_file_or_folder_is_one_row(tmp_path):
    """Oracle: two files of one student, a better and a worse answer, an import, other files."""
    for name, text in FOLDER.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        written(tmp_path, name, text)
    rows = csv.DictReader(io.StringIO(of_folder(tmp_path)))
    assert [(row["student"], row["points"], row["remark"]) for row in rows] == [
        ("ada", "2", ""),
        ("ben", "1", ""),
        ("cai", "1", ""),
        ("dan.py", "1", ""),
        ("eva", "0", "eva: no .py or .ipynb file"),
        ("fay", "0", "fay.docx: no .py or .ipynb file"),
        ("random", "1", ""),
    ]
