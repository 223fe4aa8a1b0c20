"""Every checker of chapter 15 accepts right answers, and names wrong ones."""

import math

import numpy as np
import pytest
import torch

from exercises import merge
from reference_impl.compress import (
    incoming_rows,
    map_width,
    merge_nearest,
    nearest_map,
    remove_units,
)
from reference_impl.data import load_dataset
from reference_impl.merging import (
    error_bound,
    gaussian_scale,
    norm_ratio_scale,
    projection_scale,
    standing_in,
)
from reference_impl.pruning import keep_highest
from reference_impl.training import accuracy, load_checkpoint
from tests.exercises.claims import advised, crossed, passing


def by_masks(weight, bias, reader, i, j, *, factor=None):
    a = torch.cat([weight, bias[:, None]], dim=1)
    c = torch.relu(a[i] @ a[j] / a[i].square().sum()) if factor is None else factor(a[i], a[j])
    keep = torch.arange(len(a)) != j
    reader = reader.clone()
    reader[:, i] = reader[:, i] + c * reader[:, j]
    return weight[keep], bias[keep], reader[:, keep]


def by_maps(weight, bias, reader, i, j):
    a = torch.cat([weight, bias[:, None]], dim=1)
    keep = torch.arange(len(a)) != j
    stands_for = torch.where(keep, torch.arange(len(a)), i)
    c = projection_scale(a[stands_for], a).where(keep.logical_not(), torch.ones(()))
    made = standing_in(keep, stands_for, c)
    return [made.merge @ weight, made.merge @ bias, reader @ made.unmerge]


def by_deletion(weight, bias, reader, i, j):
    c = weight[i] @ weight[j] + bias[i] * bias[j]
    c = max(c.item(), 0.0) / (weight[i] @ weight[i] + bias[i] ** 2).item()
    column = reader[:, i] + c * reader[:, j]
    columns = [column if k == i else reader[:, k] for k in range(len(bias)) if k != j]
    rows = [k for k in range(len(bias)) if k != j]
    return weight[rows], bias[rows], torch.stack(columns, dim=1)


RIGHT = [
    ("merge-hand", [2.6, 2.8, 2.75]),
    ("merge-hand", torch.tensor([2.6, 2.8, 2 * math.sqrt(17) / 3])),
    ("merge-hand", np.array([2.6, 2.8, 2.749])),
    ("merge-units", by_masks),
    ("merge-units", by_maps),
    ("merge-units", by_deletion),
    ("merge-units", lambda *parts: [part.double() for part in by_masks(*parts)]),
    ("merge-channels", merge.GAINS),
    ("merge-channels", torch.tensor(merge.GAINS) + 0.6),
]


test_right_answers_pass = passing(RIGHT)


def varied(factor):
    return lambda w, b, r, i, j: by_masks(w, b, r, i, j, factor=factor)


def without_bias(weight, bias, reader, i, j):
    c = torch.relu(weight[i] @ weight[j] / weight[i].square().sum())
    return by_masks(weight, bias, reader, i, j, factor=lambda *_: c)


def pruned(weight, bias, reader, i, j):
    return by_masks(weight, bias, reader, i, j, factor=lambda *_: 0.0)


def replaced(weight, bias, reader, i, j):
    emptied = reader.clone()
    emptied[:, i] = 0
    return by_masks(weight, bias, emptied, i, j)


def incoming(weight, bias, reader, i, j):
    weight, bias = weight.clone(), bias.clone()
    weight[i] += weight[j]
    bias[i] += bias[j]
    return pruned(weight, bias, reader, i, j)


def shifted(weight, bias, reader, i, j):
    c = torch.relu(
        torch.cat([weight[i], bias[i : i + 1]]) @ torch.cat([weight[j], bias[j : j + 1]])
    ) / (weight[i].square().sum() + bias[i] ** 2)
    column = c * reader[:, j]
    weight, bias, reader = pruned(weight, bias, reader, i, j)
    reader[:, min(i, 3)] += column
    return weight, bias, reader


def only_if_later(weight, bias, reader, i, j):
    return by_masks(weight, bias, reader, i, j) if i > j else pruned(weight, bias, reader, i, j)


def in_place(weight, bias, reader, i, j):
    found = by_masks(weight, bias, reader, i, j)
    reader.zero_()
    return found


WRONG = [
    ("merge-hand", [1.778, 2.8, 2.75], "gave the factor"),
    ("merge-hand", [1.6, 2.8, 2.75], "it is added"),
    ("merge-hand", [3.16, 2.8, 2.75], "forgot the biases"),
    ("merge-hand", [1.4, 2.8, 2.75], "the one that stays"),
    ("merge-hand", [1.8, 2.8, 2.75], "cosine as the factor"),
    ("merge-hand", [2.6, 2.0, 2.75], "gave the factor"),
    ("merge-hand", [2.6, 1.8, 2.75], "it is added"),
    ("merge-hand", [2.6, 3.277, 2.75], "forgot the biases"),
    ("merge-hand", [2.6, 1.45, 2.75], "turned the ratio"),
    ("merge-hand", [2.6, 2.8, 0.458], "length of a_2"),
    ("merge-hand", [2.6, 2.8, 1.374], "length of a_1"),
    ("merge-hand", [2.6, 2.8, 5.333], "has the sine"),
    ("merge-hand", [2.6, 2.8, 2.828], "2 ‖a_2‖ sin(θ/2)"),
    ("merge-hand", [2.6, 2.8, 1.789], "biases in the angle"),
    ("merge-hand", [2.6, 2.8, 1.897], "biases in the angle"),
    ("merge-hand", [2, 2.8, 2.75], "then W'_1 + c W'_2"),
    ("merge-hand", [2.6, 2.8], "has 3 numbers"),
    ("merge-units", pruned, "that is pruning"),
    ("merge-units", replaced, "replaced the column"),
    ("merge-units", without_bias, "forgot the bias"),
    ("merge-units", varied(lambda *_: 1.0), "as it is"),
    ("merge-units", varied(lambda a, b: torch.cosine_similarity(a, b, 0).relu()), "cosine"),
    ("merge-units", varied(lambda a, b: b.norm() / a.norm()), "ratio of norms"),
    ("merge-units", varied(lambda a, b: (a @ b / (b @ b)).relu()), "the one that goes"),
    ("merge-units", varied(lambda a, b: a @ b / (a @ a)), "cut c off"),
    ("merge-units", incoming, "incoming weights"),
    ("merge-units", shifted, "removed first"),
    ("merge-units", lambda w, b, r, i, j: by_masks(w, b, r, j, i), "let i go"),
    ("merge-units", only_if_later, "afterwards places have moved"),
    ("merge-units", in_place, "Return new tensors"),
    ("merge-units", lambda w, b, r, i, j: w, "must return three tensors"),
    ("merge-units", lambda w, b, r, i, j: (w, b, 3), "must return three tensors"),
    ("merge-units", lambda w, b, r, i, j: (w, b, r), "Of 5 neurons 4 stay"),
    ("merge-channels", merge.MERGED, "take the difference"),
    ("merge-channels", [-g for g in merge.GAINS], "pruned minus merged"),
    ("merge-channels", [g / 100 for g in merge.GAINS], "multiply by 100"),
    ("merge-channels", [27.9, 0.6, 8.8, 1.4], "the ratio of norms"),
    ("merge-channels", [-9.1, -10.1, 11.2, 1.1], "folded rows"),
    ("merge-channels", merge.ON_TEST, "test images"),
    ("merge-channels", [5.0, -5.0, 5.0, 5.0], "one label at a time"),
    ("merge-channels", [5.0, 5.0, 5.0, 5.0], "in the order of teacher.widths"),
    ("merge-channels", ..., "No answer yet"),
]


test_wrong_answers_are_named = advised(WRONG)


CLAIMS = [
    ("merge-hand", [2.7, 2.8, 2.75], ["the outgoing weight by projection"]),
    ("merge-hand", [2.6, 2.9, 2.75], ["the outgoing weight by the ratio"]),
    ("merge-hand", [2.6, 2.8, 2.65], ["the bound"]),
    ("merge-units", only_if_later, ["it is right for"]),
    ("merge-units", in_place, ["what it is given"]),
    ("merge-units", varied(lambda a, b: a @ b / (a @ a)), ["an opposite neuron"]),
    ("merge-channels", [g + 1 for g in merge.GAINS], ["the gains"]),
]

test_each_claim_can_fail = crossed(CLAIMS)


def test_the_numbers_by_hand_are_those_of_the_functions():
    """Oracle: the package's factors and its bound."""
    kept, gone = torch.tensor([[1.0, 2.0, 2.0]]), torch.tensor([[4.0, 4.0, 2.0]])
    c = projection_scale(kept, gone)
    assert 1 + 0.9 * c.item() == pytest.approx(merge.PROJECTED)
    assert 1 + 0.9 * norm_ratio_scale(kept, gone).item() == pytest.approx(merge.BY_NORMS)
    assert error_bound(kept, gone, c).item() == pytest.approx(merge.BOUND)


def test_the_accuracies_are_measured():
    """Oracle: the shipped network, by the right way and by two wrong ones."""
    teacher, dataset = load_checkpoint("teacher").eval(), load_dataset()
    few, test = dataset.validation[:1000], dataset.test[:1000]
    for place, (label, conv) in enumerate(zip(teacher.widths, teacher.convs, strict=True)):
        keep = {label: keep_highest(incoming_rows(teacher, label).norm(dim=1), 0.5)}
        pruned, merged = remove_units(teacher, keep), merge_nearest(teacher, keep)
        unfolded = nearest_map(conv.weight.detach().flatten(1), keep[label])
        for network, expected in (
            (pruned, merge.PRUNED),
            (merged, merge.MERGED),
            (merge_nearest(teacher, keep, scale=gaussian_scale), merge.BY_KAPPA),
            (map_width(teacher, label, unfolded), merge.NOT_FOLDED),
        ):
            assert accuracy(network, few) == pytest.approx(expected[place], abs=0.4)
        gain = accuracy(merged, test) - accuracy(pruned, test)
        assert gain == pytest.approx(merge.ON_TEST[place], abs=0.8)
