"""Every checker of chapter 04 accepts right answers and names wrong ones; each claim can fail."""

from fractions import Fraction

import numpy as np
import torch

from exercises.integer import pair_fits
from tests.exercises.claims import judged, spoiling


def difference_product(qa, qb, za, zb):
    return (qa.long() - za) @ (qb.long() - zb)


def four_terms(qa, qb, za, zb):
    a, b = qa.int(), qb.int()
    rows, columns = a.sum(dim=1, keepdim=True), b.sum(dim=0, keepdim=True)
    return a @ b - zb * rows - za * columns + a.shape[1] * za * zb


def banker_shift(a, m, t):
    p = a * m
    return (p + 2 ** (t - 1) - 1 + ((p >> t) & 1)) >> t


def by_fractions(a, m, t):
    return np.array([round(Fraction(int(x) * m, 2**t)) for x in a])


RIGHT = {
    "integer-by-hand": [[36, 1, 18]],
    "integer-product": [difference_product, four_terms, lambda *a: difference_product(*a).numpy()],
    "integer-rescale": [banker_shift, by_fractions],
    "integer-pair-bits": [7],
}


def off(change):
    """Return a product that differs from the right one by ``change(K, z_a, z_b)``."""
    return lambda qa, qb, za, zb: difference_product(qa, qb, za, zb) + change(qa.shape[1], za, zb)


def with_zeros(zeros):
    """Return a product that takes other zero points."""
    return lambda qa, qb, za, zb: difference_product(qa, qb, *zeros(za, zb))


WRONG = {
    "integer-by-hand": [
        ([46, 1, 18], "left the zero point of the input out"),
        ([56, 1, 18], "added z_a"),
        ([24, 1, 18], "left the bias out"),
        ([34, 1, 18], "left out the zero point of the input and the bias"),
        ([35, 1, 18], "Subtract z_a from each code"),
        ([36, -1, 18], "n is positive"),
        ([36, 2, 18], "one doubling too many"),
        ([36, 0, 18], "Double M until"),
        ([36, 1, 13], "zero point of the output"),
        ([36, 1, 17], "cut the fraction off"),
        ([36, 1, 14], "before multiplying by M"),
        ([36, 1, 99], "Multiply the accumulator by M"),
    ],
    "integer-product": [
        (off(lambda k, za, zb: -k * za * zb), "K z_a z_b is missing"),
        (off(lambda k, za, zb: -2 * k * za * zb), "sign of K z_a z_b"),
        (with_zeros(lambda za, zb: (-za, -zb)), "You added the zero points"),
        (with_zeros(lambda *_: (0, 0)), "left the zero points out"),
        (lambda a, b, za, zb: (a - za).long() @ (b - zb).long(), "2 − 3 is 255 in a uint8"),
        (lambda a, b, *_: a.to(torch.int8) @ b, "Widen the codes before multiplying"),
        (with_zeros(lambda _, zb: (0, zb)), "Subtract z_a times the sum of each column"),
        (with_zeros(lambda za, _: (za, 0)), "Subtract z_b times the sum of each row"),
        (off(lambda _, za, zb: (za > 0) * (zb > 0)), "The fourth term"),
        (spoiling(difference_product), "Work on copies"),
        (spoiling(difference_product, 1), "Work on copies"),
        (lambda *a: difference_product(*a).double(), "must hold integers; it holds torch.float64"),
    ],
    "integer-rescale": [
        (lambda a, m, t: (a * m) >> t, "the floor"),
        (lambda a, m, t: a.sign() * ((a * m).abs() >> t), "cut the fraction off, towards zero"),
        (lambda a, m, t: (a * m + 2 ** (t - 1)) >> t, "adding a half lifts"),
        (lambda a, m, t: a.sign() * (((a * m).abs() + 2 ** (t - 1)) >> t), "away from zero"),
        (lambda a, m, t: torch.round(a.double() * m / 2**t).long(), "a float64: it has 53 bits"),
        (lambda a, m, t: (a.int() * m).long() >> t, "Add half of 2"),
    ],
    "integer-pair-bits": [
        (8, "but two are added"),
        (9, "largest pair is 2"),
        (6, "Try one bit more"),
        (6.5, "whole number of bits"),
    ],
}

test_right_answers_pass, test_wrong_answers_are_named = judged(RIGHT, WRONG)


def test_seven_bits_are_what_a_pair_bears() -> None:
    """Oracle: by hand: 2 · 127 · 127 = 32,258 and 2 · 255 · 127 = 64,770, against 32,767."""
    assert [bits for bits in range(1, 17) if pair_fits(bits)] == list(range(1, 8))
