"""Checkers for learners' answers: ``check("min-max-codes", answer)``."""

from types import MappingProxyType
from typing import Any

from exercises import (
    affine,
    affine_budget,
    affine_channel,
    codebook,
    codebook_size,
    cost,
    cost_batch,
    distill,
    distill_objective,
    importance,
    importance_spare,
    integer,
    integer_rounding,
    merge,
    merge_units,
    narrow,
    narrow_remove,
    ptq,
    ptq_rounding,
    qat,
    qat_trainable,
    relation,
    relation_distances,
    rounding,
    rounding_noise,
    sparse,
    sparse_masks,
    stability,
    stability_units,
    student,
    student_bias,
)
from exercises.framework import Exercise, Report, examine

#: Every exercise of the book by name.
EXERCISES: MappingProxyType[str, Exercise] = MappingProxyType(
    {
        **affine.EXERCISES,
        **affine_budget.EXERCISES,
        **affine_channel.EXERCISES,
        **codebook.EXERCISES,
        **codebook_size.EXERCISES,
        **cost.EXERCISES,
        **cost_batch.EXERCISES,
        **distill.EXERCISES,
        **distill_objective.EXERCISES,
        **importance.EXERCISES,
        **importance_spare.EXERCISES,
        **integer.EXERCISES,
        **integer_rounding.EXERCISES,
        **merge.EXERCISES,
        **merge_units.EXERCISES,
        **narrow.EXERCISES,
        **narrow_remove.EXERCISES,
        **ptq.EXERCISES,
        **ptq_rounding.EXERCISES,
        **qat.EXERCISES,
        **qat_trainable.EXERCISES,
        **relation.EXERCISES,
        **relation_distances.EXERCISES,
        **rounding.EXERCISES,
        **rounding_noise.EXERCISES,
        **sparse.EXERCISES,
        **sparse_masks.EXERCISES,
        **stability.EXERCISES,
        **stability_units.EXERCISES,
        **student.EXERCISES,
        **student_bias.EXERCISES,
    }
)


def report(name: str, answer: Any) -> Report:
    """Return what the checker of exercise ``name`` finds in ``answer``.

    Raises:
        TypeError: if ``name`` is no string.
        ValueError: if no exercise has that name.
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {type(name).__name__}")
    if name not in EXERCISES:
        raise ValueError(f"name must be one of {', '.join(sorted(EXERCISES))}; got {name!r}")
    return examine(EXERCISES[name], answer)


def check(name: str, answer: Any) -> None:
    """Print which properties ``answer`` has and, if one is missing, the mistake.

    Args:
        name: of the exercise, as printed above it.
        answer: a number, a list of numbers or a function, as the exercise asks. ``...`` stands
            for no answer yet.

    Raises:
        TypeError: if ``name`` is no string.
        ValueError: if no exercise has that name.
    """
    found = report(name, answer)
    print("\n".join(found.lines))  # noqa: T201 — the learner reads it below the cell
    if found.passed:
        print("Right.")  # noqa: T201
