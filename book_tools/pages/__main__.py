"""Write the reference pages: ``make pages``."""

from pathlib import Path

from book_tools.files import ROOT, write_whole
from book_tools.pages import exercises, graph, status, teaching
from book_tools.pages.heads import heads


def pages(root: Path = ROOT) -> dict[Path, str]:
    """Return path → text of every page that this command writes."""
    return {
        root / "chapters" / "exercises.md": exercises.page(),
        root / "chapters" / "teaching.md": teaching.page(),
        root / "chapters" / "status.md": status.page(),
        root / "_static" / teaching.PICTURE: graph.drawn(heads()),
    }


if __name__ == "__main__":
    for path, text in pages().items():
        write_whole(path, text)
