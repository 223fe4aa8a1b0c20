"""A browser that opens figures to play with, one on a page."""

from functools import partial

import pytest

from book_tools.site import playable
from book_tools.site.check import browser

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
        style = '<link rel="stylesheet" href="playable.css">'
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
