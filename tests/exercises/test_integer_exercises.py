"""Every checker of chapter 04 accepts right answers and names wrong ones; each claim can fail."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from exercises import report
from exercises.integer import pair_fits
from tests.exercises.claims import advised, passing


def difference_product(qa, qb, za, zb):
    return (qa.long() - za) @ (qb.long() - zb)


def four_terms(qa, qb, za, zb):
    a, b = qa.int(), qb.int()
    rows, columns = a.sum(dim=1, keepdim=True), b.sum(dim=0, keepdim=True)
    return a @ b - zb * rows - za * columns + a.shape[1] * za * zb


def numpy_product(qa, qb, za, zb):
    return (qa.numpy().astype(int) - za) @ (qb.numpy().astype(int) - zb)


def banker_shift(a, m, t):
    p = a * m
    return (p + 2 ** (t - 1) - 1 + ((p >> t) & 1)) >> t


def by_remainder(a, m, t):
    whole, rest = (a * m) >> t, (a * m) & (2**t - 1)
    half = 2 ** (t - 1)
    return whole + ((rest > half) | ((rest == half) & (whole % 2 == 1))).long()


def by_fractions(a, m, t):
    return np.array([round(Fraction(int(x) * m, 2**t)) for x in a])


RIGHT = [
    ("integer-by-hand", [36, 1, 18]),
    ("integer-by-hand", (36.0, 1, 18)),
    ("integer-by-hand", torch.tensor([36, 1, 18])),
    ("integer-product", difference_product),
    ("integer-product", four_terms),
    ("integer-product", numpy_product),
    ("integer-rescale", banker_shift),
    ("integer-rescale", by_remainder),
    ("integer-rescale", by_fractions),
    ("integer-pair-bits", 7),
    ("integer-pair-bits", 7.0),
    ("integer-pair-bits", torch.tensor(7)),
]


test_right_answers_pass = passing(RIGHT)


def no_last_term(qa, qb, za, zb):
    return difference_product(qa, qb, za, zb) - qa.shape[1] * za * zb


def wrong_last_sign(qa, qb, za, zb):
    return difference_product(qa, qb, za, zb) - 2 * qa.shape[1] * za * zb


def floating_product(qa, qb, za, zb):
    return difference_product(qa, qb, za, zb).double()


def bytes_only(qa, qb, *_):
    return qa.to(torch.int8) @ qb


def changing(qa, qb, za, zb):
    result = difference_product(qa, qb, za, zb)
    qa.zero_()
    return result


def changing_second(qa, qb, za, zb):
    result = difference_product(qa, qb, za, zb)
    qb.zero_()
    return result


def away(a, m, t):
    return a.sign() * (((a * m).abs() + 2 ** (t - 1)) >> t)


WRONG = [
    ("integer-by-hand", [46, 1, 18], "left the zero point of the input out"),
    ("integer-by-hand", [56, 1, 18], "added z_a"),
    ("integer-by-hand", [24, 1, 18], "left the bias out"),
    ("integer-by-hand", [34, 1, 18], "left out the zero point of the input and the bias"),
    ("integer-by-hand", [35, 1, 18], "Subtract z_a from each code"),
    ("integer-by-hand", [36, -1, 18], "n is positive"),
    ("integer-by-hand", [36, 2, 18], "one doubling too many"),
    ("integer-by-hand", [36, 0, 18], "Double M until"),
    ("integer-by-hand", [36, 1, 13], "zero point of the output"),
    ("integer-by-hand", [36, 1, 17], "cut the fraction off"),
    ("integer-by-hand", [36, 1, 14], "before multiplying by M"),
    ("integer-by-hand", [36, 1, 99], "Multiply the accumulator by M"),
    ("integer-by-hand", [36, 1], "The answer has 3 numbers"),
    ("integer-product", no_last_term, "K z_a z_b is missing"),
    ("integer-product", wrong_last_sign, "sign of K z_a z_b"),
    (
        "integer-product",
        lambda a, b, za, zb: difference_product(a, b, -za, -zb),
        "You added the zero points",
    ),
    (
        "integer-product",
        lambda a, b, za, zb: difference_product(a, b, 0, 0),
        "left the zero points out",
    ),
    (
        "integer-product",
        lambda a, b, za, zb: (a - za).long() @ (b - zb).long(),
        "2 − 3 is 255 in a uint8",
    ),
    ("integer-product", bytes_only, "Widen the codes before multiplying"),
    (
        "integer-product",
        lambda a, b, za, zb: difference_product(a, b, 0, zb),
        "Subtract z_a times the sum of each column",
    ),
    (
        "integer-product",
        lambda a, b, za, zb: difference_product(a, b, za, 0),
        "Subtract z_b times the sum of each row",
    ),
    (
        "integer-product",
        lambda a, b, za, zb: difference_product(a, b, za, zb) + (za > 0) * (zb > 0),
        "The fourth term",
    ),
    ("integer-product", changing, "Work on copies"),
    ("integer-product", changing_second, "Work on copies"),
    ("integer-product", floating_product, "must hold integers; it holds torch.float64"),
    ("integer-product", lambda a, b, za, zb: None, "must return a tensor of integers"),
    ("integer-product", difference_product(torch.ones(1, 1), torch.ones(1, 1), 0, 0), "itself"),
    ("integer-rescale", lambda a, m, t: (a * m) >> t, "the floor"),
    (
        "integer-rescale",
        lambda a, m, t: a.sign() * ((a * m).abs() >> t),
        "cut the fraction off, towards zero",
    ),
    ("integer-rescale", lambda a, m, t: (a * m + 2 ** (t - 1)) >> t, "adding a half lifts"),
    ("integer-rescale", away, "away from zero"),
    (
        "integer-rescale",
        lambda a, m, t: torch.round(a.double() * m / 2**t).long(),
        "a float64: it has 53 bits",
    ),
    ("integer-rescale", lambda a, m, t: (a.int() * m).long() >> t, "Add half of 2"),
    ("integer-rescale", lambda a, m, t: a, "Add half of 2"),
    ("integer-pair-bits", 8, "but two are added"),
    ("integer-pair-bits", 9, "largest pair is 2"),
    ("integer-pair-bits", 6, "Try one bit more"),
    ("integer-pair-bits", 6.5, "whole number of bits"),
    ("integer-pair-bits", 0, "whole number of bits"),
    ("integer-pair-bits", 17, "whole number of bits"),
    ("integer-pair-bits", "seven", "The answer is a number"),
]


test_wrong_answers_are_named = advised(WRONG)


@pytest.mark.parametrize("name", ["integer-by-hand", "integer-product", "integer-rescale"])
def test_no_answer_is_said_so(name: str) -> None:
    """Oracle: the dots of the learner's cell."""
    assert "No answer yet" in report(name, ...).lines[0]


def test_seven_bits_are_what_a_pair_bears() -> None:
    """Oracle: by hand: 2 · 127 · 127 = 32,258 and 2 · 255 · 127 = 64,770, against 32,767."""
    assert [bits for bits in range(1, 17) if pair_fits(bits)] == list(range(1, 8))
