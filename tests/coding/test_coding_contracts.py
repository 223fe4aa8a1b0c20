"""Every public function of the family refuses what its signature forbids."""

from functools import partial

import torch
from contracts import Contracts

from reference_impl import coding as c

COUNTS, LENGTHS = torch.tensor([5, 1, 2]), torch.tensor([1, 2, 2])
TABLE, EXPONENTS = torch.tensor([[1, 0, -3]]), torch.tensor([2])
KEPT = torch.tensor([False, True, True])
WEIGHTS = torch.tensor([0.0, 0.5, -1.5])
SHARED = b"".join(data for _, data in c.write_shared(WEIGHTS))

CALLS = [
    partial(c.entropy, counts=COUNTS),
    partial(c.mean_length, counts=COUNTS, lengths=LENGTHS),
    partial(c.code_lengths, counts=COUNTS),
    partial(c.canonical_codes, lengths=LENGTHS),
    partial(c.encode, symbols=torch.tensor([0, 2]), lengths=LENGTHS),
    partial(c.decode, data=b"\x00", n=3, lengths=LENGTHS),
    partial(c.relative_indices, kept=KEPT, bits=2),
    partial(c.positions, gaps=torch.tensor([1, 0])),
    partial(c.write_shared, weights=WEIGHTS),
    partial(c.read_shared, file=c.Cursor(100 * SHARED), n=3),  # a call takes one of them
    partial(c.Cursor, data=b"x"),
    partial(c.Encoder),
    partial(c.Integers),
    partial(c.Decoder, data=b"x"),
    partial(c.density_class, in_row=1, before=2, in_column=0, above=3),
    partial(c.code_table, coder=c.Encoder(), table=TABLE, by_density=True),
    partial(c.steps, exponents=EXPONENTS),
    partial(c.from_integers, integers=TABLE, exponents=EXPONENTS),
    partial(c.as_integers, weights=WEIGHTS[None]),
    partial(c.write_tables, tables=[WEIGHTS[None]]),
    partial(c.read_tables, data=b"", shapes=[(1, 1)]),
    partial(c.Price, zero=torch.tensor(0.5), first=torch.tensor(2.0), further=torch.tensor(1.0)),
    partial(c.price, integers=TABLE),
    partial(c.price_by_density, integers=TABLE),
    partial(c.rate, u=WEIGHTS, price=c.price(TABLE)),
    partial(c.number_bytes, number=300),
    partial(c.pack, way=1, body=b"x"),
    partial(c.unpack, data=c.pack(1, b"x")),
]

REFUSED = [
    (lambda: c.code_lengths(COUNTS * 0), "counts must have a positive one, got zeros"),
    (lambda: c.canonical_codes(torch.tensor([1, 1, 1])), "lengths must be those of a prefix code"),
    (lambda: c.encode(torch.tensor([3]), LENGTHS), "symbols must be those of the 3 lengths"),
    (lambda: c.encode(torch.tensor([-1]), LENGTHS), "symbols must be those of the 3 lengths"),
    (lambda: c.encode(torch.tensor([0]), LENGTHS * 0 + 0), "symbols must be those"),
    (lambda: c.decode(b"\x00", 9, LENGTHS), "data must hold 9 codes, got"),
    (lambda: c.decode(b"\xff", 8, torch.tensor([1, 0])), "bits that begin none"),
]


class TestContracts(Contracts):
    face, calls, refused = c, CALLS, REFUSED
