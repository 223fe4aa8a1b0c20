"""Tables of weights in the bits of one arithmetic coder: integers, and the steps of their rows.

For each table a bit says whether its zeros are counted by density, see `code_table`; then come its
integers, the exponent of the first row that is not zero, and the differences of the others from it.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float32
from torch import Tensor

from reference_impl.checked import FromZero, checked
from reference_impl.coding.arithmetic import Coder, Decoder, Encoder, Probability
from reference_impl.coding.integers import Integers, Table, code_table
from reference_impl.coding.steps import Exponents, as_integers, from_integers

Weights = Float32[Tensor, "_ _"]


@checked
def write_tables(tables: Sequence[Weights]) -> tuple[bytes, dict[str, float]]:
    """Return bytes that hold the tables exactly, and how many bits each kind of content takes.

    Raises:
        ValueError: if a table does not consist of integers times steps, see `as_integers`.
    """
    encoder, items = Encoder(), {"integers": 0.0, "steps": 0.0}
    shared = _Shared(encoder)
    for i, table in enumerate(tables):
        if (grid := as_integers(table)) is None:
            raise ValueError(f"tables must be integers times powers of 2^¼, table {i} is not")
        integers, exponents = grid
        plain, by_density = (_bits(integers, by_density=by) for by in (False, True))
        shared.integers(integers, by_density=by_density < plain)
        items["integers"] += encoder.bits - sum(items.values())
        shared.exponents(exponents, integers)
        items["steps"] += encoder.bits - sum(items.values())
    return encoder.finish(), items


@checked
def read_tables(data: bytes, shapes: Sequence[tuple[FromZero, FromZero]]) -> list[Weights]:
    """Return tables of these shapes, that `write_tables` has written.

    Raises:
        ValueError: if the bytes are not such tables.
    """
    shared = _Shared(decoder := Decoder(data))
    found = []
    for shape in shapes:
        integers = torch.zeros(shape, dtype=torch.int64)
        exponents = integers.new_zeros(len(integers))
        shared.integers(integers)
        shared.exponents(exponents, integers)
        found.append(from_integers(integers, exponents))
    if decoder.at < len(data):
        raise ValueError(f"data must end with the tables, got {len(data) - decoder.at} bytes more")
    return found


class _Shared:
    """What the tables of a file share: the coder, and what it has learned of steps.

    Its methods write what they are given, or read into tensors of zeros.
    """

    def __init__(self, coder: Coder) -> None:
        self._coder, self._by_density = coder, Probability()
        self._first, self._differences = Integers(), Integers()

    def integers(self, integers: Table, *, by_density: bool = False) -> None:
        by_density = bool(self._coder.code(self._by_density, int(by_density)))
        code_table(self._coder, integers, by_density=by_density)

    def exponents(self, exponents: Exponents, integers: Table) -> None:
        numbers, rows = exponents.numpy(), integers.any(1).nonzero().ravel().tolist()
        for row in rows[:1]:
            numbers[row] = self._first.code(self._coder, int(numbers[row]))
        for row in rows[1:]:
            difference = int(numbers[row] - numbers[rows[0]])
            numbers[row] = numbers[rows[0]] + self._differences.code(self._coder, difference)


def _bits(integers: Table, *, by_density: bool) -> float:
    code_table(trial := Encoder(), integers.clone(), by_density=by_density)
    return trial.bits
