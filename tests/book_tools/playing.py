"""A browser that opens figures to play with, and what a reader does with one."""

import shutil
from functools import partial

import pytest

from book_tools.files import ROOT
from book_tools.site import check as site_check
from book_tools.site import playable
from book_tools.site.check import browser

needs_chromium = pytest.mark.skipif(
    not any(map(shutil.which, site_check._BROWSERS)),
    reason="no Chromium here; on Debian: apt-get install chromium",
)

#: As Sphinx writes a figure; the picture is one pixel.
_PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
FIGURE = f"""<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>A page</title>
<article class="bd-article"><figure id="{{}}">
<a class="figure-alone" href="#"><img alt="A picture" src="{_PIXEL}"></a>
<figcaption>Found</figcaption></figure></article>
"""


@pytest.fixture(scope="module")
def chromium():
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the scripts, as the built site has them."""
    folder = tmp_path_factory.mktemp("playable")
    for name, text in playable.files().items():
        (folder / name).write_text(text, "utf-8")
    return folder


@pytest.fixture
def opened(chromium, site):
    """Return a function that opens a page with one figure; afterwards no script has failed."""
    errors, pages = [], []

    def open_figure(name, width=1000, **options):
        scripts = ("play.js", playable.SCRIPTS[name].name)
        tags = "".join(f'<script defer src="{one}"></script>' for one in scripts)
        file = site / f"{name}.html"
        sheets = ("playable.css", (ROOT / "_static/book.css").as_uri())  # in the site's order
        style = "".join(f'<link rel="stylesheet" href="{one}">' for one in sheets)
        file.write_text(FIGURE.format(name) + style + tags, "utf-8")
        page = chromium.new_page(**options)
        page.set_viewport_size({"width": width, "height": 900})
        page.on("pageerror", partial(list.append, errors))
        page.goto(file.as_uri())
        pages.append(page)
        return page

    yield open_figure
    for page in pages:
        page.close()
    assert errors == []


def drawn(page):
    page.wait_for_selector(".playable-chart svg")
    return page


def move(page, **values):
    """Move controls as a hand would: each to a value, with the event that a browser sends."""
    for name, value in values.items():
        control = page.locator(f"[name={name}]")
        if control.evaluate("(e) => e.tagName") == "SELECT":
            control.select_option(value)
        else:
            control.fill(str(value))
            assert float(control.input_value()) == pytest.approx(value), (
                "the control has this value"
            )


def numbers(page) -> dict[str, float]:
    """Return the numbers that the figure shows, with all digits."""
    rows = page.locator(".playable-numbers dd").all()
    found = {row.get_attribute("data-name"): row.get_attribute("data-value") for row in rows}
    return {name: float(value) for name, value in found.items()}
