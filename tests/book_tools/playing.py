"""A browser that opens figures to play with, and what a reader does with one."""

from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page

from book_tools.files import ROOT
from book_tools.site import playable

#: As Sphinx writes a figure; the picture is one pixel.
_PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
_FIGURE = f"""<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>A page</title>
<article class="bd-article"><figure id="{{}}">
<a class="figure-alone" href="#"><img alt="A picture" src="{_PIXEL}"></a>
<figcaption>Found</figcaption></figure></article>
"""
_RUNTIME, _STYLE = "play.js", "playable.css"


class Figures:
    """Pages with a figure each. They stay open: to load Vega takes longer than most tests."""

    def __init__(self, chromium: BrowserContext, folder: Path) -> None:
        self._errors: list[object] = []
        self._chromium, self._folder = chromium, folder
        self._pages: dict[str, Page] = {}
        self._first: dict[str, str] = {}  # the numbers that a figure shows before anything moves
        (folder / "vega.js").write_text(playable.vega(), "utf-8")
        for name in (_RUNTIME, _STYLE):
            (folder / name).write_text((playable.FOLDER / name).read_text("utf-8"), "utf-8")

    def address(self, name: str) -> str:
        """Write a page with one figure and the scripts of the site; return its address."""
        path = playable.SCRIPTS[name]
        script, file = self._folder / path.name, self._folder / f"{name}.html"
        if not script.exists():
            script.write_text(playable.script(path), "utf-8")
        tags = "".join(f'<script defer src="{one}"></script>' for one in (_RUNTIME, script.name))
        sheets = (_STYLE, (ROOT / "_static/book.css").as_uri())  # in the site's order
        style = "".join(f'<link rel="stylesheet" href="{one}">' for one in sheets)
        file.write_text(_FIGURE.format(name) + style + tags, "utf-8")
        return file.as_uri()

    def opened(self, name: str, width: int = 1000) -> Page:
        """Return the page of a figure at that width, its controls where they are at first."""
        if name not in self._pages:
            page = self._pages[name] = self._chromium.new_page()
            page.on("pageerror", self._failed)
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(self.address(name))
            page.wait_for_selector(".playable-chart svg")
            self._first[name] = page.inner_text(".playable-numbers")
        page = self._pages[name]
        page.bring_to_front()  # the browser slows down all others
        page.emulate_media(media="screen")
        _resize(page, width)
        page.click("text=Start again")
        assert page.inner_text(".playable-numbers") == self._first[name]
        return page

    def _failed(self, error: object) -> None:
        self._errors.append(error)

    def failures(self) -> list[object]:
        """Return what scripts have raised since the last call."""
        failed, self._errors = self._errors, []
        return failed


def _resize(page: Page, width: int) -> None:
    """Give the page another width; wait until the figure is drawn anew."""
    assert page.viewport_size is not None
    if page.viewport_size["width"] != width:
        page.evaluate("document.querySelector('.playable-chart svg').classList.add('before')")
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_selector(".playable-chart svg:not(.before)")


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
    found = page.eval_on_selector_all(
        ".playable-numbers dd", "all => all.map(e => [e.dataset.name, e.dataset.value])"
    )
    return {name: float(value) for name, value in found}
