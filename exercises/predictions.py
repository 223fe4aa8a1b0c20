"""Questions that a chapter asks before it shows a result: ``guess("rounding-three-bits", 8)``.

They stand beside the exercises, in the chapter's TOML file. An answer is a number, the letter of an
option, or the letters of all options in their order.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path
from string import ascii_lowercase
from types import MappingProxyType
from typing import Any

from exercises import CHAPTERS
from exercises.framework import a_number, as_number
from exercises.notes import notes
from exercises.progress import find
from reference_impl.files import write_atomically


def shown(number: float) -> str:
    """Return a number as text, with at most six decimals.

    >>> shown(-15595.25)
    '−15,595.25'
    """
    return f"{round(number, 6):,.15g}".replace("-", "−")


_DIFFERENCES = {"times": "", "%": " points"}
"""The unit of a difference where it is another one; 5 times too high would be a factor."""


@dataclass(frozen=True)
class Prediction:
    """A question and its answer.

    Args:
        question: in one or two sentences.
        answer: a number; the letter of an option; or the letters of all options, in order.
        why: what explains the answer, in one to three sentences.
        evidence: texts that later outputs of the chapter print: the number itself, or one for each
            option where these are put in an order.
        options: none for a number.
        unit: of the number.
        close: how far from the answer a number may be that counts as close.
        hides: "section" if a page hides the rest of the section, and not the next topics only;
            "part" if it hides the sections after it, too.
    """

    question: str
    answer: float | str
    why: str
    evidence: list[str]
    options: tuple[str, ...] = ()
    unit: str = ""
    close: float = 0.0
    hides: str = ""

    @property
    def kind(self) -> str:
        """Return "number", "choice" or "order"."""
        if not isinstance(self.answer, str):
            return "number"
        return "choice" if len(self.answer) == 1 else "order"

    @property
    def asked(self) -> list[str]:
        """Return the lines of the question, with the letters of the options."""
        options = zip(ascii_lowercase, self.options, strict=False)
        return [self.question, *(f"  {letter}  {option}" for letter, option in options)]

    def wrong_kind(self, guess: Any) -> str | None:
        """Return what is wrong with the kind of a guess, or None."""
        if self.kind == "number":
            return a_number(guess)
        letters = list(ascii_lowercase[: len(self.options)])
        if self.kind == "choice":
            return (
                None if guess in letters else f"The guess must be one letter: {', '.join(letters)}."
            )
        if isinstance(guess, str) and sorted(guess) == letters:
            return None
        return f"The guess must have each of the letters {', '.join(letters)} once, in quotes."

    def compared(self, guess: Any) -> str:
        """Return the sentence that says how far off a guess was."""
        unit = f" {self.unit}" if self.unit else ""
        if not isinstance(self.answer, str):
            number, answer = as_number(guess), self.answer
            said = f"You said {shown(number)}{unit}; it is {shown(answer)}{unit}."
            if number * answer < 0:  # of a loss it is not always clear
                said += " The sign is wrong; what follows is about the size."
                number, answer = abs(number), abs(answer)
            off = number - answer
            if not off:
                return f"{said} Exactly."
            if abs(off) <= self.close:
                return f"{said} Close."
            distance = shown(float(f"{abs(off):.3g}"))
            by = _DIFFERENCES.get(self.unit, unit)
            return f"{said} Your guess is {distance}{by} too {'high' if off > 0 else 'low'}."
        if self.kind == "choice":
            right = self.options[ascii_lowercase.index(self.answer)]
            return f"You chose {guess}; it is {self.answer}: {right}"
        pairs = list(combinations(self.answer, 2))
        kept = sum(guess.index(a) < guess.index(b) for a, b in pairs)
        return f"You said {guess}; it is {self.answer}: {kept} of {len(pairs)} pairs are in order."


@cache
def all_predictions() -> Mapping[str, Prediction]:
    """Return every question of the course by its name, in the order of the chapters."""
    tables = [notes(chapter)["predictions"] for chapter in CHAPTERS]
    return MappingProxyType({n: Prediction(**one) for table in tables for n, one in table.items()})


_FORMS = {
    "number": "your guess",
    "choice": "a letter, in quotes,",
    "order": "all letters in your order, in quotes,",
}
"""What a guess of each kind is, as a learner types it."""

_locked: dict[str, Any] = {}


def locked(name: str, answer: Any) -> Any:
    """Return the first guess of a question: an earlier one, or this, which is kept.

    It is kept until the kernel ends, and beside a learner's ``progress.json`` also after that.
    """
    progress = find(Path.cwd())
    path = progress.with_name("guesses.json") if progress else None
    try:
        kept = json.loads(path.read_text("utf-8")) if path and path.is_file() else {}
        _locked.update({n: g for n, g in kept.items() if n not in _locked})
        first = _locked.setdefault(name, answer)
        if path and name not in kept:
            text = json.dumps(kept | {name: first}, indent=1) + "\n"
            write_atomically(path, lambda part: part.write_text(text, "utf-8"))
    except (ValueError, AttributeError, OSError):  # a damaged file, or one that cannot be written
        first = _locked.setdefault(name, answer)
    return first


def guess(name: str, answer: Any) -> None:
    """Print a question, or how far off a guess is; the first guess stands.

    Args:
        name: of the question.
        answer: the guess: a number, a letter, letters in their order, or ``...`` for none yet.

    Raises:
        TypeError: if ``name`` is not a string.
        ValueError: if no question has that name.
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {type(name).__name__}")
    if name not in all_predictions():
        raise ValueError(f"name must be one of {', '.join(all_predictions())}; got {name!r}")
    one = all_predictions()[name]
    lines = [*one.asked]
    if answer is ...:
        put = f"Put {_FORMS[one.kind]} in the place of the dots"
        lines.append(f"{put} and run the cell, or read on.")
    elif wrong := one.wrong_kind(answer):
        lines.append(f"✗ {wrong}")
    else:
        now = answer if isinstance(answer, str) else as_number(answer)
        first = locked(name, now)
        if first != now:
            lines.append(
                f"Your first guess, {first if isinstance(first, str) else shown(first)}, stands."
            )
        lines += [one.compared(first), one.why]
    print("\n".join(lines))  # noqa: T201 — the learner reads it below the cell
