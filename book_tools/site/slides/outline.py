"""From a chapter's article to its slides: what a class looks at, and what is said beside it."""

import re
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field
from html import escape

from bs4 import Tag
from bs4.element import NavigableString

from book_tools.site.built_pages import text_of

#: Lines of code, rows of a table and sentences that a slide holds.
LINES, ROWS, SENTENCES = 19, 9, 6
_WEIGHT = 10  # lines of formulas, with the sentences that lead to them
_SENTENCE_ENDS = re.compile(r"(?<=[.?!:])\s+(?=[A-Z“])|(?<=[.?!:])$|(?<=[.?!:])\s+$")
_SKIPPED = ("references", "solutions", "what-the-source-article-says", "how-we-know")


@dataclass
class Slide:
    """A heading, the HTML that is shown, and the paragraphs that are said."""

    heading: str
    shown: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    weight: float = 0


def sentences(paragraph: Tag) -> list[str]:
    """Return the sentences of a paragraph as HTML; a bold beginning stays with the next one."""
    found = [""]
    for child in paragraph.contents:
        if not isinstance(child, NavigableString):
            found[-1] += str(child)
            continue
        for place, piece in enumerate(_SENTENCE_ENDS.split(child.replace("\n", " "))):
            text = piece.replace("&", "&amp;").replace("<", "&lt;")
            found += [text] if place else []
            found[-1] += "" if place else text
    return [sentence.strip() for sentence in found if sentence.strip()]


def _items(texts: list[str]) -> Iterator[str]:
    """Yield lists of sentences, about equally long and short enough for a slide."""
    size = -(-len(texts) // -(-len(texts) // SENTENCES))
    for start in range(0, len(texts), size):
        lines = "".join(f"<li>{text}</li>" for text in texts[start : start + size])
        yield f"<ul>{lines}</ul>"


def _codes(pre: Tag) -> Iterator[str]:
    """Yield a listing, cut where it is too long for a slide, if possible at an empty line."""
    lines = re.sub(r"^<pre[^>]*>|</pre>$", "", str(pre)).strip("\n").split("\n")
    while lines:
        empty = [n for n in range(LINES // 3, LINES) if n < len(lines) and not text_in(lines[n])]
        end = len(lines) if len(lines) <= LINES else max(empty, default=LINES)
        code = "\n".join(lines[:end]).strip("\n")
        yield f'<div class="highlight"><pre>{code}</pre></div>'
        lines = lines[end:]


def text_in(html: str) -> str:
    """Return the text of a line of HTML."""
    return re.sub(r"<[^>]*>", "", html).strip()


def _tables(table: Tag) -> Iterator[str]:
    """Yield a table, cut where it is too long for a slide; each part has the head.

    A part that is not the first says that it continues the table.
    """
    head, *rows = table.select("tr")
    parts, room = [""], float(ROWS)
    for row in rows:
        needs = max(1, max(len(text_of(cell)) for cell in row.select("th, td")) / 45)
        if needs > room and parts[-1]:
            parts.append("")
            room = ROWS
        parts[-1] += str(row)
        room -= needs
    for place, part in enumerate(parts):
        caption = "<caption>(continued)</caption>" if place else ""
        yield f'<table class="table">{caption}{head}{part}</table>'


def _figure(figure: Tag) -> str:
    """Return a figure with the bold sentences of its caption, or all if nothing is bold."""
    caption = figure.select_one(".caption-text")
    said = sentences(caption) if caption else []
    findings = [sentence for sentence in said if "<strong" in sentence] or said
    image = figure.select_one("img") or ""
    return f"<figure>{image}<figcaption>{' '.join(findings)}</figcaption></figure>"


class Outline:
    """The slides of a chapter, in order."""

    def __init__(self, article: Tag) -> None:
        """Read a chapter's article."""
        self.slides: list[Slide] = []
        self._said: list[Tag] = []  # paragraphs since the last slide
        chapter = article.select_one("section") or article
        for folded in article.select("details, .solution, .dropdown"):
            folded.decompose()
        self._title(chapter)
        self._section(chapter, "")

    def _title(self, chapter: Tag) -> None:
        """Make the first slide: the title, the promise and the first picture."""
        heading, promise = chapter.select_one("h1"), chapter.select_one("p")
        picture = chapter.select_one("figure")
        shown = [f'<p class="promise">{promise.decode_contents()}</p>'] if promise else []
        if picture and picture.select_one("img"):
            shown.append(_figure(picture))
            picture.decompose()
        self.slides.append(Slide(text_of(heading), shown))
        for done in (heading, promise):
            if done:
                done.decompose()

    def _section(self, section: Tag, heading: str) -> None:
        """Add the slides of a section and of those in it."""
        first = len(self.slides)
        for part in section.select(":scope > *"):
            if part.name == "section":
                self._close(heading, only=len(self.slides) == first)
                if part.get("id") not in _SKIPPED:
                    self._section(part, heading)
                first = len(self.slides)
            elif part.name in ("h1", "h2", "h3", "h4"):
                heading = part.decode_contents()
            else:
                self._part(part, heading, whole=section.get("id") == "summary")
        self._close(heading, only=len(self.slides) == first)

    def _part(self, part: Tag, heading: str, *, whole: bool) -> None:
        """Add what one part of a section shows, or keep it to be said."""
        classes = part.get_attribute_list("class")
        if whole and part.name == "p":
            self._show(heading, *_items(sentences(part)))
        elif part.name == "p":
            self._said.append(part)
        elif "math" in classes:
            self._formula(part, heading)
        elif "exercise" in classes:
            title, content = part.select_one(".admonition-title"), part.select_one("section")
            self._show(text_of(title), content.decode_contents() if content else str(part))
        elif "cell" in classes:
            self._cell(part, heading)
        elif part.name in ("ul", "ol", "dl"):
            self._list(part, heading)
        elif tables := part.select("table"):
            self._show(heading, *(piece for table in tables for piece in _tables(table)))
        elif text_of(part) or part.select("img"):
            self._show(heading, str(part))

    def _list(self, listed: Tag, heading: str) -> None:
        """Show a list below the sentence before it."""
        lead = f"<p>{self._said[-1].decode_contents()}</p>" if self._said else ""
        self._show(heading, lead + str(listed))

    def _cell(self, cell: Tag, heading: str) -> None:
        """Show a cell: figures alone, code with its output if both fit."""
        code = text_of(cell.select_one(".cell_input pre"))
        if not heading or re.search(r"\bcheck\(|^from exercises", code):
            return  # imports, and the places for answers
        listings = [p for part in cell.select(".cell_input pre") for p in _codes(part)]
        printed = [p for part in cell.select(".cell_output pre") for p in _codes(part)]
        together = "".join(listings + printed)
        if together.count("\n") < LINES + 3 and listings:
            listings, printed = [f'<div class="code">{together}</div>'], []
        figures = [_figure(figure) for figure in cell.select("figure")]
        tables = [piece for table in cell.select("table") for piece in _tables(table)]
        self._show(heading, *listings, *printed, *figures, *tables)

    def _formula(self, formula: Tag, heading: str) -> None:
        """Show a formula below the sentence that leads to it, on the last slide if it fits."""
        lead = (sentences(self._said[-1]) or [""])[-1] if self._said else ""
        weight = 2 + formula.get_text().count("\\\\") + len(lead) / 200
        html = f"<p>{lead}</p>{formula}"
        last = self.slides[-1]
        if last.weight and last.heading == heading and last.weight + weight <= _WEIGHT:
            last.shown.append(html)
            last.weight += weight
            last.notes += self._notes()
        else:
            self._show(heading, html)
            self.slides[-1].weight = weight

    def _show(self, heading: str, *shown: str) -> None:
        """Add a slide for each thing that is shown; the first has the notes."""
        leads = [str(p.contents[0]) for p in self._said if p.select(":scope > strong:first-child")]
        lead = f"<p>{leads[-1]}</p>" if leads and leads[-1] not in "".join(shown) else ""
        for html in shown:
            self.slides.append(Slide(heading, [lead + html], self._notes()))

    def _notes(self) -> list[str]:
        """Return what is to be said since the last slide, with formulas as TeX."""
        said = [text_of(copy(paragraph)) for paragraph in self._said]
        self._said = []
        return [re.sub(r"\\[()]", "", text) for text in said]

    def _close(self, heading: str, *, only: bool) -> None:
        """Keep what is said at the end of a section; a section of words shows their beginnings."""
        if not self._said:
            return
        if only:
            texts = [" ".join(sentences(paragraph)[:2]) for paragraph in self._said]
            self._show(heading, *_items(texts))
        else:
            self.slides[-1].notes += self._notes()


def as_html(slide: Slide, kind: str = "") -> str:
    """Return a slide as reveal.js reads it, as an element of this class."""
    notes = "".join(f"<p>{escape(n)}</p>" for n in slide.notes)
    aside = f'<aside class="notes mathjax_ignore">{notes}</aside>' if notes else ""
    return (
        f'<section class="{kind}"><h2>{slide.heading}</h2><div class="fit"><div>'
        f"{''.join(slide.shown)}</div></div>{aside}</section>"
    )
