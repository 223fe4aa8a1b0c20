"""What an executed notebook is taken to depend on."""

import os

import pytest

from book_tools.site import runs
from book_tools.site.runs import CODE, digest

MATTER = {
    *("chapters/helper.py", "chapters/tables/data.csv", "reference_impl/a.py", "requirements.lock"),
    *("book_tools/execute.py", "book_tools/comparing/texts.py"),
}
DO_NOT = {
    *("chapters/one.ipynb", "chapters/api/page.md", "chapters/__pycache__/helper.pyc"),
    *("chapters/half.part", "book_tools/site/build.py", "README.md"),
}


@pytest.mark.parametrize("name", sorted(MATTER | DO_NOT))
def test_names_and_contents_of_what_a_chapter_can_read_matter(tmp_path, name):
    """Oracle: what a cell can import or read, and what executes it; its source counts apart."""
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    digests = [digest(tmp_path, CODE)]
    for content in ("1", "2"):
        file.write_text(content, "utf-8")
        digests.append(digest(tmp_path, CODE))
    assert len(set(digests)) == (3 if name in MATTER else 1)
    os.utime(file, (0, 0))
    assert digest(tmp_path, CODE) == digests[-1]
    file.rename(file.with_name(f"other_{file.name}"))
    assert (digest(tmp_path, CODE) != digests[-1]) is (name in MATTER)


def test_a_run_belongs_to_one_torch(tmp_path, monkeypatch):
    """Oracle: TORCH=keep, under which one lock has another torch."""
    digests = set()
    for found in ("2.9.0", "2.14.1"):
        monkeypatch.setattr(runs, "version", {"torch": found}.__getitem__)
        digests.add(runs.code_digest(tmp_path))
    assert len(digests) == 2
