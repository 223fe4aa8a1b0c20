"""The picture of which chapter needs which: an SVG of its own, readable on a phone."""

from html import escape

from book_tools.pages.heads import Head, direct

_ROW, _LEFT, _TOP, _WIDTH = 30, 132, 22, 372  #: pixels
_COLOURS = ("#0072B2", "#D55E00", "#007A5A", "#9B4F83")  # dark enough on white


def _height(number: str, order: list[str]) -> float:
    return _TOP + _ROW * order.index(number)


def _arc(need: str, number: str, order: list[str]) -> str:
    """Return an arrow from a chapter down to one that needs it; longer ones reach farther left."""
    top, bottom = _height(need, order), _height(number, order)
    top, bottom = top + 4, bottom - 4  # one comes in above, another leaves below
    reach = _LEFT - 32 - 100 * (order.index(number) - order.index(need)) / len(order)
    colour = _COLOURS[order.index(need) % len(_COLOURS)]
    return (
        f'<path d="M{_LEFT - 16} {top:g} C{reach:g} {top:g} {reach:g} {bottom:g} '
        f'{_LEFT - 19} {bottom:g}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
        f'<path d="M{_LEFT - 22} {bottom - 4:g} l7 4 l-7 4 z" fill="{colour}"/>'
    )


def drawn(found: dict[str, Head]) -> str:
    """Return the SVG: a row for each chapter, an arrow for each direct need."""
    order = list(found)
    rows = []
    for number, head in found.items():
        name = escape(head.title.partition(":")[0])
        y = _height(number, order)
        rows.append(
            f'<circle cx="{_LEFT - 2}" cy="{y:g}" r="12" fill="#e8eef4" stroke="#333"/>'
            f'<text x="{_LEFT - 2}" y="{y + 4:g}" text-anchor="middle" font-weight="bold">{number}'
            f'</text><text x="{_LEFT + 16}" y="{y + 4:g}">{name}</text>'
        )
    arcs = "\n".join(_arc(need, number, order) for need, number in direct(found))
    height = _TOP * 2 + _ROW * (len(order) - 1)
    letters = 'font-family="sans-serif" font-size="12.5" fill="#111"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}" {letters}>\n'
        f'<rect width="{_WIDTH}" height="{height}" rx="6" fill="#fff"/>\n'
        f"{arcs}\n" + "\n".join(rows) + "\n</svg>\n"
    )


def described(found: dict[str, Head]) -> str:
    """Return the alternative text: the arrows in words."""
    needs: dict[str, list[str]] = {}
    for need, number in direct(found):
        needs.setdefault(number, []).append(need)
    listed = "; ".join(f"{number} needs {' and '.join(n)}" for number, n in needs.items())
    free = [number for number, head in found.items() if not head.needs]
    return f"Arrows between the chapters: {listed}. {' and '.join(free)} need no other chapter."
