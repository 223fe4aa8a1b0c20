"""An equation in LaTeX as a line of text, for pages that cannot typeset."""

import re

from pylatexenc.latex2text import LatexNodes2Text


def readable(latex: str) -> str:
    r"""Return an equation as a line of text.

    >>> readable(r"s = \frac{h - \ell}{q_{\max}}, \quad \tfrac12 \lVert x \rVert^2 .")
    's = (h - ℓ)/q_max, 1/2 ‖x‖^2'
    >>> readable(r"\frac{u - v}{\sqrt{2}} + \frac{1}{2N} + \binom{M}{N} + p \bmod 2")
    '(u - v)/√(2) + 1/(2N) + C(M, N) + p mod 2'
    """
    text = re.sub(r"\\[td]?frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}", latex)
    text = re.sub(r"\\[td]frac", r"\\frac", text)
    text = re.sub(r"\\frac\s*(\w)\s*\{", r"\\frac{\1}{", text)
    text = re.sub(r"\\[td]?binom\s*\{?(\w)\}?\s*\{?(\w)\}?", r"C(\1, \2)", text)
    text = re.sub(r"\\bmod(?![a-z])", r"~mod~", text)
    text = re.sub(r"\\[lr]?Vert(?![a-z])|\\\|", "‖", text)
    text = re.sub(r"\\top|\{\\mathsf\s*T\}|\\mathsf\{T\}", "⊤", text)
    text = re.sub(r"([_^])\s*\\(?:text|mathrm|operatorname)\*?\s*\{", r"\1{", text)
    text = re.sub(r"\\(?:text|mathrm|operatorname)\*?\s*\{([^{}]*)\}", r" \1 ", text)
    text = re.sub(r"\\(ln|log|min|max|lim|sin|cos|arg)(?![a-z])", r" \1 ", text)
    text = re.sub(
        r"\\begin\{cases\}(.*?)\\end\{cases\}",
        lambda m: m[1].replace("&", ", "),
        text,
        flags=re.DOTALL,
    )
    text = re.sub(r"\\[bB]igg?[lrm]?(?![a-z])|\\(?:left|right)(?![a-z])\.?", " ", text)
    text = re.sub(r"\\\\(\[[^\]]*\])?", ";  ", text)
    while (flat := _without_groups(text)) != text:
        text = flat
    line = " ".join(LatexNodes2Text(math_mode="text").latex_to_text(text).split())
    line = re.sub(r"\s+(?=[_^])", "", line)
    line = re.sub(r"\s*([=≤≥≈≠<>∈∝→⟶⟹←·×])\s*", r" \1 ", line)
    line = re.sub(r"([(\[⌊⌈⟨])\s+|\s+(?=[)\]⌋⌉⟩])", r"\1", line)
    line = re.sub(r"(?<=[\w])\s+\(", "(", re.sub(r"‖\s*(\w|[^‖]*?\S)\s*‖", r"‖\1‖", line))
    return re.sub(r"\s*([,;])(\s*[,;])*", r"\1", line).strip(" .,;")


def _without_groups(text: str) -> str:
    """Replace the innermost fractions, powers and indices by text with parentheses."""

    def grouped(part: str, one: str = r"[\\\w.^'⊤]+|\|[^|]*\||√\([^()]*\)") -> str:
        part = part.strip()
        return part if re.fullmatch(one, part) else f"({part})"

    one_symbol = r"(\d+|\w|[a-z]{3,}|\\\w+)([_^]([\w⊤]+|\\\w+|\([^()]*\)))*|\|[^|]*\||√\([^()]*\)"

    group = r"\{([^{}]*)\}"
    text = re.sub(
        rf"\\frac\s*{group}\s*{group}",
        lambda m: f"{grouped(m[1])}/{grouped(m[2], one_symbol)}",
        text,
    )
    text = re.sub(rf"\\sqrt\s*{group}", r"√(\1)", text)
    return re.sub(rf"([\^_]){group}", lambda m: m[1] + grouped(m[2]), text)
