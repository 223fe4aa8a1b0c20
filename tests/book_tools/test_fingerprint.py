"""What an executed notebook is taken to depend on."""

import os

import pytest

from book_tools.site import runs
from book_tools.site.runs import CODE, digest


@pytest.mark.parametrize(
    ("name", "matters"),
    [
        ("chapters/helper.py", True),
        ("chapters/tables/data.csv", True),
        ("reference_impl/a.py", True),
        ("requirements.lock", True),
        ("book_tools/site/execute.py", True),
        ("book_tools/comparing/texts.py", True),
        ("book_tools/site/build.py", False),
        ("chapters/one.ipynb", False),
        ("chapters/api/page.md", False),
        ("chapters/__pycache__/helper.pyc", False),
        ("chapters/half.part", False),
        ("README.md", False),
    ],
)
def test_names_and_contents_of_what_a_chapter_can_read_matter(tmp_path, name, matters):
    """Oracle: what a cell can import or read, and what executes it; its source counts apart."""
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    digests = [digest(tmp_path, CODE)]
    for content in ("1", "2"):
        file.write_text(content, "utf-8")
        digests.append(digest(tmp_path, CODE))
    assert len(set(digests)) == (3 if matters else 1)
    os.utime(file, (0, 0))
    assert digest(tmp_path, CODE) == digests[-1]
    file.rename(file.with_name(f"other_{file.name}"))
    assert (digest(tmp_path, CODE) != digests[-1]) is matters


def test_a_run_belongs_to_one_torch(tmp_path, monkeypatch):
    """Oracle: TORCH=keep, under which one lock has another torch."""
    digests = set()
    for found in ("2.9.0", "2.14.1"):
        monkeypatch.setattr(runs, "version", {"torch": found}.__getitem__)
        digests.add(runs.code_digest(tmp_path))
    assert len(digests) == 2
