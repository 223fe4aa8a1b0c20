"""The checkers of chapter 17 accept right answers, and name wrong ones."""

import math

import pytest
import torch

from exercises.chapters.merge import MERGED, RIGHT_ANGLE
from reference_impl import merging
from tests.exercises.claims import judged, spoiling


def by_masks(weight, bias, reader, i, j):
    a = torch.cat([weight, bias[:, None]], dim=1)
    c = torch.relu(a[i] @ a[j] / (a[i] @ a[i]))
    keep = torch.arange(len(a)) != j
    reader = reader.clone()
    reader[:, i] += c * reader[:, j]
    return weight[keep], bias[keep], reader[:, keep]


def by_maps(weight, bias, reader, i, j):
    a = torch.cat([weight, bias[:, None]], dim=1)
    keep = torch.arange(len(a)) != j
    stands_for = torch.where(keep, torch.arange(len(a)), i)
    c = merging.projection_scale(a[stands_for], a).where(keep.logical_not(), torch.ones(()))
    made = merging.standing_in(keep, stands_for, c)
    return [made.merge @ weight, made.merge @ bias, reader @ made.unmerge]


ROWS = torch.tensor([[1.0, 2.0, 2.0]]), torch.tensor([[4.0, 4.0, 2.0]])
C, RATIO = merging.projection_scale(*ROWS), merging.norm_ratio_scale(*ROWS)
BOUND = merging.error_bound(*ROWS, C)


def incoming(weight, bias, reader, i, j):
    weight, bias, keep = weight.clone(), bias.clone(), torch.arange(len(bias)) != j
    weight[i] += weight[j]
    bias[i] += bias[j]
    return weight[keep], bias[keep], reader[:, keep]


SHIFTED = {
    "reader = reader.clone()": "before, reader = reader, reader[:, keep].clone()",
    "reader[:, i] += c * reader[:, j]": "reader[:, min(i, 3)] += c * before[:, j]",
    "bias[keep], reader[:, keep]": "bias[keep], reader",
}


def by_index_add(reader, keep, stands_for, c):
    gone = ~keep
    summed = reader.index_add(1, stands_for[gone], c[gone] * reader[:, gone])
    return summed[:, keep]


def by_map(reader, keep, stands_for, c):
    return reader @ merging.standing_in(keep, stands_for, c).unmerge


def last_wins(reader, keep, stands_for, c):
    reader, gone = reader.clone(), ~keep
    reader[:, stands_for[gone]] += c[gone] * reader[:, gone]
    return reader[:, keep]


KAPPA = 1 / math.pi
RIGHT = {
    "merge-hand": [[2.6, 2.8, 2.75], [1 + 0.9 * C, 1 + 0.9 * RATIO, BOUND]],
    "merge-units": [by_masks, by_maps, lambda *parts: [part.double() for part in by_masks(*parts)]],
    "merge-right-angle": [[1, 1.363, 0.899], RIGHT_ANGLE],
    "merge-columns": [by_index_add, by_map, lambda *a: by_map(*a).double()],
    "merge-activations": [[2.5, 3, 4], MERGED],
}

WRONG = {
    "merge-hand": [
        ([1.778, 2.8, 2.75], "gave the factor"),
        ([1.6, 2.8, 2.75], "it is added"),
        ([3.16, 2.8, 2.75], "forgot the biases"),
        ([1.4, 2.8, 2.75], "the one that is kept"),
        ([1.8, 2.8, 2.75], "cosine as the factor"),
        ([2.6, 2.0, 2.75], "gave the factor"),
        ([2.6, 1.8, 2.75], "it is added"),
        ([2.6, 3.277, 2.75], "forgot the biases"),
        ([2.6, 1.45, 2.75], "ratio of norms upside"),
        ([2.6, 2.8, 0.458], "length of a_2"),
        ([2.6, 2.8, 1.374], "length of a_1"),
        ([2.6, 2.8, 5.333], "has the sine"),
        ([2.6, 2.8, 2.828], "2 ‖a_2‖ sin(θ/2)"),
        ([2.6, 2.8, 1.789], "biases in the angle"),
        ([2.7, 2.8, 2.75], "c = ⟨a_1, a_2⟩", "the outgoing weight by projection"),
        ([2.6, 2.9, 2.75], "c = ‖a_2‖ / ‖a_1‖", "the outgoing weight by the ratio"),
        ([2.6, 2.8, 2.65], "‖a_2‖ sin θ", "the bound"),
    ],
    "merge-units": [
        ({"+= c": "+= 0"}, "that is pruning"),
        ({"+= c": "= c"}, "replaced the column"),
        ({"weight, bias[:, None]]": "weight]"}, "forgot the bias"),
        ({"c * reader": "reader"}, "as it is"),
        ({"(a[i] @ a[i])": "(a[i].norm() * a[j].norm())"}, "cosine"),
        ({"a[i] @ a[j] / (a[i] @ a[i])": "a[j].norm() / a[i].norm()"}, "ratio of norms"),
        ({"(a[i] @ a[i])": "(a[j] @ a[j])"}, "the removed one"),
        ({"torch.relu": ""}, "cut c off", "an opposite neuron"),
        (incoming, "incoming weights"),
        (SHIFTED, "removed first"),
        (lambda w, b, r, i, j: by_masks(w, b, r, j, i), "You removed i"),
        ({"torch.relu": "(i > j) * torch.relu"}, "places have moved", "it is right for"),
        (spoiling(by_masks, 2), "Return new tensors", "the arguments"),
        (lambda w, b, *_: (w, b, 3), "must return three tensors"),
        (lambda w, b, r, *_: (w, b, r), "4 of 5 neurons are kept"),
    ],
    "merge-right-angle": [
        ([1, 2, 1], "κ = 0"),
        ([0, 1, KAPPA], "gave the factors"),
        ([0, 1.363, 0.899], "its error is 1", "the error of the projection"),
        ([1, 2 * KAPPA, 0.899], "is subtracted from 2", "the error of the ratio"),
        ([1, 2 - KAPPA, 0.899], "is subtracted from 2"),
        ([1, 1.363, 1 - KAPPA], "not 1 − κ", "the error of the best"),
        ([1, 1.363, KAPPA**2], "the part that is saved"),
        ([0.9, 1.363, 0.899], "the whole value is lost"),
        ([1, 1.5, 0.899], "2 − 2 κ with"),
        ([1, 1.363, 0.8], "1 − κ² with"),
    ],
    "merge-columns": [
        (last_wins, "repeated indices", "several removed"),
        ({"stands_for[gone], c[gone] * reader[:, gone]": "stands_for, c * reader"}, "themselves"),
        ({"c[gone] * ": ""}, "takes its factor"),
        (lambda reader, keep, *_: reader[:, keep], "that is pruning"),
        ({"c[gone] * ": "2 * c[gone] * "}, "Column stands_for[j]", "one removed", "several"),
        ({"summed[:, keep]": "summed * keep"}, "must have the shape", "one removed", "several"),
        (spoiling(by_index_add), "Work on a copy", "the arguments"),
    ],
    "merge-activations": [
        ([4.5, 4.5, 4.5], "as in a linear layer"),
        ([3.5, 3.5, 3.5], "as with ReLU"),
        ([2.5, 2.5, 4], "2² = 4", "the weight with the square"),
        ([2, 2, 4], "forgot the third"),
        ([2.5, 3, 2], "is subtracted", "the weight with the sine"),
        ([2.4, 3, 4], "|c x| = |c| |x|", "the weight with the absolute"),
        ([2.5, 3.2, 4], "c² x²"),
        ([2.5, 3, 3], "sin(−x)"),
    ],
}

test_right_answers_pass, test_wrong_answers_are_named = judged(RIGHT, WRONG)


def test_errors_at_a_right_angle_are_those_of_the_package():
    """Oracle: the formula for any angle, and a sample of Gaussian inputs."""
    zero, ratios = torch.zeros(3), torch.tensor([0, 1, KAPPA])
    assert merging.relative_error(zero, ratios).tolist() == pytest.approx(RIGHT_ANGLE, abs=1e-6)
    x = torch.randn(100_000, 2, generator=torch.Generator().manual_seed(0)).relu()
    for ratio, expected in zip(ratios.tolist(), RIGHT_ANGLE, strict=True):
        error = (x[:, 1] - ratio * x[:, 0]).square().mean() / x[:, 1].square().mean()
        assert error.item() == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(
    ("activation", "factors", "expected"),
    [
        (torch.abs, (1, 2), MERGED[0]),
        (torch.square, (1, 4), MERGED[1]),
        (torch.sin, (-1, 0), MERGED[2]),
    ],
)
def test_merged_weights_give_the_sums_of_three_neurons(activation, factors, expected):
    """Oracle: the three values on a line; with the sine the third neuron is kept."""
    x = torch.linspace(-3, 3, 61, dtype=torch.float64)
    h = [activation(scale * x) for scale in (1, -1, 2)]
    third = 0.25 * h[2] if activation is torch.sin else 0
    assert torch.allclose(3 * h[0] - h[1] + 0.25 * h[2], expected * h[0] + third)
    assert expected == 3 - factors[0] + 0.25 * factors[1]
