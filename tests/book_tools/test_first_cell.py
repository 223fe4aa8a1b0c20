"""The first cell of each notebook finds the course, or says in one line what to do."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from book_tools.pages.first_cells import address, first_source, pages

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "chapters").glob("*.ipynb"))


def run_in(folder: Path, source: str, *options: str) -> tuple[int, str]:
    """Run the cell in a folder, in a Python that does not have the course installed."""
    command = [sys.executable, "-I", *options, "-c", f"{source}\nprint(sys.path[0])"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout or done.stderr).splitlines()[-1]


def test_the_course_is_found_around_the_notebook_and_beside_it(tmp_path):
    """Oracle: the folder that holds this test's package; no package but Python's own (-S)."""
    (tmp_path / "book").symlink_to(ROOT)
    asks = "ModuleNotFoundError: First type: %pip install torch torchvision matplotlib jaxtyping"
    for folder in (ROOT, ROOT / "chapters", ROOT / "chapters" / "api", tmp_path):
        status, last = run_in(folder, first_source(), "-S")
        assert (status, last) == (1, f"{asks} safetensors scipy")


def test_with_all_packages_the_course_comes_first_and_nothing_is_printed():
    """Oracle: the path of a Python in which the cell has run."""
    assert run_in(ROOT / "chapters", first_source()) == (0, str(ROOT))


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("", "First move this notebook into the folder of the course."),
        ("https://example.org/book", "First type: !git clone --depth 1 https://example.org/book"),
    ],
)
def test_without_the_course_one_line_says_how_to_get_it(tmp_path, url, advice):
    """Oracle: the last line of a Python without packages, in an empty folder."""
    assert run_in(tmp_path, first_source(url), "-S") == (1, f"ModuleNotFoundError: {advice}")


def test_an_address_in_the_configuration_is_written_into_the_cells(tmp_path):
    """Oracle: a book of one notebook, whose other cells keep their sources."""
    (tmp_path / "chapters").mkdir()
    path = tmp_path / "chapters" / NOTEBOOKS[1].name
    path.write_bytes(NOTEBOOKS[1].read_bytes())
    for known in ("", "https://example.org/book"):
        (tmp_path / "_config.yml").write_text(f'repository:\n  url: "{known}"\n')
        assert address(tmp_path) == known
        (text,) = pages(tmp_path).values()
        path.write_text(text, "utf-8")
        cells = json.loads(text)["cells"]
        codes = [cell for cell in cells if cell["cell_type"] == "code"]
        assert "".join(codes[0]["source"]) == first_source(known)
        assert codes[0]["metadata"]["tags"] == ["remove-cell"], "the site hides it"
        old = json.loads(NOTEBOOKS[1].read_text("utf-8"))["cells"]
        assert [c["source"] for c in cells if c is not codes[0]] == [
            c["source"] for c in old if c["id"] != "find-the-course"
        ]
