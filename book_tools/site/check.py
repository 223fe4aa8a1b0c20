"""Open every page of the built site in a browser: ``python -m book_tools.site.check _build/html``.

The site is served below a sub-path, as a plain static host does it, and the browser may fetch
nothing from elsewhere.
"""

import argparse
import gzip
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from playwright.sync_api import (
    BrowserContext,
    Page,
    TimeoutError,
    sync_playwright,
)

from book_tools.failures import BookError, explained
from book_tools.site.links import Page as Links
from book_tools.site.links import broken_links, html_files
from book_tools.site.probe import problems_of

#: What the search must find, and the page that it must name first, if the site has that page. The
#: last two are written otherwise in the book: in English, and with a z.
SEARCHED = {
    "formula": "",
    "zero point": "chapters/03_affine_quantizers.html",
    "pruning": "chapters/13_by_sparsity.html",
    "蒸馏": "chapters/10_the_distillation_objective.html",
    "stochastic quantisation": "chapters/02_min_max_rounding.html",
}
#: bytes of a chapter, scrolled once, compressed as hosts do it; Vega alone takes 0.3 MB
HEAVIEST = 900_000
_PACKED = (".woff", ".woff2", ".png")
_PATIENCE = 10_000  # milliseconds, until it is found

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_ARGUMENTS = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
_AT_A_TIME = 2  # browsers

#: Folders whose pages are generated alike: axe looks at the first page of each.
_GENERATED = ("chapters/api", "chapters/oracles", "_modules")

#: Chapters fetch the same scripts and fonts: each is compressed once.
_WEIGHTS: dict[str, int] = {}


def browser_path() -> str:
    """Return the path of an installed Chromium."""
    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if found is None:
        raise BookError("no Chromium found; install it, on Debian: apt-get install chromium")
    return found


@contextmanager
def browser() -> Iterator[BrowserContext]:
    """Start a headless Chromium, whose pages share what they have fetched."""
    with sync_playwright() as playwright:
        path = browser_path()
        with playwright.chromium.launch(executable_path=path, args=_ARGUMENTS) as chromium:
            yield chromium.new_context()


def page_problems(
    chromium: BrowserContext,
    root: str,
    name: str,
    *,
    accessibly: bool = True,
    legibly: bool = True,
) -> list[str]:
    """Return what is wrong with a page, and with what happens while it opens."""
    problems: list[str] = []
    events: Any = {event: [] for event in ("pageerror", "console", "request", "response")}
    with chromium.new_page() as page:
        for event, seen in events.items():
            page.on(event, partial(list.append, seen))
        if name.endswith("search.html"):
            problems += [p for asked in SEARCHED for p in _search_problems(page, root, name, asked)]
        problems += problems_of(page, root + name, accessibly=accessibly, legibly=legibly)
        fetched = {r.url for r in events["response"] if r.status == 200} if legibly else set()
        weight = sum(_weight(page, url) for url in fetched if url.startswith("http"))
        if weight > HEAVIEST:
            problems.append(f"fetches {weight:,} bytes, more than {HEAVIEST:,}")
    own = ("data:", urljoin(root, "/"))
    problems += [f"script error: {e}" for e in events["pageerror"]]
    problems += [f"console error: {m.text}" for m in events["console"] if m.type == "error"]
    urls = [r.url for r in events["request"]]
    problems += [f"fetches from elsewhere: {url}" for url in urls if not url.startswith(own)]
    problems += [f"status {r.status}: {r.url}" for r in events["response"] if r.status >= 400]
    return list(dict.fromkeys(problems))


def _search_problems(page: Page, root: str, name: str, asked: str) -> list[str]:
    """Return what is wrong with what the search page finds."""
    expected = SEARCHED[asked]
    if expected and not page.request.get(root + expected).ok:
        return []  # an edition without this chapter
    page.goto(f"{root}{name}?q={quote(asked)}", wait_until="load")
    try:
        first = page.wait_for_selector("#search-results li a", timeout=_PATIENCE)
    except TimeoutError:
        return [f"the search finds no page for {asked}"]
    found = first.get_attribute("href") or "" if first else ""
    return [] if expected in found else [f"the search for {asked} finds {found} first"]


def _weight(page: Page, url: str) -> int:
    """Return the bytes of what a page fetches, compressed unless it is already."""
    path = urlsplit(url).path
    if path not in _WEIGHTS:
        body = page.request.get(url).body()
        _WEIGHTS[path] = len(body if path.endswith(_PACKED) else gzip.compress(body, 6))
    return _WEIGHTS[path]


@contextmanager
def served(site: Path, prefix: str = "/some/sub-path/") -> Iterator[str]:
    """Serve the folder from a thread; yield the address of its root, which ends with a slash.

    Everything else is the site's own 404.html, if there is one, with status 404.
    """
    missing = site / "404.html"

    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        if missing.is_file():
            error_message_format = missing.read_text("utf-8").replace("%", "%%")

        def translate_path(self, path: str) -> str:
            inside = path.startswith(prefix)
            return super().translate_path(path.removeprefix(prefix) if inside else "no such file")

        def log_message(self, format: str, *args: Any) -> None:
            """Stay quiet: what fails is found in the browser."""

    handler = partial(Handler, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}{prefix}"
        finally:
            server.shutdown()


def _is_chapter(name: PurePosixPath) -> bool:
    """Return whether a page is a chapter."""
    return name.parts[0] == "chapters" and name.name[:2].isdigit()


def _samples(names: list[PurePosixPath]) -> set[PurePosixPath]:
    """Return the pages for axe: the first of each folder of generated pages, and all others."""
    first: dict[str, PurePosixPath] = {}
    for name in names:
        folder = str(name.parent)
        first.setdefault(next(filter(folder.startswith, _GENERATED), str(name)), name)
    return set(first.values())


def check_pages(site: Path) -> str:
    """Print a line for each page, and its problems; return a closing line."""
    names = html_files(site) if site.is_dir() else []
    if not names:
        raise BookError(f"{site} holds no pages; run `make book` first")
    results, samples, waiting = broken_links(site, names), _samples(names), iter(names)

    def work(root: str) -> None:
        """Open pages in a browser of this thread, until none is waiting."""
        with browser() as chromium:
            for name in waiting:
                began, found, sample = time.perf_counter(), results[name], name in samples
                # a redirect's target is a link, and a page of its own
                if (sample or name.parts[0] != "_modules") and not Links(site / name).redirects:
                    asked = {"accessibly": sample, "legibly": _is_chapter(name)}
                    found += page_problems(chromium, root, str(name), **asked)
                line = f"{'FAIL' if found else 'ok  '} {name} ({time.perf_counter() - began:.1f} s)"
                print("\n       ".join([line, *found]), flush=True)

    with served(site) as root, ThreadPoolExecutor(_AT_A_TIME) as pool:
        try:
            for done in [pool.submit(work, root) for _ in range(_AT_A_TIME)]:
                done.result()
        finally:
            list(waiting)  # nothing is left to open when this thread is interrupted
    if n_bad := sum(map(bool, results.values())):
        raise BookError(f"{n_bad} of {len(results)} pages have problems, listed above")
    return f"All {len(results)} pages are well."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m book_tools.site.check", description=__doc__)
    parser.add_argument("site", type=Path, help="the built site, usually _build/html")
    site = parser.parse_args(arguments).site
    return explained(lambda: check_pages(site), "make test-site")


if __name__ == "__main__":
    sys.exit(main())
