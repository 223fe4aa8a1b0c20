"""`make pages`: what is generated is up to date, and only what has changed is written."""

import io

import pytest
from PIL import Image, ImageChops

from book_tools.files import ROOT
from book_tools.pages import __main__ as pages
from book_tools.pages import pictures


@pytest.mark.parametrize("name", pages.MAKERS)
def test_generated_files_are_up_to_date(name):
    """Oracle: what `make pages` would write now."""
    made = pages.MAKERS[name]()
    stale = [path.name for path, content in made.items() if pages.is_stale(path, content)]
    assert made
    assert stale == [], "make pages"


def test_only_what_has_changed_is_written_and_named(tmp_path, monkeypatch):
    """Oracle: the file's number on the disk, which an atomic write changes."""
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    kept, new = tmp_path / "kept.md", tmp_path / "folder" / "new.md"
    kept.write_text("the same\n", "utf-8")
    number = kept.stat().st_ino
    monkeypatch.setattr(pages, "MAKERS", {"two": lambda: {kept: "the same\n", new: "new – ½\n"}})
    assert pages.write() == "Written: folder/new.md"
    assert new.read_bytes().decode() == "new – ½\n"
    assert pages.write() == "All 2 files are up to date"
    assert kept.stat().st_ino == number


def test_a_picture_is_stale_only_if_one_sees_a_difference():
    """Oracle: a pixel moved by one level, and the card upside down; a curve drawn anew."""
    card = Image.open(pictures.CARD).convert("RGBA")
    nearly = ImageChops.offset(card, 0)
    nearly.putpixel((9, 9), (254, 255, 255, 255))
    for picture, stale in ((nearly, False), (card.rotate(180), True)):
        picture.save(file := io.BytesIO(), "png")
        assert pages.is_stale(pictures.CARD, file.getvalue()) is stale
    for path in (pictures.PICTURE, pictures.TALL):
        front = path.read_text("utf-8")
        assert not pages.is_stale(path, front.replace("Matplotlib v", "Matplotlib v9"))
        assert pages.is_stale(path, front.replace("#0072b2", "#000000"))
    assert pages.is_stale(ROOT / "nowhere.md", "")
