"""The examination of an answer: its kind, its claims, and what went wrong."""

import linecache
import sysconfig
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exercises.framework import Exercise, Test, WrongResultError
from exercises.limits import LIMIT, TooLongError, contained, limited

NO_ANSWER = "No answer yet: put yours in the place of the dots."
"""What a learner reads who has not answered."""

_LONGEST = 300
"""Characters of what an error says that a learner reads."""

_NOT_THE_LEARNERS = (
    *(str(Path(__file__).parents[1] / part) for part in ("exercises", "reference_impl")),
    *("site-packages", sysconfig.get_path("stdlib"), "<frozen"),
)


@dataclass(frozen=True)
class Report:
    """What the examination found; ``lines`` is what the learner reads."""

    passed: bool
    lines: tuple[str, ...]


def examine(exercise: Exercise, answer: Any, limit: float = LIMIT) -> Report:
    """Return the report on ``answer``: its kind, then each claim, then what it raised, a hint.

    The answer's code runs with warnings ignored and for at most ``limit`` seconds. What it raises,
    SystemExit too, becomes a line of the report.
    """
    if answer is ...:
        return Report(passed=False, lines=(NO_ANSWER,))
    lines: list[str] = []
    with contained():
        try:
            return limited(lambda: _examined(exercise, answer, lines), limit)
        except TooLongError:
            said = f"It was stopped after {limit:g} seconds: is there a loop that never ends?"
        except KeyboardInterrupt as error:
            said = f"It was interrupted{_place(error)}."
    reached = list(exercise.claims.items())[len(lines) :]
    if not reached:  # in a mistake's test, after all claims
        return Report(passed=False, lines=(*lines, f"! {said}"))
    text, (_, hint) = reached[0]
    return Report(passed=False, lines=(*lines, f"✗ {text}", f"! {said}", f"→ {hint}"))


def _examined(exercise: Exercise, answer: Any, lines: list[str]) -> Report:
    """Return the report, and fill ``lines`` with a line for each claim on the way."""
    wrong_kind = exercise.kind(answer)
    if wrong_kind:
        return Report(passed=False, lines=(f"✗ {wrong_kind}",))
    advice, crashes = [], []
    for text, (test, hint) in exercise.claims.items():
        held, wrong_result, crash = _attempt(test, answer)
        lines.append(f"{'✓' if held else '✗'} {text}")
        if not held:
            advice.append(wrong_result or hint)
            crashes += [crash] if crash else []
    if not advice:
        return Report(passed=True, lines=tuple(lines))
    made = (text for text, test in exercise.mistakes.items() if _attempt(test, answer)[0])
    hint = next(made, advice[0])
    return Report(passed=False, lines=(*lines, *(f"! {c}" for c in crashes[:1]), f"→ {hint}"))


def _attempt(test: Test, answer: Any) -> tuple[bool, str, str]:
    """Return whether ``test`` holds; if not, why the result cannot be tested, what was raised."""
    try:
        return bool(test(answer)), "", ""
    except WrongResultError as error:
        return False, str(error), ""
    except (TooLongError, KeyboardInterrupt):
        raise
    except SystemExit as error:
        return False, "", f"It called exit(){_place(error)}: a function gives its result by return."
    except BaseException as error:  # noqa: BLE001 — a learner's code may raise anything
        return False, "", f"It raised {failure(error)}"


def failure(error: BaseException) -> str:
    """Return the kind and the message of an error, and the learner's line, in one line."""
    kind = "exit()" if isinstance(error, SystemExit) else type(error).__name__
    text = " ".join(f"{kind}: {error}".split()).removesuffix(": None").removesuffix(":")
    return (text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…") + _place(error)


def _place(error: BaseException) -> str:
    """Return the last line of the learner's own code that the error went through, or nothing."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not any(part in f.filename for part in _NOT_THE_LEARNERS)]
    if not own:
        return ""
    last = own[-1]
    file = "your cell" if "ipykernel" in last.filename else Path(last.filename).name
    text = linecache.getline(last.filename, last.lineno or 0).strip()
    return f", line {last.lineno} of {file}" + (f": {text}" if text else "")
