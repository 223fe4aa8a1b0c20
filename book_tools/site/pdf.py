"""The whole book as one PDF: ``python -m book_tools.site.pdf``, which ``make pdf`` runs.

The pages of the built site are joined into one document, which Chromium prints twice: the first
print tells the number of each chapter's page, the second has them in the contents. Inputs that are
folded on the site are left out. Hints and solutions stand at the end of their chapter.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from html import escape
from pathlib import Path

from bs4 import BeautifulSoup, Tag
from pypdf import PdfReader, PdfWriter

from book_tools.failures import BookError, explained
from book_tools.site.built_pages import Entry, article, entries, from_root, read, text_of
from book_tools.site.check import browser

TITLE = "Model Compression, Formula by Formula"
_NAME = "model-compression.pdf"
#: Lists of names and addresses, pages that only live on a screen, and what is not for a reader.
_LEFT_OUT_PARTS = ("For instructors", "The package")
_LEFT_OUT = ("formula_index", "several_machines", "network_in_the_page", "status", "changelog")
_PATIENCE = 600_000  # milliseconds, for all formulas and for a print

_SHEET = """
@page { size: A4; margin: 22mm 20mm 20mm; }
@page { @bottom-center { content: counter(page); font: 9pt sans-serif; } }
@page front { @bottom-center { content: none; } }
html { font-size: 13px; }
h1, h2, h3 { white-space: break-spaces; } /* else bookmarks lose the space at a line end */
.front { break-after: page; font-size: 1.05rem; page: front; }
.cover { text-align: center; }
.cover h1 { font-size: 3rem; margin: 18rem 0 2rem; }
.cover p { margin: 0 auto 2rem; max-width: 28rem; }
.cover p:last-child { margin-top: 16rem; }
.contents a { color: inherit; display: flex; gap: 1rem; text-decoration: none; }
.contents a .title { flex: 1; }
.contents .caption { font-weight: 600; margin: 0.6rem 0 0.1rem; }
details.hint, details.hint summary { border: 0; margin: 0; padding: 0; }
"""
_IMPRINT = """<p>Every formula derived, computed and tested</p>
<p>Each chapter is a program, and what it printed is shown here. The code that draws figures and
tables is left out; hints and solutions stand at the end of each chapter.</p>
<p>Prose CC BY 4.0, code MIT</p>"""
#: The running head of a chapter's pages; Chromium knows named pages, but no `string-set`.
_HEAD = """
@page {page} {{ @top-right {{ content: "{title}"; font: 9pt sans-serif; color: #444; }} }}
#{page} {{ break-before: page; page: {page}; }}
"""
_READY = """async () => {
  await window.MathJax?.startup?.promise;
  for (const {math, typesetRoot} of window.MathJax?.startup?.document?.math ?? []) {
    typesetRoot.setAttribute('role', 'img');
    typesetRoot.setAttribute('aria-label', math.trim());
  }
  await Promise.all([...document.images].map(image => image.decode()));
  await document.fonts.ready;
}"""
_LACKS_CHINESE = """() => {
  const drawn = letter => {
    const canvas = new OffscreenCanvas(20, 20), pen = canvas.getContext('2d');
    pen.fillText(letter, 2, 15);
    return pen.getImageData(0, 0, 20, 20).data.join();
  };
  return document.querySelector('[lang=zh]') && drawn('模') === drawn('型');
}"""
_NUMBER = """numbers => document.querySelectorAll('.contents .number').forEach(
  (place, n) => { place.textContent = numbers[n] ?? ''; })"""


def printed_pages(site: Path) -> list[Entry]:
    """Return the pages of the site that the PDF has."""
    return [
        entry
        for entry in entries(site)
        if entry.part not in _LEFT_OUT_PARTS and entry.name not in _LEFT_OUT
    ]


def _page(place: int) -> str:
    """Return the name of a chapter in the document."""
    return f"page-{place}"


def _move_to_the_end(shown: Tag, title: str, boxes: list[Tag], address: str) -> None:
    """Move boxes into a section at the end of a chapter, with links to their exercises."""
    if not boxes:
        return
    markup = f'<section id="{title.lower()}"><h2>{title}</h2></section>'
    section = BeautifulSoup(markup, "html.parser").select("section")[0]
    for box in boxes:
        exercise, name = box.find_previous(class_="exercise"), box.select_one("summary, p")
        if isinstance(exercise, Tag) and name:
            link = Tag(name="a", attrs={"href": f"{address}#{exercise['id']}"})
            link.string = text_of(exercise.select_one(".caption-number"))
            name.string = "Solution" if name.name == "p" else text_of(name)
            name.extend([" to ", link])
        section.append(box.extract())
    (shown.section or shown).append(section)


def _printable(site: Path, place: int, entry: Entry, places: dict[str, str]) -> str:
    """Return a page's HTML with names and links that are good in the joined document."""
    shown = article(site, entry)
    for folded in shown.select("details.hide"):
        folded.decompose()
    for token in shown.select("pre span.n, pre span.p"):
        token.unwrap()  # as black as the rest, and thousands of them
    for folded in shown.select("details"):
        folded["open"] = ""
    for title, boxes in (("Hints", ".hint"), ("Solutions", ".solution.admonition")):
        _move_to_the_end(shown, title, shown.select(boxes), entry.address)
    for named in shown.select("[id]"):
        named["id"] = f"{_page(place)}-{named['id']}"
    for link in shown.select("a[href]"):
        _lead(link, places)
    for image in shown.select("img[src]"):
        if not str(image["src"]).startswith("data:"):
            image["src"] = f"../html/{image['src']}"
    shown.name = "div"
    shown["id"] = _page(place)
    return str(shown)


def _lead(link: Tag, places: dict[str, str]) -> None:
    """Make a link lead to a place in the PDF, or to the web; else leave its words."""
    address, _, anchor = str(link["href"]).partition("#")
    if address in places:
        link["href"] = f"#{places[address]}" + (f"-{anchor}" if anchor else "")
    elif not address.startswith(("http:", "https:", "mailto:")):
        link.unwrap()


def document(site: Path, chosen: list[Entry]) -> str:
    """Return the joined document, with places for numbers in its contents."""
    places = {entry.address: _page(place) for place, entry in enumerate(chosen)}
    head = read(site / chosen[0].address).head
    kept = head.select('link[rel="stylesheet"], script') if head else []
    for element in kept:
        address = "href" if element.name == "link" else "src"
        if element.has_attr(address):
            element[address] = f"../html/{from_root(chosen[0].address, str(element[address]))}"
    own = [str(e) for e in kept if e.name == "link" or "mathjax" in str(e).lower()]
    heads = [_HEAD.format(page=_page(n), title=_quoted(e.title)) for n, e in enumerate(chosen)]
    pages = [_printable(site, place, entry, places) for place, entry in enumerate(chosen)]
    return "\n".join(
        [
            '<!DOCTYPE html><html lang="en" data-mode="light" data-theme="light">',
            f'<head><meta charset="utf-8"><title>{TITLE}</title>',
            *own,
            f"<style>{_SHEET}{''.join(heads)}</style></head><body>",
            f'<section class="front cover"><h1>{TITLE}</h1>{_IMPRINT}</section>',
            _contents(chosen),
            *pages,
            "</body></html>",
        ]
    )


def _quoted(title: str) -> str:
    """Return a title as it stands in a string of CSS."""
    return title.replace("\\", "").replace('"', "'")


def _contents(chosen: list[Entry]) -> str:
    """Return the contents: a line for each part and each page."""
    lines, part = ['<section class="front contents"><h1>Contents</h1>'], ""
    for place, entry in enumerate(chosen):
        if entry.part != part:
            lines.append(f'<p class="caption">{escape(entry.part)}</p>')
            part = entry.part
        title = f'<span class="title">{escape(entry.title)}</span><span class="number"></span>'
        lines.append(f'<a href="#{_page(place)}">{title}</a>')
    return "\n".join([*lines, "</section>"])


def first_pages(reader: PdfReader) -> list[int]:
    """Return the number of the page on which each bookmark of the highest level lies."""
    tops = [entry for entry in reader.outline if not isinstance(entry, list)]
    return [(reader.get_destination_page_number(entry) or 0) + 1 for entry in tops]


def print_book(site: Path, folder: Path) -> str:
    """Print the site to ``folder``; return a line that says so."""
    began = time.perf_counter()
    chosen = printed_pages(site)
    folder.mkdir(parents=True, exist_ok=True)
    joined, target = folder / "book.html", folder / _NAME
    numbers: list[int] = []
    with browser() as chromium, chromium.new_page() as page:
        joined.write_text(document(site, chosen), "utf-8")
        page.goto(joined.as_uri(), timeout=_PATIENCE)
        page.set_default_timeout(_PATIENCE)
        page.evaluate(_READY)
        if page.evaluate(_LACKS_CHINESE):
            raise BookError("no font has Chinese; on Debian: apt-get install fonts-wqy-microhei")
        for _ in ("to learn the numbers of the pages", "to have them in the contents"):
            page.evaluate(_NUMBER, numbers)
            page.pdf(path=target, prefer_css_page_size=True, outline=True, tagged=True)
            numbers = first_pages(PdfReader(target))[-len(chosen) :]
    joined.unlink()
    n_pages = _described(target)
    return f"{target} has {n_pages} pages ({time.perf_counter() - began:.0f} s)"


def _described(file: Path) -> int:
    """Give a PDF its title, author and initial view, and return the number of its pages."""
    writer = PdfWriter(clone_from=file)
    writer.add_metadata({"/Title": TITLE, "/Author": f"The {TITLE} authors"})
    writer.page_mode = "/UseOutlines"
    writer.write(file)
    return len(writer.pages)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m book_tools.site.pdf", description=__doc__)
    parser.add_argument("root", nargs="?", type=Path, default=Path.cwd(), help="the book's folder")
    build = parser.parse_args(arguments).root.resolve() / "_build"
    return explained(lambda: print_book(build / "html", build / "pdf"), "make pdf")


if __name__ == "__main__":
    sys.exit(main())
