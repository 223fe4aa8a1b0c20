"""An equation in LaTeX as a line of text, for pages that cannot typeset."""

import re
from typing import Any

from pylatexenc import latex2text, latexwalker
from pylatexenc.latex2text import EnvironmentTextSpec, MacroTextSpec, SpecialsTextSpec
from pylatexenc.macrospec import std_macro

#: What stands without parentheses in a power or an index, and what does in a fraction.
_INDEX = re.compile(r"[\w.^'⊤]+")
_FACTOR = re.compile(r"(\d+|\w|[a-z]{3,})([_^]([\w⊤]+|\([^()]*\)))*|\|[^|]*\||√\([^()]*\)")


def _grouped(text: str, alone: re.Pattern[str]) -> str:
    text = text.strip()
    return text if alone.fullmatch(text) else f"({text})"


def _fraction(node: Any, l2tobj: Any) -> str:
    return "/".join(_grouped(l2tobj.node_arg_to_text(node, i), _FACTOR) for i in (0, 1))


def _cases(node: Any, l2tobj: Any) -> str:
    return str(l2tobj.nodelist_to_text(node.nodelist)).replace("\t", ", ")


_FUNCTIONS = ("arg", "cos", "ln", "log", "max", "min", "sin")
_MACROS = {name: f" {name} " for name in _FUNCTIONS} | {
    **{"frac": _fraction, "tfrac": _fraction, "binom": "C(%(1)s, %(2)s)", "bmod": " mod "},
    **{"operatorname": "%(2)s", "mathrm": "%s", "mathsf": "⊤", "top": "⊤ ", "|": "‖"},
    **{"ne": "≠", "\\": ";"},
}
_PARSED = latexwalker.get_default_latex_context_db()
_ARGUMENTS = [std_macro("tfrac", "{{"), std_macro("binom", "{{"), std_macro("operatorname", "*{")]
_PARSED.add_context_category("book", _ARGUMENTS, prepend=True)
_SHOWN = latex2text.get_default_latex_context_db()
_SHOWN.add_context_category(
    "book",
    [MacroTextSpec(name, text) for name, text in _MACROS.items()],
    [EnvironmentTextSpec("cases", _cases)],
    [SpecialsTextSpec("&", "\t")],
    prepend=True,
)


class _Text(latex2text.LatexNodes2Text):
    def group_node_to_text(self, node: Any) -> str:
        text = super().group_node_to_text(node)  # type: ignore[no-untyped-call]
        return _grouped(text, _INDEX)


def readable(latex: str) -> str:
    r"""Return an equation as a line of text.

    >>> readable(r"s = \frac{h - \ell}{q_{\max}}, \quad \tfrac12 \lVert x \rVert^2 .")
    's = (h - ℓ)/q_max, 1/2 ‖x‖^2'
    >>> readable(r"\frac{u - v}{\sqrt{2}} + \frac{1}{2N} + \binom{M}{N} + p \bmod 2")
    '(u - v)/√(2) + 1/(2N) + C(M, N) + p mod 2'
    """
    nodes = latexwalker.LatexWalker(latex, latex_context=_PARSED).get_latex_nodes()[0]
    spaces = {"between-latex-constructs": True, "between-macro-and-chars": False}
    to_text: Any = _Text(_SHOWN, math_mode="text", strict_latex_spaces=spaces)  # type: ignore[no-untyped-call]
    line = " ".join(to_text.nodelist_to_text(nodes).split())
    line = re.sub(r"\s+(?=[_^])|(?<=[_^Δ∂∇])\s+", "", line)
    line = re.sub(r"\s*([=≤≥≈≠<>∈∝→⟶⟹←·×])\s*", r" \1 ", line)
    line = re.sub(r"([(\[⌊⌈⟨])\s+|\s+(?=[)\]⌋⌉⟩])", r"\1", line)
    line = re.sub(r"‖\s*(\w|[^‖]*?\S)\s*‖", r"‖\1‖", line)
    return re.sub(r"\s*([,;])(\s*[,;])*", r"\1", re.sub(r"(?<=\w)\s+\(", "(", line)).strip(" .,;")
