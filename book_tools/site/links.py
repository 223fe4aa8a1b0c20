"""Internal links of a built site: every target, and every anchor in it, exists."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urljoin, urlsplit

#: Attributes whose address the browser fetches by itself.
_LOADS = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("source", "src")}

#: Relations of ``<link>`` that name a page and fetch nothing.
_NAMES_ONLY = {"canonical", "next", "prev", "index", "search", "author", "license"}


@dataclass
class Page:
    """What a page's HTML refers to, and what it can be referred to by."""

    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    redirects: bool = False


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.page.anchors.update(values[name] for name in ("id", "name") if name in values)
        if tag == "a" and "href" in values:
            self.page.links.append(values["href"])
        if tag == "meta" and values.get("http-equiv", "").lower() == "refresh":
            self.page.redirects = True
            self.page.links.append(values.get("content", "").partition("url=")[2])
        for name, value in values.items():
            names_only = tag == "link" and values.get("rel") in _NAMES_ONLY
            if (tag, name) in _LOADS and not names_only:
                self.page.loads.append(value)


def read_page(file: Path) -> Page:
    """Return the links and anchors of one HTML file."""
    reader = _Reader()
    reader.feed(file.read_text("utf-8"))
    return reader.page


def html_files(site: Path) -> list[PurePosixPath]:
    """Return the pages of a site, relative to it (templates below ``_static`` are not pages)."""
    found = (file.relative_to(site) for file in site.rglob("*.html"))
    return sorted(PurePosixPath(f.as_posix()) for f in found if f.parts[0] != "_static")


def _problem(site: Path, name: PurePosixPath, link: str, pages: dict[str, Page]) -> str | None:
    """Return what is wrong with a link of the page ``name``, if anything is."""
    parts = urlsplit(urljoin(f"http://site/{name}", link))
    target = unquote(parts.path).lstrip("/")
    climbs = PurePosixPath(urlsplit(link).path).parts.count("..")
    if link.startswith("/") or climbs >= len(name.parts):
        return f"link leaves the site, and breaks below a sub-path: {link}"
    if target.endswith("/") or not target:
        target += "index.html"
    if target in pages:
        fragment = unquote(parts.fragment)
        if fragment and fragment not in pages[target].anchors:
            return f"link to an anchor that is not there: {link}"
    elif not (site / target).is_file():
        return f"broken link: {link}"
    return None


def broken_links(site: Path, names: Iterable[PurePosixPath]) -> dict[PurePosixPath, list[str]]:
    """Return, for each page, its broken internal links and its loads from other hosts."""
    pages = {str(name): read_page(site / name) for name in names}
    problems: dict[PurePosixPath, list[str]] = {}
    for name, page in pages.items():
        path = PurePosixPath(name)
        found = []
        for link in dict.fromkeys([*page.links, *page.loads]):
            if urlsplit(link).scheme or link.startswith("//"):
                if link in page.loads and not link.startswith("data:"):
                    found.append(f"loads from elsewhere: {link}")
            elif problem := _problem(site, path, link, pages):
                found.append(problem)
        problems[path] = found
    return problems
