"""What an executed notebook is taken to depend on."""

from pathlib import Path

import pytest

from book_tools.site.fingerprint import CODE, digest


@pytest.mark.parametrize(
    ("name", "matters"),
    [
        ("chapters/helper.py", True),
        ("chapters/tables/data.csv", True),
        ("reference_impl/a.py", True),
        ("requirements.lock", True),
        ("chapters/one.ipynb", False),
        ("chapters/api/page.md", False),
        ("chapters/__pycache__/helper.pyc", False),
        ("README.md", False),
    ],
)
def test_a_module_or_data_beside_a_chapter_matters_and_a_page_does_not(
    tmp_path: Path, name: str, matters: bool
) -> None:
    """Oracle: what a cell can import or read; its own source is compared apart."""
    digests = set()
    for content in ("1", "2"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, "utf-8")
        digests.add(digest(tmp_path, CODE))
    assert (len(digests) == 2) is matters
