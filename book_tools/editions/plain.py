"""The book's Markdown as any Jupyter shows it: without directives, roles and labels.

JupyterLab and Colab know headings, tables, quotations and formulas; what only the site knows
becomes one of these. A role or directive that is not listed here is an error, so that no edition
shows one raw. A formula becomes an ``equation*``, which JupyterLab's MyST does not number again.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

from book_tools.editions.labels import EQUATION, Labels, authors, reference, year
from book_tools.failures import BookError

_FENCE = re.compile(
    r"^(`{3,}|:{3,})\{([\w-]+)\} ?([^\n]*)\n((?::[\w-]+:[^\n]*\n)*)(.*?)^\1 *$",
    re.MULTILINE | re.DOTALL,
)
_CODE = re.compile(r"^(`{3,})(?!\{)[^\n]*\n.*?^\1 *$", re.MULTILINE | re.DOTALL)
_ROLE = re.compile(r"\{([a-z]+(?::[a-z]+)?)\}`([^`]+)`")
_LINK = re.compile(r"(?<!!)\[((?:[^][]|\[[^][]*\])*)\]\((?!https?:)([^()\s]+)\)")
_TARGET = re.compile(r"^\([\w-]+\)=\n", re.MULTILINE)


@dataclass(frozen=True)
class Translator:
    """Translates the texts of one notebook.

    Args:
        labels: what the book's labels stand for.
        cited: the keys of the works that the notebook cites.
        files: the names of the notebooks in the edition; links to others become their text.
    """

    labels: Labels
    cited: Sequence[str]
    files: Collection[str]

    def translated(self, text: str) -> str:
        """Return a text, whose blocks of code stay as they are.

        Raises:
            BookError: if it has a directive, a role or a label that is not known.
        """
        text = _FENCE.sub(self._directive, text)
        kept: list[str] = []

        def put_away(code: re.Match[str]) -> str:
            kept.append(code[0])
            return f"\0{len(kept) - 1}\0"

        text = _CODE.sub(put_away, text)
        text = EQUATION.sub(self._equation, _TARGET.sub("", text))
        text = _LINK.sub(self._link, _ROLE.sub(self._role, text))
        return re.sub(r"\0(\d+)\0", lambda place: kept[int(place[1])], text)

    def name(self, label: str) -> str:
        """Return what a label stands for."""
        if label not in self.labels.names:
            raise BookError(f"no chapter has the label {label}")
        return self.labels.names[label]

    def _equation(self, found: re.Match[str]) -> str:
        tag = f"\n\\tag{{{self.name(found[2]).strip('()')}}}" if found[2] else ""
        return f"\\begin{{equation*}}\n{found[1]}{tag}\n\\end{{equation*}}"

    def _link(self, found: re.Match[str]) -> str:
        file = found[2].partition("#")[0]
        return f"[{found[1]}]({file})" if file in self.files else found[1]

    def _role(self, found: re.Match[str]) -> str:
        role, content = found[1], found[2]
        roles: dict[str, Callable[[str], str]] = {
            "cite:p": partial(self._citation, form="{}, {}", around="[{}]"),
            "cite:t": partial(self._citation, form="{} [{}]", around="{}"),
            **dict.fromkeys(("eq", "numref"), self.name),
            "ref": lambda label: _said(label) or self.name(label),
            **dict.fromkeys(("term", "doc"), lambda label: _said(label) or label),
            **dict.fromkeys(("func", "class", "mod"), _code),
        }
        if role not in roles:
            raise BookError(f"an edition cannot show the role {{{role}}}: {found[0]}")
        return roles[role](content)

    def _citation(self, keys: str, form: str, around: str) -> str:
        works = [self.labels.works[key.strip()] for key in keys.split(",")]
        return around.format("; ".join(form.format(authors(w), year(w)) for w in works))

    def _directive(self, found: re.Match[str]) -> str:
        _, kind, title, options, body = found.groups()
        inside = _FENCE.sub(self._directive, body).strip()
        if kind == "exercise":
            (label,) = re.findall(r"^:label: (\S+)", options, re.MULTILINE)
            return f"### {self.name(label)}: {title}\n\n{inside}"
        if kind == "solution-start":
            return "#### Solution"
        if kind in {"admonition", "note", "tip", "warning"}:
            return _quoted(f"**{title or kind.capitalize()}**\n\n{inside}")
        if kind == "list-table":
            (label,) = re.findall(r"^:name: (\S+)", options, re.MULTILINE)
            return f"**{self.name(label)}.** {title}\n\n{_table(inside)}"
        if kind == "bibliography":
            return "\n".join(f"- {reference(self.labels.works[key])}" for key in self.cited)
        raise BookError(f"an edition cannot show the directive {{{kind}}} {title}")


def cited_keys(text: str) -> list[str]:
    """Return the keys of the works that a text cites, sorted."""
    keys = (
        key for found in re.findall(r"\{cite:[pt]\}`([^`]+)`", text) for key in found.split(",")
    )
    return sorted({key.strip() for key in keys})


def _said(content: str) -> str:
    """Return the text of ``text <label>``; nothing if there is only a label."""
    found = re.fullmatch(r"(.*?)\s*<[^<>]+>", content, re.DOTALL)
    return found[1] if found else ""


def _code(content: str) -> str:
    """Return a name of Python: that after the last dot if it begins with a tilde."""
    name = _said(content) or content
    return f"`{name.rpartition('.')[2] if name.startswith('~') else name}`"


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())


def _table(body: str) -> str:
    """Return a list of lists as a table of Markdown, whose first row is the head."""
    rows = [
        [" ".join(cell.split()).replace("|", r"\|") for cell in re.split(r"^  - ", row, flags=re.M)]
        for row in re.split(r"^\* - ", body, flags=re.MULTILINE)[1:]
    ]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])
