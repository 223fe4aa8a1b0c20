"""Sphinx extension: where the book is published; metadata for search engines and link previews.

Two settings of ``_config.yml`` may be empty until the book has an address: ``repository: url`` (no
page then links to a repository) and ``html: baseurl`` (no canonical address, card or site map).
"""

import json
import re
from functools import cache
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import yaml
from docutils import nodes
from sphinx.application import Sphinx

from book_tools.files import ROOT
from book_tools.pages.pictures import card

_BUTTONS = ("use_repository_button", "use_issues_button", "use_edit_page_button")
_CARD = "_static/card.png"  # book_tools.pages.pictures draws it, and those of the chapters
_CARD_TEXT = "Squares to scale: the files of three networks, of 1,562,354, 15,595 and 960 bytes"
_CHAPTER = re.compile(r"chapters/\d\d_")
_LONGEST = 200  # letters of a description, which search engines and cards cut


def use_the_addresses(app: Sphinx, config: Any) -> None:
    """Show what needs an address if the book has it (event config-inited).

    These are the buttons that lead to the repository, and what stands in ``{only} published``.
    """
    if config.html_baseurl:
        app.tags.add("published")
    options = config.html_theme_options
    options.update(dict.fromkeys(_BUTTONS, bool(options.get("repository_url"))))
    if not options.get("repository_url"):
        options["launch_buttons"] = {}  # they open a notebook of the repository


def description(page: nodes.document) -> str:
    """Return the sentences of the first paragraph that fit into a card."""
    found: list[nodes.paragraph] = list(page.findall(nodes.paragraph))  # type: ignore[no-untyped-call]
    plain = (p for p in found if nodes.math not in map(type, p.children))
    texts = [p.astext() for p in plain]  # type: ignore[no-untyped-call]
    text = " ".join(next((text for text in texts if len(text) > 40), "").split())
    sentences = re.findall(r".+?[.:?](?= |$)", text) or [text]
    kept: str = sentences[0]
    for sentence in sentences[1:]:
        kept = kept + sentence if len(kept + sentence) <= _LONGEST else kept
    return kept


@cache
def citation() -> dict[str, Any]:
    """Return what CITATION.cff holds."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    return found


def course(cited: dict[str, Any], base: str) -> dict[str, Any]:
    """Return the course in the words of schema.org."""
    about = {
        "@type": "Course",
        "name": cited["title"],
        "description": " ".join(cited["abstract"].split()),
        "provider": {"@type": "Organization", "name": cited["authors"][0]["name"]},
        "inLanguage": "en",
        "isAccessibleForFree": True,
        "license": "https://creativecommons.org/licenses/by/4.0/",
        "keywords": cited["keywords"],
    }
    return about | ({"url": base} if base else {})


def head(name: str, title: str, text: str, cited: dict[str, Any], base: str) -> str:
    """Return the elements for a page's head: description, card, citation and course.

    ``name`` is the page's, such as ``chapters/02_min_max_rounding``, ``base`` the site's address.
    """
    book, author = cited["title"], cited["authors"][0]["name"]
    first, chapter = name == "intro", _CHAPTER.match(name)
    title = book if first else title
    properties = {"title": title, "type": "website" if first else "article", "site_name": book}
    properties |= {"description": text} if text else {}
    names = {"description": text} if text else {}
    if base:
        picture = card_of(name) if chapter else _CARD
        properties |= {"url": urljoin(base, f"{name}.html"), "image": urljoin(base, picture)}
        properties |= {"image:width": "1200", "image:height": "630", "image:alt": _CARD_TEXT}
        names["twitter:card"] = "summary_large_image"
    data: dict[str, Any] | None = course(cited, base) if first else None
    if chapter:
        names |= {"citation_title": title, "citation_author": author}
        names |= {"citation_inbook_title": book, "citation_language": "en"}
        names["citation_publication_date"] = str(cited["date-released"]).replace("-", "/")
        names |= {"citation_public_url": properties["url"]} if base else {}
        data = {"@type": "LearningResource", "name": title, "description": text}
        data |= {"isPartOf": course(cited, base)}
    lines = [f'<meta property="og:{k}" content="{escape(v)}">' for k, v in properties.items()]
    lines += [f'<meta name="{k}" content="{escape(v)}">' for k, v in names.items()]
    if data:
        code = json.dumps({"@context": "https://schema.org", **data}).replace("<", "\\u003c")
        lines.append(f'<script type="application/ld+json">{code}</script>')
    return "\n".join(["", *lines, ""])


def card_of(name: str) -> str:
    """Return where the site has the card of a chapter.

    >>> card_of("chapters/02_min_max_rounding")
    '_static/cards/02_min_max_rounding.png'
    """
    return f"_static/cards/{Path(name).name}.png"


def draw_cards(app: Sphinx, exception: Exception | None) -> None:
    """Draw a card for each chapter, if the site has an address (event build-finished)."""
    if exception is not None or not app.config.html_baseurl:
        return
    for name in filter(_CHAPTER.match, app.env.found_docs):
        file = Path(app.outdir) / card_of(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(card(app.env.titles[name].astext()))  # type: ignore[no-untyped-call]


def tell_about_page(
    app: Sphinx, name: str, _template: str, context: dict[str, Any], page: nodes.document | None
) -> None:
    """Hand the template what it puts into the head (Sphinx's event html-page-context)."""
    context["about_page"] = ""
    if page is not None:
        title = re.sub(r"^\d+\. ", "", re.sub(r"<[^>]*>", "", context.get("title", "")))
        text, base = description(page), app.config.html_baseurl
        context["about_page"] = head(name, title, text, citation(), base)


def map_site(app: Sphinx, exception: Exception | None) -> None:
    """Write what search engines read, if the site has an address (event build-finished)."""
    site, base = Path(app.outdir), app.config.html_baseurl
    files = (site / "sitemap.xml", site / "robots.txt")
    if exception is not None or not base:
        for file in files:
            file.unlink(missing_ok=True)
        return
    pages = sorted(urljoin(base, f"{name}.html") for name in app.env.found_docs)
    urls = "".join(f"<url><loc>{escape(page)}</loc></url>\n" for page in pages)
    opening = '<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns='
    files[0].write_text(
        f'{opening}"http://www.sitemaps.org/schemas/sitemap/0.9">\n{urls}</urlset>\n'
    )
    files[1].write_text(f"User-agent: *\nAllow: /\nSitemap: {urljoin(base, 'sitemap.xml')}\n")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("config-inited", use_the_addresses)
    app.connect("html-page-context", tell_about_page)
    app.connect("build-finished", map_site)
    app.connect("build-finished", draw_cards)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
