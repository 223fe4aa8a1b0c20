"""Slides of the chapters: ``python -m book_tools.site.slides 02``, which ``make slides`` runs.

They are made from the pages of the built site, and shown by the reveal.js that comes with
sphinx-revealjs. The folder ``_build/slides`` can be copied; it needs no server and no network.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path, PurePosixPath

from book_tools.failures import explained
from book_tools.files import ROOT
from book_tools.notebooks import chosen
from book_tools.site.built_pages import Entry, article, entries, from_root, read
from book_tools.site.slides.outline import Outline, as_html

_REVEAL = ("dist", "plugin/notes")
_UNUSED = shutil.ignore_patterns("*.map", "*.esm.js", "*.eot", "*.ttf")
_HEAD = """<!DOCTYPE html>
<html lang="en" data-theme="light"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="reveal/dist/reveal.css">
<link rel="stylesheet" href="reveal/dist/theme/white.css" media="(prefers-color-scheme: light)">
<link rel="stylesheet" href="reveal/dist/theme/black.css" media="(prefers-color-scheme: dark)">
<link rel="stylesheet" href="site/_static/pygments.css">
<link rel="stylesheet" href="deck.css">
<script src="reveal/dist/reveal.js"></script><script src="reveal/plugin/notes/notes.js"></script>
{mathjax}
<script src="deck.js"></script></head><body><div class="reveal"><div class="slides">
"""
_TAIL = "</div></div></body></html>\n"


def _keep(site: Path, folder: Path, address: str) -> str:
    """Copy a file of the site beside the slides; return its address from there."""
    target = folder / "site" / address
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(site / address, target)
    return f"site/{address}"


def _mathjax(site: Path, folder: Path, entry: Entry) -> str:
    """Copy the site's MathJax beside the slides; return the elements that load it."""
    kept = []
    for script in read(site / entry.address).select("head script"):
        if "mathjax" not in str(script).lower():
            continue
        if script.has_attr("src"):
            address = from_root(entry.address, str(script["src"])).partition("?")[0]
            parent = PurePosixPath(address).parent
            shutil.copytree(site / parent, folder / "site" / parent, dirs_exist_ok=True)
            script["src"] = f"site/{address}"
        kept.append(str(script))
    return "\n".join(kept)


def write_slides(site: Path, folder: Path, entry: Entry) -> int:
    """Write the slides of a chapter to ``folder``; return how many there are."""
    shown = article(site, entry)
    for image in shown.select("img[src]"):
        if not str(image["src"]).startswith("data:"):
            image["src"] = _keep(site, folder, str(image["src"]))
    for link in shown.select("a"):
        if not str(link.get("href")).startswith("http"):
            link.unwrap()
    slides = Outline(shown).slides
    head = _HEAD.format(title=escape(entry.title), mathjax=_mathjax(site, folder, entry))
    first, *others = slides
    made = [as_html(first, "title"), *map(as_html, others)]
    page = head + "\n".join(made) + _TAIL
    (folder / f"{entry.name}.html").write_text(page, "utf-8")
    return len(slides)


def prepare(site: Path, folder: Path) -> None:
    """Copy what all slides share: reveal.js, the colours of code, our style and script."""
    reveal = files("sphinx_revealjs") / "_static" / "revealjs"
    for part in _REVEAL:
        target = folder / "reveal" / part
        shutil.copytree(str(reveal / part), target, ignore=_UNUSED, dirs_exist_ok=True)
    for name in ("deck.css", "deck.js"):
        shutil.copyfile(str(files("book_tools.site.slides") / name), folder / name)
    _keep(site, folder, "_static/pygments.css")


def make_slides(root: Path, names: Sequence[str]) -> str:
    """Write the slides of the named chapters; return a line that says where they are."""
    site, folder = root / "_build/html", root / "_build/slides"
    wanted = [entry for entry in entries(site) if entry.name in names]
    folder.mkdir(parents=True, exist_ok=True)
    prepare(site, folder)
    for entry in wanted:
        print(f"{entry.name}.html: {write_slides(site, folder, entry)} slides")
    return f"Open a file of {folder} in a browser; S shows the notes."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m book_tools.site.slides", description=__doc__)
    parser.add_argument("chapter", nargs="*", help="numbers of chapters; all without")
    given = parser.parse_args(arguments).chapter
    return explained(lambda: make_slides(ROOT, [p.stem for p in chosen(given)]), "make slides")


if __name__ == "__main__":
    sys.exit(main())
