"""Sphinx extension: the search finds Chinese, British spellings, and the chapter of a term first.

Sphinx's index says which page has a word, not how often. So the texts are counted for the terms of
the glossary, and ``search.js`` gets the table.
"""

import json
import re
from itertools import pairwise
from pathlib import Path
from string import Template
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.search.en import SearchEnglish

_SCRIPT = Path(__file__).parent / "search.js"
_CHINESE = re.compile("[一-鿿]+")
_KEPT = 5  # pages for a term
_BEST = 100  # what the page that uses a term most gets; a match in Sphinx's index gets 5 to 15
_OPENING = 300  # letters: the title and the promise of a chapter, which name its own terms


class BookWords(SearchEnglish):
    """English, and Chinese by pairs of letters, since it has no spaces."""

    def split(self, input: str) -> list[str]:
        """Return the words of a text, and each pair of neighbours in Chinese.

        >>> BookWords({}).split("a 知识蒸馏")
        ['a', '知识蒸馏', '知识', '识蒸', '蒸馏']
        """
        runs = [run for run in _CHINESE.findall(input) if len(run) > 2]
        return super().split(input) + [a + b for run in runs for a, b in pairwise(run)]


def remember_text(app: Sphinx, page: nodes.document) -> None:
    """Keep a page's text (Sphinx's event doctree-read)."""
    texts: dict[str, str] = app.env.__dict__.setdefault("book_texts", {})
    texts[app.env.docname] = page.astext().lower()  # type: ignore[no-untyped-call]


def chinese_names(glossary: str) -> dict[str, str]:
    r"""Return Chinese names and their English terms, from the text of the glossary.

    >>> chinese_names("accuracy\n\n准确率. A share.\n\nscale\n\n量化步长. A step.")
    {'准确率': 'accuracy', '量化步长': 'scale'}
    """
    found = re.findall(r"^([^\n]+)\n\n([一-鿿]+)", glossary, re.MULTILINE)
    return {chinese: term for term, chinese in found}


def term_pages(terms: list[str], chapters: dict[str, str]) -> dict[str, list[tuple[str, int]]]:
    """Return, for a term and each longer word of it, the chapters that open with it or use it most.

    >>> text = 400 * "." + "zero point, zero point"
    >>> term_pages(["zero point"], {"03": "a zero point", "04": text, "05": ""})
    {'point': [('03', 150), ('04', 100)], 'zero point': [('03', 150), ('04', 100)]}
    """
    keys = {*terms, *(word for term in terms for word in re.split("[ -]", term) if len(word) > 4)}
    table = {}
    for key in sorted(keys):
        counts = {page: text.count(key) for page, text in chapters.items()}
        most = max(counts.values(), default=0)
        scores = {
            page: round(_BEST * (count / most + (key in chapters[page][:_OPENING])))
            for page, count in counts.items()
            if count
        }
        if scores:
            table[key] = sorted(scores.items(), key=lambda item: -item[1])[:_KEPT]
    return table


def write_script(app: Sphinx, env: Any) -> None:
    """Write the script with its tables, and have Sphinx use it (event env-updated)."""
    texts = {page: env.book_texts[page] for page in sorted(env.found_docs & set(env.book_texts))}
    chapters = {page: text for page, text in texts.items() if re.match(r"chapters/\d\d_", page)}
    chinese = chinese_names(texts.get("chapters/glossary", ""))
    terms = [name.lower() for kind, name in env.get_domain("std").objects if kind == "term"]
    filled = Template(_SCRIPT.read_text("utf-8")).substitute(
        terms=json.dumps(term_pages(terms, chapters), ensure_ascii=False),
        chinese=json.dumps(chinese, ensure_ascii=False),
    )
    script = Path(app.doctreedir) / "search.js"
    script.write_text(filled, "utf-8")
    app.config.html_search_scorer = str(script)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_search_language(BookWords)
    app.connect("doctree-read", remember_text)
    app.connect("env-updated", write_script)
    return {"env_version": 1, "parallel_read_safe": False, "parallel_write_safe": True}
