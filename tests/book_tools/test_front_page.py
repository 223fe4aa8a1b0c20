"""The front page: its numbers against chapters and records, its picture against its program."""

import re
import struct

import pytest

from book_tools.files import ROOT
from book_tools.notebooks import chosen, printed, read
from book_tools.pages import pictures
from book_tools.site import playable, published

PAGE = " ".join((ROOT / "intro.md").read_text("utf-8").split())


def outputs(chapter: str) -> str:
    """Return the text that a chapter prints, its Markdown and its summary, spaces made one."""
    (path,) = chosen([chapter])
    cells = read(path).cells
    texts = [cell.source if cell.cell_type == "markdown" else printed(cell) for cell in cells]
    return " ".join(" ".join(texts).split())


#: What the front page says, and what the chapter must print or say for it.
SAID = {
    "6 bits": ("02", "6 bits show no loss on 10,000 images"),
    "4 bits cost 0.7 and 2.0 points": ("02", "4 bits cost our two networks 0.7 and 2.0 points"),
    "2 bits leave accuracies of 27 and 10 %": ("02", "2 bits leave accuracies of 27 and 10 %"),
    "100 times": ("21", "small network, deployed 15,595 100.2 92.75"),
    "in a seventh of the time": ("21", "small network, deployed 15,595 100.2 92.75 24.5 7.7"),
    "loses 1.0 ± 0.4 points": ("21", "loses 1.0 ± 0.4 points"),
    "947 bytes": ("19", "Kilobyte 8-12-12-12 947"),
    "0.8 % of its answers are wrong": ("19", "Four small convolutions take 947 bytes at 0.8 %"),
}


@pytest.mark.parametrize("words", SAID)
def test_each_number_of_a_result_stands_in_its_chapter(words):
    """Oracle: what the chapter prints, which a test compares with a fresh run, or its summary."""
    chapter, source = SAID[words]
    assert words in PAGE
    assert source in outputs(chapter)


def test_the_page_leads_to_every_figure_to_play_with():
    """Oracle: the figures that have a script."""
    assert set(re.findall(r"<(fig-[\w-]+)>`", PAGE)) == playable.SCRIPTS.keys()


def test_the_picture_is_described_by_its_numbers():
    """Oracle: the records of chapters 19 and 21."""
    for network in pictures.networks():
        assert f"{network.n_bytes:,} bytes" in PAGE
        assert f"{network.accuracy:.1f} %" in PAGE
    first, second, third = (network.n_bytes for network in pictures.networks())
    assert round(first / second) == 100
    assert round(first / third, -2) == 1600
    assert third == len(pictures.FILE.read_bytes())
    assert f"{first:,}, {second:,} and {third}" in published._CARD_TEXT


def test_the_card_has_the_size_that_other_sites_expect():
    """Oracle: 1200 × 630 pixels, in the file's own head."""
    assert struct.unpack(">II", pictures.CARD.read_bytes()[16:24]) == (1200, 630)
