"""Exercise of chapter 14: to implement the removal of channels in front of a flatten."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from exercises.framework import Claim, Exercise, Mistake, WrongResultError, a_function

Parts = tuple[Tensor, Tensor, Tensor]
Remove = Callable[[Tensor, Tensor, Tensor, Tensor], Parts]

CHANNELS, POSITIONS = 5, 4 * 4
KEEP = torch.tensor([True, False, True, True, False])


def _problem(positions: int = POSITIONS) -> Parts:
    draws = torch.Generator().manual_seed(0)
    return (
        torch.randn(CHANNELS, 2, 3, 3, generator=draws),
        torch.randn(CHANNELS, generator=draws),
        torch.randn(7, CHANNELS * positions, generator=draws),
    )


def _run(answer: Remove, parts: Parts, keep: Tensor = KEEP) -> Parts:
    weight, bias, reader = (part.clone() for part in parts)
    found = answer(weight, bias, reader, keep.clone())
    if not isinstance(found, tuple | list) or len(found) != 3:
        raise WrongResultError("The function must return three tensors: weight, bias, reader.")
    if not all(isinstance(part, Tensor) for part in found):
        raise WrongResultError("The function must return three tensors: weight, bias, reader.")
    return found[0], found[1], found[2]


def _removed(parts: Parts, keep: Tensor = KEEP) -> Parts:
    weight, bias, reader = parts
    blocks = reader.view(len(reader), len(keep), -1)
    return weight[keep], bias[keep], blocks[:, keep].flatten(1)


def _same(found: Parts, expected: Parts) -> bool:
    return all(
        a.shape == b.shape and torch.allclose(a, b) for a, b in zip(found, expected, strict=True)
    )


def _answer(parts: Parts, images: Tensor) -> Tensor:
    weight, bias, reader = parts
    return F.linear(F.relu(F.conv2d(images, weight, bias, padding=1)).flatten(1), reader)


def _shapes(answer: Remove) -> bool:
    found = [tuple(part.shape) for part in _run(answer, _problem())]
    return found == [(3, 2, 3, 3), (3,), (7, 3 * POSITIONS)]


def _answers_as_masked(answer: Remove) -> bool:
    parts, images = _problem(), torch.randn(4, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    weight, bias, reader = parts
    mask = KEEP.float().repeat_interleave(POSITIONS)
    masked = _answer((weight, bias, reader * mask), images)
    return torch.allclose(_answer(_run(answer, parts), images), masked, atol=1e-4)


def _without_flatten(answer: Remove) -> bool:
    parts = _problem(positions=1)
    return _same(_run(answer, parts), _removed(parts))


def _untouched(answer: Remove) -> bool:
    parts = _problem()
    given = (parts[0].clone(), parts[1].clone(), parts[2].clone())
    answer(given[0], given[1], given[2], KEEP.clone())
    return all(torch.equal(a, b) for a, b in zip(given, parts, strict=True))


def _makes(wrong: Remove) -> Callable[[Remove], bool]:
    def made(answer: Remove) -> bool:
        parts = _problem()
        return _same(_run(answer, parts), wrong(*parts, KEEP))

    return made


def _first_columns(weight: Tensor, bias: Tensor, reader: Tensor, keep: Tensor) -> Parts:
    """Take channel c's column c alone, as without a flatten."""
    return weight[keep], bias[keep], reader[:, : len(keep)][:, keep]


def _position_major(weight: Tensor, bias: Tensor, reader: Tensor, keep: Tensor) -> Parts:
    """Take columns as if the channels lay next to each other at every position."""
    return weight[keep], bias[keep], reader.view(len(reader), -1, len(keep))[..., keep].flatten(1)


def _dropped_kept(weight: Tensor, bias: Tensor, reader: Tensor, keep: Tensor) -> Parts:
    return _removed((weight, bias, reader), ~keep)


def _first_kept(weight: Tensor, bias: Tensor, reader: Tensor, keep: Tensor) -> Parts:
    return _removed((weight, bias, reader), torch.arange(len(keep)) < keep.sum())


def _reader_forgotten(weight: Tensor, bias: Tensor, reader: Tensor, keep: Tensor) -> Parts:
    return weight[keep], bias[keep], reader


def _bias_forgotten(weight: Tensor, bias: Tensor, reader: Tensor, keep: Tensor) -> Parts:
    return weight[keep], bias, _removed((weight, bias, reader), keep)[2]


def _zeroed(weight: Tensor, bias: Tensor, reader: Tensor, keep: Tensor) -> Parts:
    mask = keep.float()
    return weight * mask.view(-1, 1, 1, 1), bias * mask, reader * mask.repeat_interleave(POSITIONS)


_MISTAKES: dict[str, Remove] = {
    "You kept the channels that the mask drops.": _dropped_kept,
    "You kept the first channels, as many as the mask keeps; it says which.": _first_kept,
    "You forgot the reader: its columns of a channel that is gone must go too.": _reader_forgotten,
    "You forgot the bias.": _bias_forgotten,
    "You set weights to 0: that is a mask, and nothing is smaller.": _zeroed,
    "You took one column for each channel; behind the flatten it owns one for each position, "
    "reader.shape[1] // len(keep) of them.": _first_columns,
    "You took the columns as if channels alternated; flatten writes all positions of a channel "
    "before it comes to the next.": _position_major,
}

EXERCISES = {
    "narrow-remove": Exercise(
        kind=a_function("remove(weight, bias, reader, keep)"),
        claims=(
            Claim(
                "the three shapes are right",
                _shapes,
                "Of 5 channels 3 stay: weight (3, 2, 3, 3), bias (3,), reader (7, 3 · 16).",
            ),
            Claim(
                "the small network computes what the masked one computes",
                _answers_as_masked,
                "Channel c owns the columns c · p … c · p + p − 1 of the reader, p positions.",
            ),
            Claim(
                "it is right without a flatten too, with one position",
                _without_flatten,
                "The number of positions is reader.shape[1] // len(keep); do not write 16.",
            ),
            Claim(
                "what it is given stays as it is",
                _untouched,
                "Return new tensors: the network must stay whole.",
            ),
        ),
        mistakes=tuple(Mistake(text, _makes(wrong)) for text, wrong in _MISTAKES.items()),
    )
}
