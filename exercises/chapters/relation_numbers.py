"""Exercises of chapter 12 that ask for numbers: parts of a divergence, a batch, clips of sound."""

import math
from functools import partial

from exercises.framework import Exercise, Test, a_number, at, either, near, numbers, value

EXERCISES: dict[str, Exercise] = {}

# -- by hand: the parts of KL(p ‖ q), p = (0.8, 0.15, 0.05), q = (0.6, 0.1, 0.3) -------------------

TARGET = 0.8 * math.log(4 / 3) - 0.2 * math.log(2)
"""Of the pairs (0.8, 0.2) and (0.6, 0.4)."""

OTHERS = 0.5 * math.log(3)
"""Of (3/4, 1/4) and (1/4, 3/4): p and q without the first class."""

WHOLE = TARGET + 0.2 * OTHERS

SWAPPED = (
    0.6 * math.log(3 / 4) + 0.4 * math.log(2),
    OTHERS,
    0.6 * math.log(3 / 4) + 0.1 * math.log(2 / 3) + 0.3 * math.log(6),
)
"""The three of KL(q ‖ p)."""

_entry = partial(at)


def _in_base(base: float) -> Test:
    return near([part / math.log(base) for part in (TARGET, OTHERS, WHOLE)])


EXERCISES["relation-parts"] = Exercise(
    kind=numbers(3),
    claims={
        "the target part is right": (
            _entry(0, TARGET),
            "It compares two numbers with two: (0.8, 0.2) with (0.6, 0.4).",
        ),
        "the others' part is right": (
            _entry(1, OTHERS),
            "Leave the first class out and divide the rest by its sum: (3/4, 1/4), (1/4, 3/4).",
        ),
        "the whole is right": (
            _entry(2, WHOLE),
            "The target part plus 1 − 0.8 times the others' part; or Σ p ln(p/q) of all three.",
        ),
    },
    mistakes={
        "You swapped teacher and student: KL(p ‖ q) is weighted by the teacher's p.": near(SWAPPED),
        "You took another logarithm: nats need the natural one.": either(_in_base(2), _in_base(10)),
        "You did not divide the others by their sum: then they do not sum to 1.": _entry(
            1, 0.15 * math.log(1.5) - 0.05 * math.log(6)
        ),
        "You left the second term of the target part out: (0.8, 0.2) are two outcomes.": _entry(
            0, 0.8 * math.log(4 / 3)
        ),
        "You added the parts without the weight 1 − p_y of the second.": _entry(2, TARGET + OTHERS),
        "You weighted the second part by p_y: the surer the teacher, the *less* it counts.": _entry(
            2, TARGET + 0.8 * OTHERS
        ),
        "You weighted by the student's 1 − q_y.": _entry(2, TARGET + 0.4 * OTHERS),
    },
)

# -- predict: a batch whose ceiling is high enough -------------------------------------------------

INFORMATION = -0.5 * 5 * math.log(1 - 0.98**2)
"""Of five pairs of Gaussians with the correlation 0.98, in nats."""

SMALLEST = math.ceil(math.exp(INFORMATION)) + 1
"""The smallest batch n with ln(n − 1) of at least that."""

EXERCISES["relation-batch"] = Exercise(
    kind=a_number,
    claims={
        "the answer is a whole number of examples": (
            value(float.is_integer),
            "A batch has a whole number of examples: the first that is large enough.",
        ),
        "with a batch of that size, ln(n − 1) reaches the information": (
            value(lambda n: n >= SMALLEST),
            "The ceiling of the bound is ln(n − 1): that must reach MI.",
        ),
        "with one example fewer it does not": (
            value(lambda n: n <= SMALLEST),
            "Solve ln(n − 1) = MI for n: n is e to the power of MI, plus 1, rounded up.",
        ),
    },
    mistakes={
        "That is the batch for one pair of coordinates: the information of five adds up.": near(
            math.exp(INFORMATION / 5) + 1
        ),
        "You left out the factor ½ of MI.": value(
            lambda n: abs(math.log(abs(n) + 1) - 2 * INFORMATION) < 0.01
        ),
        "You took 2 to the power of MI: that would hold if MI were in bits.": near(
            2**INFORMATION + 1
        ),
        "That is MI itself, in nats; the question is how many examples.": near(8.07),
    },
)

# -- transfer: clips of sound ----------------------------------------------------------------------

CLIPS = [64 * 512 + 512, 64 * 63 // 2, 64 * 63 * 62 // 2, 512 * 100 * 2 / 1e3]
"""Parameters of the adapter, distances, angles, kilobytes of a clip."""

EXERCISES["relation-clips"] = Exercise(
    kind=numbers(4),
    claims={
        "the parameters of the adapter are right": (
            at(0, CLIPS[0]),
            "512 outputs, each with 64 weights and a bias.",
        ),
        "the number of distances is right": (at(1, CLIPS[1]), "Each pair once: n (n − 1) / 2."),
        "the number of angles is right": (
            at(2, CLIPS[2]),
            "A corner, and two of the others: n (n − 1) (n − 2) / 2.",
        ),
        "the kilobytes of a clip are right": (
            at(3, CLIPS[3]),
            "512 numbers at each of 100 moments, two bytes each; 1 kB is 1,000 bytes.",
        ),
    },
    mistakes={
        "You left out the adapter's biases.": at(0, 64 * 512),
        "The adapter has a kernel of one moment: the same weights at every moment.": at(
            0, CLIPS[0] * 100, (64 * 100) * (512 * 100)
        ),
        "You counted each distance twice.": at(1, 64 * 63),
        "You counted each angle twice: cos_ijk = cos_kji.": at(2, 64 * 63 * 62),
        "You counted the distance of each clip to itself.": at(1, 64 * 65 // 2, 64**2),
        "Float16 has two bytes.": at(3, 2 * CLIPS[3], CLIPS[3] / 2),
    },
)
