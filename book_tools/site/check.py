"""Open every page of the built site in a browser: ``python -m book_tools.site.check _build/html``.

The site is served below a sub-path, and the browser may fetch nothing from elsewhere.
"""

import argparse
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Response,
    Route,
    TimeoutError,
    sync_playwright,
)

from book_tools.comparing.failures import BookError, explained
from book_tools.site import probe as site_probe
from book_tools.site.links import broken_links, html_files, read_page
from book_tools.site.server import served

#: A word that every edition of the book has.
SEARCHED = "formula"

DESKTOP, PHONE = (1280, 900), (375, 812)
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def browser_path() -> str:
    """Return the path of an installed Chromium.

    Raises:
        BookError: if it is missing.
    """
    for name in _BROWSERS:
        if found := shutil.which(name):
            return found
    raise BookError("no Chromium found; install it, on Debian: apt-get install chromium")


@contextmanager
def browser() -> Iterator[Browser]:
    """Start a headless Chromium."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=browser_path(), args=list(_ARGUMENTS), headless=True
        )
        try:
            yield chromium
        finally:
            chromium.close()


class Visit:
    """A page that is open, and everything that has gone wrong with it so far."""

    def __init__(self, page: Page, root: str, *, missing: bool = False) -> None:
        """Listen to ``page``, which may fetch from ``root`` only.

        Args:
            page: a fresh page of the browser.
            root: the address of the site.
            missing: whether the address is meant not to exist (the 404 page is looked at).
        """
        self.page, self.root, self.missing = page, root, missing
        self.problems: list[str] = []
        page.route("**/*", self._route)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.problems.append(f"script error: {error}"))
        page.on("response", self._response)

    def _route(self, route: Route) -> None:
        url = route.request.url
        if urlsplit(url).netloc == urlsplit(self.root).netloc:
            route.continue_()
        else:
            self.problems.append(f"fetches from elsewhere: {url}")
            route.abort()

    def _console(self, message: ConsoleMessage) -> None:
        expected = self.missing and "404" in message.text
        if message.type == "error" and not expected:
            self.problems.append(f"console error: {message.text}")

    def _response(self, response: Response) -> None:
        if response.status >= 400 and not self.missing:
            self.problems.append(f"status {response.status}: {response.url}")

    def look(self, address: str, pictures: Path | None, name: str) -> list[str]:
        """Open the address on a desktop and on a phone, in light and dark mode."""
        page = self.page
        self._size(DESKTOP)
        page.goto(address, wait_until="load")
        site_probe.set_mode(page, "light")
        self._picture(pictures, f"{name}-desktop")
        site_probe.settle(page)
        self.problems += site_probe.look(page)
        site_probe.set_mode(page, "dark")
        self._picture(pictures, f"{name}-desktop-dark")
        self._size(PHONE)
        self.problems += site_probe.sideways(page)
        site_probe.set_mode(page, "light")
        self._picture(pictures, f"{name}-phone")
        site_probe.thin_out(page)
        self.problems += site_probe.inaccessible(page, "light")
        self._size(DESKTOP)
        site_probe.set_mode(page, "dark")
        self.problems += site_probe.inaccessible(page, "dark")
        return list(dict.fromkeys(self.problems))

    def search(self, address: str) -> None:
        """Open the search page with a word that the book has, and wait for a result."""
        self.page.goto(address, wait_until="load")
        try:
            self.page.wait_for_selector("#search-results li a", timeout=10_000)
        except TimeoutError:
            self.problems.append(f"the search finds no page with the word {SEARCHED}")

    def _size(self, size: tuple[int, int]) -> None:
        self.page.set_viewport_size({"width": size[0], "height": size[1]})

    def _picture(self, folder: Path | None, name: str) -> None:
        if folder:
            self.page.evaluate("async () => { await window.MathJax?.startup?.promise; }")
            self.page.screenshot(path=folder / f"{name}.png", full_page=True)


def _check_missing(chromium: Browser, root: str, pictures: Path | None) -> list[str]:
    """Return what is wrong with the page that a deep missing address shows."""
    page = chromium.new_page()
    problems = Visit(page, root, missing=True).look(f"{root}no/such/page.html", pictures, "404")
    page.wait_for_load_state("networkidle")
    home = page.evaluate("() => document.querySelector('a')?.href ?? ''")
    if page.evaluate("url => fetch(url).then(r => r.status)", home or root + "?") != 200 or not (
        home.startswith(root)
    ):
        problems.append(f"the 404 page links to {home or 'nothing'}, not to the site's root {root}")
    page.close()
    return problems


def check_pages(
    chromium: Browser, site: Path, pictures: Path | None = None
) -> dict[str, list[str]]:
    """Return the problems of every page, those without any included; print a line for each.

    Raises:
        BookError: if the site is missing.
    """
    names = html_files(site) if site.is_dir() else []
    if not names:
        raise BookError(f"{site} holds no pages; run `make book` first")
    links = broken_links(site, names)
    results: dict[str, list[str]] = {}
    with served(site) as root:
        for name in names:
            began = time.perf_counter()
            found = links[name] + _look(chromium, site, root, name, pictures)
            results[str(name)] = found
            _tell(str(name), found, time.perf_counter() - began)
    return results


def _look(
    chromium: Browser, site: Path, root: str, name: PurePosixPath, pictures: Path | None
) -> list[str]:
    if name == PurePosixPath("404.html"):
        return _check_missing(chromium, root, pictures)
    if read_page(site / name).redirects:
        return []  # its target is a link, and a page of its own
    if name.parts[0] == "_modules" and "models" not in name.parts:
        return []  # a listing of source: one folder of them stands for all; links are checked above
    page = chromium.new_page()
    stem = str(name.with_suffix("")).replace("/", "-")
    visit = Visit(page, root)
    if name.name == "search.html":
        visit.search(f"{root}{name}?q={SEARCHED}")
    found = visit.look(f"{root}{name}", pictures, stem)
    page.close()
    return found


def _tell(name: str, problems: list[str], seconds: float) -> None:
    print(f"{'FAIL' if problems else 'ok  '} {name} ({seconds:.1f} s)", flush=True)
    for problem in problems:
        print(f"       {problem}")


def _run(site: Path, pictures: Path | None) -> str:
    if not site.is_dir():
        raise BookError(f"{site} holds no pages; run `make book` first")
    if pictures:
        pictures.mkdir(parents=True, exist_ok=True)
    with browser() as chromium:
        results = check_pages(chromium, site, pictures)
    n_bad = sum(bool(found) for found in results.values())
    if n_bad:
        raise BookError(f"{n_bad} of {len(results)} pages have problems, listed above")
    return f"All {len(results)} pages are well."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m book_tools.site.check", description=__doc__)
    parser.add_argument("site", type=Path, help="the built site, usually _build/html")
    parser.add_argument("--screenshots", type=Path, metavar="FOLDER", help="where to store PNGs")
    options = parser.parse_args(arguments)
    return explained(lambda: _run(options.site, options.screenshots), "make test-site")


if __name__ == "__main__":
    sys.exit(main())
