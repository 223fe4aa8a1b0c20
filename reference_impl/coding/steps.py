"""Weights as integers times a step; steps are a quarter of an octave apart."""

from typing import Annotated

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from reference_impl.checked import Within, checked
from reference_impl.coding.integers import Table

QUARTERS = torch.tensor([1.0, 1.1892071, 1.4142135, 1.6817929])
"""2^0, 2^¼, 2^½ and 2^¾ in float32: a reader in any language must take these."""
DEPTH = 48
"""A row's step is looked for so many quarters of an octave below its weights, to 1/4096 of them."""
Exponents = Annotated[Int64[Tensor, " rows"], Within(-500, 400)]  # no weight overflows


@checked
def steps(exponents: Exponents) -> Float32[Tensor, " rows"]:
    """Return s = 2^(exponent/4), rounded to float32: a power of 2 times one of `QUARTERS`.

    >>> steps(torch.tensor([-4, 0, 2, 8])).tolist()
    [0.5, 1.0, 1.4142135381698608, 4.0]

    Equation: eq-coding-steps, chapter 19.
    """
    return torch.ldexp(QUARTERS[exponents % 4], exponents // 4)


@checked
def from_integers(integers: Table, exponents: Exponents) -> Float32[Tensor, "rows columns"]:
    """Return w_ij = s_i q_ij, rounded to float32.

    >>> import torch
    >>> from_integers(torch.tensor([[1, -2]]), torch.tensor([-4]))  # the step is ½
    tensor([[ 0.5000, -1.0000]])

    Equation: eq-coding-steps, chapter 19.
    """
    return integers.float() * steps(exponents)[:, None]


@checked
def as_integers(weights: Float32[Tensor, "rows columns"]) -> tuple[Table, Exponents] | None:
    """Return integers and exponents of which `from_integers` makes exactly these weights.

    A row gets the largest step that does, a row of zeros the exponent 0. None if a row has no step.

    >>> integers, exponents = as_integers(torch.tensor([[0.5, -1.5], [0.0, 6.0]]))
    >>> integers.tolist(), exponents.tolist()
    ([[1, -3], [0, 3]], [-4, 4])
    """
    integers = torch.zeros(weights.shape, dtype=torch.int64)
    exponents = integers.new_zeros(len(weights))
    least = weights.abs().double().masked_fill(weights == 0, torch.inf).amin(1)
    left = (weights != 0).any(1).nonzero().ravel()  # nan and inf fit no step
    for below in range(DEPTH + 1):
        if not len(left):
            break
        tried = (4 * least[left].log2() - below).round().long().clamp(-500, 400)
        step = steps(tried)[:, None]
        found = (weights[left] / step).round()
        fits = ((found.abs() < 2**24) & (found * step == weights[left])).all(1)
        integers[left[fits]], exponents[left[fits]] = found[fits].long(), tried[fits]
        left = left[~fits]
    return None if len(left) else (integers, exponents)
