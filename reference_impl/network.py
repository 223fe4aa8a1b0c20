"""What a network of the course publishes beside its logits: how its widths appear in its state."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from torch import nn

from reference_impl.checks import require_int


@dataclass(frozen=True)
class Axis:
    """One axis of a parameter: which width it runs over, and how often.

    ``label`` names the width; None is an axis that belongs to the task (pixels, classes, kernel)
    and is never cut. Each unit owns ``repeat`` consecutive entries: 1, except behind a flatten,
    where channel c of 4×4 positions owns the columns 16 c … 16 c + 15.
    """

    label: str | None = None
    repeat: int = 1


FIXED = Axis()
"""An axis that is never cut."""


class Network(nn.Module, ABC):
    """A classifier of 28×28 grey images: (n, 1, 28, 28) to logits (n, 10).

    Attributes:
        axes: name of a parameter or buffer → one `Axis` per axis of it. Scalars have none.
        widths: label → number of units, for every label in ``axes``.
    """

    axes: ClassVar[Mapping[str, tuple[Axis, ...]]]
    widths: Mapping[str, int]

    @classmethod
    def from_widths(cls, widths: Mapping[str, int]) -> Self:
        """Return a newly initialised network of these widths, as `widths` gives them.

        Raises:
            TypeError: if a width is no integer.
            ValueError: if a label is missing or unknown, or a width is below 1.
        """
        labels = {axis.label for axes in cls.axes.values() for axis in axes if axis.label}
        if set(widths) != labels:
            raise ValueError(f"widths must have the labels {sorted(labels)}, got {sorted(widths)}")
        return cls._build(widths)

    @classmethod
    @abstractmethod
    def _build(cls, widths: Mapping[str, int]) -> Self: ...

    def _set_widths(self, **widths: int) -> None:
        for label, width in widths.items():
            require_int(label, width, 1)
        self.widths = widths  # a plain dict: mapping proxies cannot be deep-copied
