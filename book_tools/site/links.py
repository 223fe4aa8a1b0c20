"""Internal links of a built site: every target, and every anchor in it, exists.

What a page fetches by itself, such as scripts, is found in the browser.
"""

from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urljoin, urlsplit


class Page(HTMLParser):
    """What a page's HTML refers to, and the anchors by which it can be referred to."""

    def __init__(self, file: Path) -> None:
        """Read a file."""
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.redirects = False
        self.feed(file.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the addresses and the anchors of an element."""
        values = {name: value or "" for name, value in attrs}
        self.anchors.update(values[name] for name in ("id", "name") if name in values)
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "meta" and values.get("http-equiv", "").lower() == "refresh":
            self.redirects = True
            self.links.append(values.get("content", "").partition("url=")[2])


def html_files(site: Path) -> list[PurePosixPath]:
    """Return the pages of a site, relative to it (templates below ``_static`` are not pages)."""
    found = (file.relative_to(site) for file in site.rglob("*.html"))
    return sorted(PurePosixPath(f.as_posix()) for f in found if f.parts[0] != "_static")


def _problem(site: Path, name: PurePosixPath, link: str, pages: dict[str, Page]) -> str | None:
    """Return what is wrong with a link of the page ``name``, if anything is."""
    parts = urlsplit(urljoin(f"http://site/sub-path/{name}", link))
    if parts.netloc != "site":
        return None
    if not parts.path.startswith("/sub-path/"):
        return f"link leaves the site, and breaks below a sub-path: {link}"
    target = unquote(parts.path).removeprefix("/sub-path/")
    if target.endswith("/") or not target:
        target += "index.html"
    if target not in pages:
        return None if (site / target).is_file() else f"broken link: {link}"
    found = not parts.fragment or unquote(parts.fragment) in pages[target].anchors
    return None if found else f"link to an anchor that is not there: {link}"


def broken_links(site: Path, names: Sequence[PurePosixPath]) -> dict[PurePosixPath, list[str]]:
    """Return, for each page, what is wrong with its internal links."""
    pages = {str(name): Page(site / name) for name in names}
    found: dict[PurePosixPath, list[str]] = {}
    for name in names:
        links = dict.fromkeys(pages[str(name)].links)
        problems = (_problem(site, name, link, pages) for link in links)
        found[name] = [problem for problem in problems if problem]
    return found
