"""Open every page of the built site in a browser: ``python -m book_tools.site.check _build/html``.

The site is served below a sub-path, and the browser may fetch nothing from elsewhere.
"""

import argparse
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from playwright.sync_api import (
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    TimeoutError,
    ViewportSize,
    sync_playwright,
)

from book_tools.failures import BookError, explained
from book_tools.site import probe as site_probe
from book_tools.site.links import broken_links, html_files, read_page
from book_tools.site.server import served

#: A word that every edition of the book has.
SEARCHED = "formula"

DESKTOP, PHONE = ViewportSize(width=1280, height=900), ViewportSize(width=375, height=812)
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
_AT_A_TIME = 2  # browsers

#: Folders whose pages are generated alike: axe looks at the first page of each.
_GENERATED = ("chapters/api", "chapters/oracles", "_modules")


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
def browser() -> Iterator[BrowserContext]:
    """Start a headless Chromium, whose pages share what they have fetched."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=browser_path(), args=list(_ARGUMENTS), headless=True
        )
        try:
            yield chromium.new_context()
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
        page.on("request", self._request)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.problems.append(f"script error: {error}"))
        page.on("response", self._response)

    def _request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme != "data" and address.netloc != urlsplit(self.root).netloc:
            self.problems.append(f"fetches from elsewhere: {request.url}")

    def _console(self, message: ConsoleMessage) -> None:
        expected = self.missing and "404" in message.text
        if message.type == "error" and not expected:
            self.problems.append(f"console error: {message.text}")

    def _response(self, response: Response) -> None:
        if response.status >= 400 and not self.missing:
            self.problems.append(f"status {response.status}: {response.url}")

    def look(self, address: str, *, accessibly: bool = True) -> list[str]:
        """Return what is wrong with the address on a desktop and on a phone, light and dark.

        Whether it is accessible, which takes longest to find out, is asked only if wanted.
        """
        page = self.page
        page.set_viewport_size(DESKTOP)
        page.goto(address, wait_until="load")
        site_probe.set_mode(page, "light")
        site_probe.settle(page)
        self.problems += site_probe.look(page)
        page.set_viewport_size(PHONE)
        self.problems += site_probe.sideways(page)
        if accessibly:
            site_probe.thin_out(page)
            self.problems += site_probe.inaccessible(page, "light")
            page.set_viewport_size(DESKTOP)
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

    def follow_home(self) -> None:
        """Require of the 404 page a link to the site's root."""
        self.page.wait_for_load_state("networkidle")
        home = self.page.evaluate("() => document.querySelector('a')?.href ?? ''")
        status = "url => fetch(url).then(r => r.status)"
        if not home.startswith(self.root) or self.page.evaluate(status, home) != 200:
            self.problems.append(
                f"the 404 page links to {home or 'nothing'}, not to the site's root {self.root}"
            )


def _look(
    chromium: BrowserContext, root: str, name: PurePosixPath, *, accessibly: bool
) -> list[str]:
    with chromium.new_page() as page:
        if name == PurePosixPath("404.html"):  # at a deep address that does not exist
            visit = Visit(page, root, missing=True)
            visit.look(f"{root}no/such/page.html")
            visit.follow_home()
            return visit.problems
        visit = Visit(page, root)
        if name.name == "search.html":
            visit.search(f"{root}{name}?q={SEARCHED}")
        return visit.look(f"{root}{name}", accessibly=accessibly)


def check_pages(site: Path) -> dict[str, list[str]]:
    """Return the problems of every page, those without any included; print a line for each.

    Raises:
        BookError: if the site is missing.
    """
    names = html_files(site) if site.is_dir() else []
    if not names:
        raise BookError(f"{site} holds no pages; run `make book` first")
    results = {str(name): found for name, found in broken_links(site, names).items()}
    samples = set({_template(name): name for name in reversed(names)}.values())
    waiting = iter(names)

    def work(root: str) -> None:
        """Open pages in a browser of this thread, until none is waiting."""
        with browser() as chromium:
            for name in waiting:
                began, found, sample = time.perf_counter(), results[str(name)], name in samples
                # a redirect's target is a link, and a page of its own
                if (sample or name.parts[0] != "_modules") and not read_page(site / name).redirects:
                    found += _look(chromium, root, name, accessibly=sample)
                seconds = time.perf_counter() - began
                print(f"{'FAIL' if found else 'ok  '} {name} ({seconds:.1f} s)", flush=True)
                for problem in found:
                    print(f"       {problem}")

    with served(site) as root, ThreadPoolExecutor(_AT_A_TIME) as pool:
        try:
            for done in [pool.submit(work, root) for _ in range(_AT_A_TIME)]:
                done.result()
        finally:
            list(waiting)  # nothing is left to open when this thread is interrupted
    return results


def _template(name: PurePosixPath) -> str:
    """Return what a page is an example of: its folder, or itself alone."""
    return next((folder for folder in _GENERATED if str(name).startswith(folder + "/")), str(name))


def _run(site: Path) -> str:
    results = check_pages(site)
    n_bad = sum(bool(found) for found in results.values())
    if n_bad:
        raise BookError(f"{n_bad} of {len(results)} pages have problems, listed above")
    return f"All {len(results)} pages are well."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m book_tools.site.check", description=__doc__)
    parser.add_argument("site", type=Path, help="the built site, usually _build/html")
    site = parser.parse_args(arguments).site
    return explained(lambda: _run(site), "make test-site")


if __name__ == "__main__":
    sys.exit(main())
