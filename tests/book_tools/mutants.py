"""Systematic mutants of one output: each printed token wrong, each part of a figure changed."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from book_tools.comparing.tokens import Token, tokenize

SVG = "{http://www.w3.org/2000/svg}"
#: Parts of a figure that are changed, evenly chosen among all: each costs two comparisons.
PARTS = 40
#: Parts that are always among them.
NAMED = ("legend_1", "xtick_2", "matplotlib.axis_2")


def texts(output: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield (holder, key) for every text of an output but figures."""
    for key in ("text", "evalue"):
        if key in output:
            yield output, key
    for mime in output.get("data", {}):
        if mime.startswith("text/"):
            yield output["data"], mime


def bumped(token: Token) -> Iterator[str]:
    """Yield what a wrong program might have printed instead of a token."""
    if not token.numbers:
        yield "…" if token.text == "x" else "x"
        return
    number, *margins = token.numbers
    margin = sum(given.value for given in margins)
    step = 2 * margin + number.unit if margins or number.is_integer else 2 * number.unit
    tail = token.text[len(number.text) :]
    grouped = "," if number.grouped else ""
    if not number.exponent:
        yield f"{number.value + step:{grouped}.{number.decimals}f}{tail}"
    if abs(number.value) > max(margin, 0 if number.is_integer else number.unit):
        yield (number.text[1:] if number.value < 0 else f"-{number.text.lstrip('+')}") + tail
    if margins:
        yield token.text.replace("±", "and")
    yield "nan"


def spans(text: str) -> Iterator[tuple[int, Token]]:
    """Yield every visible token with its place in the text."""
    place = 0
    for token in tokenize(text):
        if token.text != "\n" and token.text in text[place:]:
            place = text.index(token.text, place)
            yield place, token
            place += len(token.text)


def token_mutants(output: Any) -> Iterator[tuple[str, Any]]:
    """Yield copies of an output in which one printed token is wrong."""
    for h, (holder, key) in enumerate(texts(output)):
        text = "".join(holder[key])
        for place, token in spans(text):
            for wrong in bumped(token):
                mutant = deepcopy(output)
                target, name = list(texts(mutant))[h]
                target[name] = text[:place] + wrong + text[place + len(token.text) :]
                yield f"{key}: {token.text!r} at {place} became {wrong!r}", mutant


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg, ET.XMLParser(target=ET.TreeBuilder(insert_comments=True)))


def chosen(parts: list[Any]) -> list[Any]:
    return parts[:: len(parts) // PARTS + 1]


def dropped(svg: str) -> Iterator[tuple[str, str]]:
    """Yield figures in which one group, path or use is missing."""
    tree = parsed(svg)
    visible = (f"{SVG}g", f"{SVG}path", f"{SVG}use", f"{SVG}image")
    places = [(parent, child) for parent in tree.iter() for child in parent if child.tag in visible]
    ids = [child.get("id") for _, child in places]
    named = {ids.index(name) for name in NAMED if name in ids}
    for i in sorted({*chosen([*range(len(ids))]), *named}):
        parent, child = places[i]
        at = [*parent].index(child)
        parent.remove(child)
        yield f"part {i} {child.get('id')} dropped", ET.tostring(tree, encoding="unicode")
        parent.insert(at, child)


def lifted(svg: str) -> Iterator[tuple[str, str]]:
    """Yield figures in which what is drawn within axes moves up by 2 % of their height."""
    heights = {
        f"url(#{clip.get('id')})": float(clip[0].get("height", "0"))
        for clip in parsed(svg).iter(f"{SVG}clipPath")
    }
    tree = parsed(svg)
    for path in chosen([p for p in tree.iter(f"{SVG}path") if p.get("clip-path") in heights]):
        drawn, step = path.attrib["d"], 0.02 * heights[path.attrib["clip-path"]]
        moved = re.sub(
            r"([-\d.]+) ([-\d.]+)", lambda m, step=step: f"{m[1]} {float(m[2]) - step:.6f}", drawn
        )
        path.set("d", moved)
        yield "a path moved by 2 %", ET.tostring(tree, encoding="unicode")
        path.set("d", drawn)


def reworded(svg: str) -> Iterator[tuple[str, str]]:
    """Yield figures in which one string is another."""
    for match in chosen(list(re.finditer(r"<!-- (.*?) -->", svg))):
        yield f"{match[1]!r} reworded", svg[: match.start()] + "<!-- x! -->" + svg[match.end() :]


def redrawn(svg: str) -> Iterator[tuple[str, str]]:
    """Yield figures with a transparent line, and with two letters exchanged."""
    if "stroke: #0072b2" in svg:
        yield "transparent", svg.replace("stroke: #0072b2", "stroke: #0072b2; stroke-opacity: 0.5")
    letters = list(dict.fromkeys(re.findall(r'href="(#DejaVuSans-[0-9a-f]+)"', svg)))
    for a, b in [letters[:2]] * (len(letters) > 1):
        exchanged = svg.replace(f'"{a}"', "\0").replace(f'"{b}"', f'"{a}"').replace("\0", f'"{b}"')
        yield "letters exchanged", exchanged


def figure_mutants(output: Any) -> Iterator[tuple[str, Any]]:
    """Yield copies of an output whose figure is visibly another."""
    svg = "".join(output.get("data", {}).get("image/svg+xml", ""))
    if not svg:
        return
    for change in (dropped, lifted, reworded, redrawn):
        for name, wrong in change(svg):
            mutant = deepcopy(output)
            mutant["data"]["image/svg+xml"] = wrong
            yield name, mutant
