"""Internal links of a built site: every target, and every anchor in it, exists."""

from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urljoin, urlsplit

#: Attributes whose address the browser fetches by itself.
_LOADS = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("source", "src")}

#: Relations of ``<link>`` that name a page and fetch nothing.
_NAMES_ONLY = {"canonical", "next", "prev", "index", "search", "author", "license"}


class Page(HTMLParser):
    """What a page's HTML refers to, and the anchors by which it can be referred to."""

    def __init__(self, file: Path) -> None:
        """Read a file."""
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
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
        if not (tag == "link" and values.get("rel") in _NAMES_ONLY):
            self.loads += [values[name] for name in values if (tag, name) in _LOADS]


def html_files(site: Path) -> list[PurePosixPath]:
    """Return the pages of a site, relative to it (templates below ``_static`` are not pages)."""
    found = (file.relative_to(site) for file in site.rglob("*.html"))
    return sorted(PurePosixPath(f.as_posix()) for f in found if f.parts[0] != "_static")


def _problem(site: Path, name: PurePosixPath, link: str, pages: dict[str, Page]) -> str | None:
    """Return what is wrong with a link of the page ``name``, if anything is."""
    parts = urlsplit(urljoin(f"http://site/{name}", link))
    target = unquote(parts.path).lstrip("/")
    if urlsplit(link).scheme or link.startswith("//"):
        loads = link in pages[str(name)].loads and not link.startswith("data:")
        return f"loads from elsewhere: {link}" if loads else None
    climbs = PurePosixPath(urlsplit(link).path).parts.count("..")
    if link.startswith("/") or climbs >= len(name.parts):
        return f"link leaves the site, and breaks below a sub-path: {link}"
    if target.endswith("/") or not target:
        target += "index.html"
    if target not in pages:
        return None if (site / target).is_file() else f"broken link: {link}"
    found = not parts.fragment or unquote(parts.fragment) in pages[target].anchors
    return None if found else f"link to an anchor that is not there: {link}"


def broken_links(site: Path, names: Iterable[PurePosixPath]) -> dict[PurePosixPath, list[str]]:
    """Return, for each page, its broken internal links and its loads from other hosts."""
    pages = {str(name): Page(site / name) for name in names}
    problems: dict[PurePosixPath, list[str]] = {}
    for name, page in pages.items():
        path = PurePosixPath(name)
        links = dict.fromkeys([*page.links, *page.loads])
        found = (_problem(site, path, link, pages) for link in links)
        problems[path] = [problem for problem in found if problem]
    return problems
