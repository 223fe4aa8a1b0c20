"""Every checker of chapter 14 accepts right answers, and names wrong ones."""

import numpy as np
import pytest
import torch
from torch import nn

from exercises import narrow
from reference_impl.compress import incoming_rows, remove_units
from reference_impl.data import load_dataset
from reference_impl.measuring import model_cost
from reference_impl.merging import map_axis, selection
from reference_impl.pruning import keep_highest, row_norm
from reference_impl.training import accuracy, load_checkpoint
from tests.exercises.claims import advised, crossed, passing


def by_blocks(weight, bias, reader, keep):
    blocks = reader.view(len(reader), len(keep), -1)
    return weight[keep], bias[keep], blocks[:, keep].flatten(1)


def by_repeat(weight, bias, reader, keep):
    columns = keep.repeat_interleave(reader.shape[1] // len(keep))
    return [weight[keep], bias[keep], reader[:, columns]]


def by_maps(weight, bias, reader, keep):
    chosen = selection(keep)
    positions = reader.shape[1] // len(keep)
    rows = (map_axis(part, 0, chosen.merge) for part in (weight, bias))
    return (*rows, map_axis(reader, 1, chosen.unmerge.T, positions))


RIGHT = [
    ("narrow-channel", [36, 191, 504]),
    ("narrow-channel", torch.tensor([36, 191, 504])),
    ("narrow-channel", np.array([36.0, 191.0, 504.0])),
    ("narrow-remove", by_blocks),
    ("narrow-remove", by_repeat),
    ("narrow-remove", by_maps),
    ("narrow-halves", narrow.HALVED),
    ("narrow-halves", torch.tensor(narrow.HALVED) + 0.3),
]


test_right_answers_pass = passing(RIGHT)


def sixteen(weight, bias, reader, keep):
    return weight[keep], bias[keep], reader[:, keep.repeat_interleave(16)[: reader.shape[1]]]


def in_place(weight, bias, reader, keep):
    found = by_blocks(weight, bias, reader, keep)
    bias.zero_()
    return found


def inverted(weight, bias, reader, keep):
    return by_blocks(weight, bias, reader, ~keep)


def first(weight, bias, reader, keep):
    return by_blocks(weight, bias, reader, torch.arange(len(keep)) < keep.sum())


def interleaved(weight, bias, reader, keep):
    return weight[keep], bias[keep], reader[:, keep.repeat(reader.shape[1] // len(keep))]


def one_column(weight, bias, reader, keep):
    return weight[keep], bias[keep], reader[:, :5][:, keep]


def masked(weight, bias, reader, keep):
    columns = keep.repeat_interleave(16)
    return weight * keep[:, None, None, None], bias * keep, reader * columns


WRONG = [
    ("narrow-channel", [1, 16, 329], "one column"),
    ("narrow-channel", [144, 191, 504], "all columns"),
    ("narrow-channel", [36, 189, 504], "γ and β"),
    ("narrow-channel", [36, 11, 504], "what reads the channel"),
    ("narrow-channel", [36, 193, 504], "running mean"),
    ("narrow-channel", [36, 196, 504], "biases"),
    ("narrow-channel", [36, 191, 189], "at one position"),
    ("narrow-channel", [36, 191, 324], "saves too"),
    ("narrow-channel", [36, 191, 1008], "two operations"),
    ("narrow-channel", [35, 191, 504], "one column for each of its positions"),
    ("narrow-channel", [36, 190, 504], "Nine weights"),
    ("narrow-channel", [36, 191, 500], "Nine products"),
    ("narrow-channel", [36, 191], "has 3 numbers"),
    ("narrow-remove", inverted, "that the mask drops"),
    ("narrow-remove", first, "the first channels"),
    ("narrow-remove", lambda w, b, r, k: (w[k], b[k], r), "forgot the reader"),
    ("narrow-remove", lambda w, b, r, k: (w[k], b, by_blocks(w, b, r, k)[2]), "the bias"),
    ("narrow-remove", interleaved, "alternated"),
    ("narrow-remove", one_column, "one column for each channel"),
    ("narrow-remove", masked, "nothing is smaller"),
    ("narrow-remove", sixteen, "do not write 16"),
    ("narrow-remove", in_place, "Return new tensors"),
    ("narrow-remove", lambda w, b, r, k: w[k], "must return three tensors"),
    ("narrow-remove", lambda w, b, r, k: (w, b, 3), "must return three tensors"),
    ("narrow-remove", lambda w, b, r, k: (w, b, 0 * r), "Of 5 channels 3 stay"),
    ("narrow-halves", [a / 100 for a in narrow.HALVED], "multiply by 100"),
    ("narrow-halves", narrow.LOWEST_KEPT, "kept the lowest"),
    ("narrow-halves", narrow.FIRST_LAYER_ALONE, "one layer's weights"),
    ("narrow-halves", narrow.ON_TEST, "test images"),
    ("narrow-halves", narrow.HALVED[::-1], "In the order of network.widths"),
    ("narrow-halves", [20.0, 60.0, 50.0, 80.0], "for one label at a time"),
    ("narrow-halves", ..., "No answer yet"),
]


test_wrong_answers_are_named = advised(WRONG)


CLAIMS = [
    ("narrow-channel", [35, 191, 504], ["the columns"]),
    ("narrow-channel", [36, 190, 504], ["the parameters"]),
    ("narrow-channel", [36, 191, 505], ["the multiply"]),
    ("narrow-remove", masked, ["the three shapes", "it is right without"]),
    ("narrow-remove", inverted, ["the three shapes", "the small", "it is right without"]),
    ("narrow-remove", in_place, ["what it is given"]),
    ("narrow-remove", first, ["the small network", "it is right without"]),
    ("narrow-halves", [a + 1 for a in narrow.HALVED], ["the accuracies"]),
    ("narrow-halves", [0.5, 62.9, 46.1, 81.2], ["they are percentages", "the accuracies"]),
]

test_each_claim_can_fail = crossed(CLAIMS)


def test_the_counts_by_hand_are_those_of_layers():
    """Oracle: the network with four channels and with three."""

    def network(channels: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(36 * channels, 5),
        )

    whole, small = network(4), network(3)
    assert whole[4].in_features - small[4].in_features == narrow.COLUMNS
    counts = [sum(p.numel() for p in n.parameters()) for n in (whole, small)]
    assert counts[0] - counts[1] == narrow.PARAMETERS
    macs = [model_cost(n, (1, 6, 6)).macs for n in (whole, small)]
    assert macs[0] - macs[1] == narrow.MACS


def test_the_accuracies_are_measured():
    """Oracle: the shipped network, by the right way and by the three wrong ones."""
    network, dataset = load_checkpoint("residual").eval(), load_dataset()
    writes = (network.conv, *(block.body.conv1 for block in network.blocks))
    for place, label in enumerate(network.widths):
        norm = row_norm(incoming_rows(network, label))
        alone = row_norm(writes[place].weight.detach().flatten(1))
        for score, examples, expected in (
            (norm, dataset.validation, narrow.HALVED),
            (-norm, dataset.validation, narrow.LOWEST_KEPT),
            (alone, dataset.validation, narrow.FIRST_LAYER_ALONE),
            (norm, dataset.test, narrow.ON_TEST),
        ):
            small = remove_units(network, {label: keep_highest(score, 0.5)})
            assert accuracy(small, examples[:1000]) == pytest.approx(expected[place], abs=0.3)
