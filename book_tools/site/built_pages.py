"""The pages of a built site, in the order of its side bar, for the PDF and the slides."""

import posixpath
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from bs4 import BeautifulSoup, Tag

from book_tools.failures import BookError

#: A page with the side bar that lies in the root of the site.
_INDEX = "genindex.html"


@dataclass(frozen=True)
class Entry:
    """A page in the side bar: its part, its address below the root of the site, and its title."""

    part: str
    address: str
    title: str

    @property
    def name(self) -> str:
        """The file's name without its ending, such as ``02_min_max_rounding``."""
        return posixpath.splitext(posixpath.basename(self.address))[0]


def read(file: Path) -> BeautifulSoup:
    """Return a page of the site as a tree."""
    return BeautifulSoup(file.read_text("utf-8"), "html.parser")


def entries(site: Path) -> list[Entry]:
    """Return the pages in the order of the side bar; the front page is not among them."""
    if not (site / _INDEX).is_file():
        raise BookError(f"{site} holds no site; run `make site` first")
    found = []
    for caption in read(site / _INDEX).select("nav.bd-links .caption"):
        listed = caption.find_next("ul")
        for link in listed.select("a.reference") if listed else []:
            title = link.get_text(" ", strip=True)
            found.append(Entry(caption.get_text(strip=True), str(link["href"]), title))
    return found


def article(site: Path, entry: Entry) -> Tag:
    """Return what a page shows, with every address relative to the root of the site.

    Marks that only a screen needs are left out: links to headings, and links of figures to
    themselves.
    """
    shown = read(site / entry.address).select_one("article.bd-article")
    if shown is None:
        raise BookError(f"{entry.address} has no article; run `make site` again")
    for mark in shown.select("a.headerlink, script, style"):
        mark.decompose()
    for link in shown.select("a.figure-alone"):
        link.unwrap()
    for kind, attribute in (("a", "href"), ("img", "src")):
        for element in shown.select(f"{kind}[{attribute}]"):
            element[attribute] = from_root(entry.address, str(element[attribute]))
    return shown


def from_root(page: str, link: str) -> str:
    """Return a link of a page as it reads from the root of the site."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return link
    path = urlsplit(urljoin(f"/{page}", unquote(parts.path) or posixpath.basename(page))).path
    return path.removeprefix("/") + (f"#{parts.fragment}" if parts.fragment else "")


def text_of(element: Tag | None) -> str:
    """Return the words of an element on one line; nothing of an element that is not there."""
    return " ".join(element.get_text().split()) if element else ""
