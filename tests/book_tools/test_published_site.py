"""What the built site leaves out, how it searches, and what it tells machines about itself."""

import io
import json
import re
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import yaml
from docutils import nodes
from docutils.core import publish_doctree
from fontTools.ttLib import TTFont
from PIL import Image

from book_tools.files import ROOT
from book_tools.site import lighter, published, search

CITED = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
BASE = "https://example.org/book/"


def test_a_font_keeps_the_letters_that_are_named_and_no_others():
    """Oracle: the theme's own font, read by fontTools."""
    whole = (lighter._THEME / "vendor/fontawesome/webfonts/fa-solid-900.woff2").read_bytes()
    small = lighter.subset_font(whole, {"\uf0c9", "\uf002"})
    assert set(TTFont(io.BytesIO(small)).getBestCmap()) == {0xF0C9, 0xF002}
    assert len(small) < 2000
    assert len(whole) > 100_000


def test_the_theme_loses_icons_only(tmp_path):
    """Oracle: the theme's style sheet; a rule of another kind remains, with its letter."""
    site, static = tmp_path, tmp_path / "_static"
    for folder in ("styles", "scripts", "vendor/fontawesome/webfonts"):
        (static / folder).mkdir(parents=True)
    (static / "book.css").write_text('.erratum::after { content: "\\f044"; }')
    (static / "styles/sphinx-book-theme.css").write_text("")
    (static / "scripts/fontawesome.js").write_text("")
    (site / "index.html").write_text('<i class="fa-solid fa-bars"></i>')
    lighter.lighten(SimpleNamespace(builder=SimpleNamespace(format="html"), outdir=site), None)
    css = (static / "styles/pydata-sphinx-theme.css").read_text("utf-8")
    whole = (lighter._THEME / "styles/pydata-sphinx-theme.css").read_text("utf-8")
    assert ".fa-bars:before" in css
    assert ".fa-ghost:before" not in css
    others = re.sub(r'(\.fa-[\w-]+:before,?)+\{content:"[^}]*\}', "", css)
    assert others == lighter._SECOND_SOURCE.sub("", lighter._RULE.sub("", whole))
    font = (static / "vendor/fontawesome/webfonts/fa-solid-900.woff2").read_bytes()
    assert {0xF0C9, 0xF044, 0xF0EB} <= set(TTFont(io.BytesIO(font)).getBestCmap())  # \uf0eb: a tip
    assert not (static / "scripts/fontawesome.js").exists()


def test_words_of_both_languages_reach_the_index():
    """Oracle: by hand."""
    assert search.BookWords({}).split("Prune 剪枝 in 逐层剪枝.") == [
        *("Prune", "剪枝", "in", "逐层剪枝", "逐层", "层剪", "剪枝")
    ]


def test_the_search_gets_the_terms_of_the_glossary(tmp_path):
    """Oracle: by hand: one chapter opens with it, one says it twice; no reference is counted."""
    texts = {"chapters/03_a": "zero point", "chapters/04_b": f"{'.' * 400} zero point, zero point"}
    texts |= {
        "chapters/glossary": "zero point\n\n零点. The code of 0.",
        "chapters/api": "zero point",
    }
    std = SimpleNamespace(objects={("term", "zero point"): (), ("label", "zero"): ()})
    env = SimpleNamespace(
        book_texts=texts | {"gone": ""}, found_docs=set(texts), get_domain=lambda name: std
    )
    app = SimpleNamespace(doctreedir=tmp_path, config=SimpleNamespace())
    search.write_script(app, env)
    script = (tmp_path / "search.js").read_text("utf-8")
    assert app.config.html_search_scorer == str(tmp_path / "search.js")
    tables = dict(re.findall(r"^const (\w+) = (\{.*\});$", script, re.MULTILINE))
    assert json.loads(tables["CHINESE"]) == {"零点": "zero point"}
    shares = [["chapters/03_a", 150], ["chapters/04_b", 100]]
    assert json.loads(tables["TERMS"]) == {"zero point": shares, "point": shares}


@pytest.mark.parametrize("url", ["", "https://github.com/someone/book"])
def test_buttons_to_the_repository_are_shown_if_it_has_an_address(url):
    """Oracle: the theme's names of its buttons."""
    launch = {"colab_url": "https://colab.research.google.com"}
    options = {"repository_url": url, "launch_buttons": launch}
    config, app = SimpleNamespace(html_theme_options=options, html_baseurl=url), Mock()
    published.use_the_addresses(app, config)
    shown = {k: v for k, v in config.html_theme_options.items() if k.startswith("use_")}
    assert shown == dict.fromkeys(published._BUTTONS, bool(url))
    assert config.html_theme_options["launch_buttons"] == (launch if url else {})
    assert app.tags.add.called is bool(url)


def test_each_address_stands_once():
    """Oracle: CITATION.cff, which other programs read, says the same as _config.yml."""
    url, base = CONFIG["repository"]["url"], CONFIG["html"]["baseurl"]
    assert CITED.get("repository-code", "") == url
    assert CITED.get("url", "") == base
    assert not base or base.endswith("/")


def test_a_description_is_the_sentences_that_fit():
    """Oracle: by hand; a paragraph with a formula is not text."""
    long = f"{'so ' * 60}on."
    page = publish_doctree(f":math:`x` {long}\n\nA first sentence that is long enough. Two. {long}")
    assert published.description(page) == "A first sentence that is long enough. Two."


def metas(html: str) -> dict[str, str]:
    return dict(re.findall(r'<meta (?:name|property)="([^"]+)" content="([^"]*)">', html))


def data(html: str):
    return json.loads(re.search(r"<script[^>]*ld\+json[^>]*>(.*)</script>", html)[1])


def test_without_an_address_a_page_tells_none():
    """Oracle: the words of an address."""
    for name in ("intro", "chapters/02_min_max_rounding", "chapters/glossary"):
        html = published.head(name, "A <title>", "Some text.", CITED, "")
        assert "http" not in re.sub(r"https://(schema\.org|creativecommons\.org)", "", html)
        assert "og:image" not in html
        assert metas(html)["description"] == "Some text."


def test_with_an_address_a_chapter_has_a_card_and_a_citation():
    """Oracle: the names that Open Graph, Google Scholar and schema.org give."""
    html = published.head("chapters/02_x", 'A "title"', "Some text.", CITED, BASE)
    found = metas(html)
    assert found["og:url"] == found["citation_public_url"] == f"{BASE}chapters/02_x.html"
    assert found["og:image"] == f"{BASE}_static/cards/02_x.png"
    assert found["og:title"] == found["citation_title"] == "A &quot;title&quot;"
    assert found["citation_author"] == CITED["authors"][0]["name"]
    assert re.fullmatch(r"\d{4}/\d\d/\d\d", found["citation_publication_date"])
    about = data(html)
    assert about["@type"] == "LearningResource"
    assert about["isPartOf"]["url"] == BASE
    first = published.head("intro", "", "Text.", CITED, BASE)
    assert data(first)["@type"] == "Course"
    assert metas(first)["og:image"] == f"{BASE}_static/card.png"


def test_each_chapter_gets_a_card_of_its_own_if_the_site_has_an_address(tmp_path):
    """Oracle: the pixels of two chapters' cards differ in their titles, on the upper edge only."""
    titles = {"chapters/02_x": nodes.title(text="One"), "chapters/03_y": nodes.title(text="Two")}
    env = SimpleNamespace(found_docs={*titles, "intro"}, titles=titles)
    for base in ("", BASE):
        config = SimpleNamespace(html_baseurl=base)
        published.draw_cards(SimpleNamespace(outdir=tmp_path, config=config, env=env), None)
        assert (tmp_path / "_static").exists() is bool(base)
    cards = sorted((tmp_path / "_static/cards").iterdir())
    assert [card.name for card in cards] == ["02_x.png", "03_y.png"]
    one, two = (np.asarray(Image.open(card), dtype=float) for card in cards)
    assert one.shape[:2] == (630, 1200)
    differ = np.flatnonzero(np.abs(one - two).max(axis=(1, 2)))
    assert 0 < differ.min() <= differ.max() < 120


def test_the_map_of_the_site_is_written_if_it_has_an_address(tmp_path):
    """Oracle: the protocol of sitemaps; a map of an earlier address does not remain."""
    env = SimpleNamespace(found_docs={"intro", "chapters/02_x"})
    for base in (BASE, ""):
        config = SimpleNamespace(html_baseurl=base)
        published.map_site(SimpleNamespace(outdir=tmp_path, config=config, env=env), None)
        written = sorted(path.name for path in tmp_path.iterdir())
        assert written == (["robots.txt", "sitemap.xml"] if base else [])
        if base:
            pages = re.findall("<loc>(.*?)</loc>", (tmp_path / "sitemap.xml").read_text("utf-8"))
            assert pages == [f"{BASE}chapters/02_x.html", f"{BASE}intro.html"]
            assert f"Sitemap: {BASE}sitemap.xml" in (tmp_path / "robots.txt").read_text("utf-8")
