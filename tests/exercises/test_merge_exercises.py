"""Every checker of chapter 15 accepts right answers, and names wrong ones."""

import math

import pytest
import torch

from exercises import merge
from reference_impl import compress, merging
from reference_impl.data import load_dataset
from reference_impl.pruning import keep_highest
from reference_impl.training import accuracy, load_checkpoint
from tests.exercises.claims import judged, spoiling


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
    c = merging.projection_scale(a[stands_for], a).where(keep.logical_not(), torch.ones(()))
    made = merging.standing_in(keep, stands_for, c)
    return [made.merge @ weight, made.merge @ bias, reader @ made.unmerge]


RIGHT = {
    "merge-hand": [[2.6, 2.8, 2 * math.sqrt(17) / 3], [2.6, 2.8, 2.75]],
    "merge-units": [by_masks, by_maps, lambda *parts: [part.double() for part in by_masks(*parts)]],
    "merge-channels": [merge.GAINS, [gain + 0.6 for gain in merge.GAINS]],
}


def varied(factor):
    return lambda w, b, r, i, j: by_masks(w, b, r, i, j, factor=factor)


pruned = varied(lambda *_: 0.0)


def projected(w, v):
    return torch.relu(w @ v / w.square().sum())


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
    a = torch.cat([weight, bias[:, None]], dim=1)
    column = projected(a[i], a[j]) * reader[:, j]
    weight, bias, reader = pruned(weight, bias, reader, i, j)
    reader[:, min(i, 3)] += column
    return weight, bias, reader


def only_if_later(weight, bias, reader, i, j):
    return (by_masks if i > j else pruned)(weight, bias, reader, i, j)


WRONG = {
    "merge-hand": [
        ([1.778, 2.8, 2.75], "gave the factor"),
        ([1.6, 2.8, 2.75], "it is added"),
        ([3.16, 2.8, 2.75], "forgot the biases"),
        ([1.4, 2.8, 2.75], "the one that stays"),
        ([1.8, 2.8, 2.75], "cosine as the factor"),
        ([2.6, 2.0, 2.75], "gave the factor"),
        ([2.6, 1.8, 2.75], "it is added"),
        ([2.6, 3.277, 2.75], "forgot the biases"),
        ([2.6, 1.45, 2.75], "turned the ratio"),
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
        (pruned, "that is pruning"),
        (replaced, "replaced the column"),
        (varied(lambda a, b: projected(a[:-1], b[:-1])), "forgot the bias"),
        (varied(lambda *_: 1.0), "as it is"),
        (varied(lambda a, b: torch.cosine_similarity(a, b, 0).relu()), "cosine"),
        (varied(lambda a, b: b.norm() / a.norm()), "ratio of norms"),
        (varied(lambda a, b: projected(b, a)), "the one that goes"),
        (varied(lambda a, b: a @ b / (a @ a)), "cut c off", "an opposite neuron"),
        (incoming, "incoming weights"),
        (shifted, "removed first"),
        (lambda w, b, r, i, j: by_masks(w, b, r, j, i), "let i go"),
        (only_if_later, "afterwards places have moved", "it is right for"),
        (spoiling(by_masks, 2), "Return new tensors", "what it is given"),
        (lambda w, b, *_: (w, b, 3), "must return three tensors"),
        (lambda w, b, r, *_: (w, b, r), "Of 5 neurons 4 stay"),
    ],
    "merge-channels": [
        (merge.MERGED, "take the difference"),
        ([-g for g in merge.GAINS], "pruned minus merged"),
        ([g / 100 for g in merge.GAINS], "multiply by 100"),
        ([27.9, 0.6, 8.8, 1.4], "the ratio of norms"),
        ([-9.1, -10.1, 11.2, 1.1], "folded rows"),
        (merge.ON_TEST, "test images"),
        ([5.0, -5.0, 5.0, 5.0], "one label at a time"),
        ([5.0, 5.0, 5.0, 5.0], "in the order of teacher.widths"),
        ([g + 1 for g in merge.GAINS], "dataset.validation[:1000]", "the gains"),
    ],
}

test_right_answers_pass, test_wrong_answers_are_named = judged(RIGHT, WRONG)


def test_the_numbers_by_hand_are_those_of_the_functions():
    """Oracle: the package's factors and its bound."""
    kept, gone = torch.tensor([[1.0, 2.0, 2.0]]), torch.tensor([[4.0, 4.0, 2.0]])
    c = merging.projection_scale(kept, gone)
    assert 1 + 0.9 * c.item() == pytest.approx(merge.PROJECTED)
    assert 1 + 0.9 * merging.norm_ratio_scale(kept, gone).item() == pytest.approx(merge.BY_NORMS)
    assert merging.error_bound(kept, gone, c).item() == pytest.approx(merge.BOUND)


def test_the_accuracies_are_measured():
    """Oracle: the shipped network, by the right way and by two wrong ones."""
    teacher, dataset = load_checkpoint("teacher").eval(), load_dataset()
    few, test = dataset.validation[:1000], dataset.test[:1000]
    for place, (label, conv) in enumerate(zip(teacher.widths, teacher.convs, strict=True)):
        keep = {label: keep_highest(compress.incoming_rows(teacher, label).norm(dim=1), 0.5)}
        pruned = compress.remove_units(teacher, keep)
        merged = compress.merge_nearest(teacher, keep)
        unfolded = compress.nearest_map(conv.weight.detach().flatten(1), keep[label])
        for network, expected in (
            (pruned, merge.PRUNED),
            (merged, merge.MERGED),
            (compress.merge_nearest(teacher, keep, scale=merging.gaussian_scale), merge.BY_KAPPA),
            (compress.map_width(teacher, label, unfolded), merge.NOT_FOLDED),
        ):
            assert accuracy(network, few) == pytest.approx(expected[place], abs=0.4)
        gain = accuracy(merged, test) - accuracy(pruned, test)
        assert gain == pytest.approx(merge.ON_TEST[place], abs=0.8)
