"""The checkers of chapters 16 and 17 accept right answers, and name wrong ones."""

import pytest
import torch
from torch import nn

from exercises import merge, narrow
from reference_impl import compress, merging
from reference_impl.data import load_dataset
from reference_impl.measuring import model_cost
from reference_impl.pruning import keep_highest, row_norm
from reference_impl.training import accuracy, load_checkpoint
from tests.exercises.claims import judged, spoiling


def by_blocks(weight, bias, reader, keep):
    blocks = reader.view(len(reader), len(keep), -1)
    return weight[keep], bias[keep], blocks[:, keep].flatten(1)


def by_repeat(weight, bias, reader, keep):
    columns = keep.repeat_interleave(reader.shape[1] // len(keep))
    return weight[keep], bias[keep], reader[:, columns]


def masked(weight, bias, reader, keep):
    columns = keep.repeat_interleave(16)
    return weight * keep[:, None, None, None], bias * keep, reader * columns


PLACES = "keep.repeat_interleave(reader.shape[1] // len(keep))"


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


RIGHT = {
    "narrow-channel": [[36, 191, 504]],
    "narrow-remove": [by_repeat, by_blocks],
    "narrow-halves": [narrow.HALVED, [a + 0.3 for a in narrow.HALVED]],
    "merge-hand": [[2.6, 2.8, 2.75], [1 + 0.9 * C, 1 + 0.9 * RATIO, BOUND]],
    "merge-units": [by_masks, by_maps, lambda *parts: [part.double() for part in by_masks(*parts)]],
    "merge-channels": [merge.GAINS, [gain + 0.6 for gain in merge.GAINS]],
}

WRONG = {
    "narrow-channel": [
        ([1, 16, 329], "one column"),
        ([144, 191, 504], "all columns"),
        ([36, 189, 504], "γ and β"),
        ([36, 11, 504], "what reads the channel"),
        ([36, 193, 504], "running mean"),
        ([36, 196, 504], "biases"),
        ([36, 191, 189], "at one position"),
        ([36, 191, 324], "saves too"),
        ([36, 191, 1008], "two operations"),
        ([35, 191, 504], "one column for each of its positions", "the columns"),
        ([36, 190, 504], "Nine weights", "the parameters"),
        ([36, 191, 500], "Nine products", "the multiply"),
    ],
    "narrow-remove": [
        (
            lambda w, b, r, keep: by_repeat(w, b, r, ~keep),
            "the mask drops",
            "the three shapes",
            "the small",
            "it is right without",
        ),
        (
            lambda w, b, r, keep: by_repeat(w, b, r, keep.sort(descending=True).values),
            *("the first channels", "the small network", "it is right without"),
        ),
        ({"[:, columns]": ""}, "forgot the reader"),
        ({"bias[keep]": "bias"}, "the bias"),
        ({"repeat_interleave": "repeat"}, "alternated"),
        ({PLACES: "keep.nonzero().flatten()"}, "one column for each channel"),
        (masked, "nothing is smaller", "the three shapes", "it is right without"),
        ({"reader.shape[1] // len(keep))": "16)[: reader.shape[1]]"}, "do not write 16"),
        (spoiling(by_blocks, 1), "Return new tensors", "what it is given"),
        (lambda w, b, r, k: (w, b, 3), "must return three tensors"),
        (lambda w, b, r, k: (w, b, 0 * r), "Of 5 channels 3 stay"),
    ],
    "narrow-halves": [
        ([a / 100 for a in narrow.HALVED], "multiply by 100"),
        (narrow.LOWEST_KEPT, "kept the lowest"),
        (narrow.FIRST_LAYER_ALONE, "one layer's weights"),
        (narrow.ON_TEST, "test images"),
        (narrow.HALVED[::-1], "In the order of network.widths"),
        ([a + 1 for a in narrow.HALVED], "for one label at a time", "the accuracies"),
        ([0.5, 62.9, 46.1, 81.2], "Accuracies in percent", "they are perc", "the accuracies"),
    ],
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
        ({"+= c": "+= 0"}, "that is pruning"),
        ({"+= c": "= c"}, "replaced the column"),
        ({"weight, bias[:, None]]": "weight]"}, "forgot the bias"),
        ({"c * reader": "reader"}, "as it is"),
        ({"(a[i] @ a[i])": "(a[i].norm() * a[j].norm())"}, "cosine"),
        ({"a[i] @ a[j] / (a[i] @ a[i])": "a[j].norm() / a[i].norm()"}, "ratio of norms"),
        ({"(a[i] @ a[i])": "(a[j] @ a[j])"}, "the one that goes"),
        ({"torch.relu": ""}, "cut c off", "an opposite neuron"),
        (incoming, "incoming weights"),
        (SHIFTED, "removed first"),
        (lambda w, b, r, i, j: by_masks(w, b, r, j, i), "let i go"),
        ({"torch.relu": "(i > j) * torch.relu"}, "places have moved", "it is right for"),
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


def test_a_channel_costs_what_two_networks_differ_by():
    """Oracle: columns, parameters and multiply–accumulates of networks of four and three."""
    counts = []
    for channels in (4, 3):
        conv, flatten = nn.Conv2d(1, channels, 3, padding=1, bias=False), nn.Flatten()
        head = nn.Linear(36 * channels, 5)
        network = nn.Sequential(conv, nn.BatchNorm2d(channels), flatten, head)
        parameters = sum(p.numel() for p in network.parameters())
        counts.append((head.in_features, parameters, model_cost(network, (1, 6, 6)).macs))
    assert [a - b for a, b in zip(*counts, strict=True)] == RIGHT["narrow-channel"][0]


def right(network, examples):
    """Return the accuracy, in the order of memory that is twice as fast."""
    return accuracy(network.to(memory_format=torch.channels_last), examples)


def test_the_accuracies_of_halved_networks_are_measured():
    """Oracle: the shipped network, by the right way and by the three wrong ones."""
    network, dataset = load_checkpoint("residual").eval(), load_dataset()
    writes = (network.conv, *(network.get_submodule(f"block{i}.body.conv1") for i in (1, 2, 3)))
    for place, label in enumerate(network.widths):
        norm = row_norm(compress.incoming_rows(network, label))
        alone = row_norm(writes[place].weight.detach().flatten(1))
        for score, examples, expected in (
            (norm, dataset.validation, narrow.HALVED),
            (-norm, dataset.validation, narrow.LOWEST_KEPT),
            (alone, dataset.validation, narrow.FIRST_LAYER_ALONE),
            (norm, dataset.test, narrow.ON_TEST),
        ):
            small = compress.remove_units(network, {label: keep_highest(score, share=0.5)})
            assert right(small, examples[:1000]) == pytest.approx(expected[place], abs=0.3)


def test_the_accuracies_of_merged_networks_are_measured():
    """Oracle: the shipped network, by the right way and by two wrong ones."""
    teacher, dataset = load_checkpoint("teacher").eval(), load_dataset()
    few, test = dataset.validation[:1000], dataset.test[:1000]
    for place, label in enumerate(teacher.widths):
        conv = teacher.get_submodule(label)
        keep = {label: keep_highest(compress.incoming_rows(teacher, label).norm(dim=1), share=0.5)}
        pruned = compress.remove_units(teacher, keep)
        merged = compress.merge_nearest(teacher, keep)
        unfolded = compress.nearest_map(conv.weight.detach().flatten(1), keep[label])
        for network, expected in (
            (pruned, merge.PRUNED),
            (merged, merge.MERGED),
            (compress.merge_nearest(teacher, keep, scale=merging.gaussian_scale), merge.BY_KAPPA),
            (compress.map_width(teacher, label, unfolded), merge.NOT_FOLDED),
        ):
            assert right(network, few) == pytest.approx(expected[place], abs=0.4)
        gain = right(merged, test) - right(pruned, test)
        assert gain == pytest.approx(merge.ON_TEST[place], abs=0.8)
