"""The checkers of chapter 16 accept right answers, and name wrong ones."""

import math

import pytest
import torch
from torch import nn

from exercises.chapters import narrow
from reference_impl import compress
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


def saved(terms, widths, label):
    total = 0
    for c, labels in terms:
        if label in labels:
            old = c * math.prod(widths[j] for j in labels)
            new = c * math.prod(widths[j] - (j == label) for j in labels)
            total += old - new
    return total


def by_differences(terms, widths, label):
    fewer = {name: width - (name == label) for name, width in widths.items()}
    before, after = (
        sum(c * math.prod(map(sizes.get, labels)) for c, labels in terms)
        for sizes in (widths, fewer)
    )
    return before - after


PLACES = "keep.repeat_interleave(reader.shape[1] // len(keep))"


RIGHT = {
    "narrow-channel": [[36, 191, 504]],
    "narrow-remove": [by_repeat, by_blocks],
    "narrow-halves": [narrow.HALVED, [a + 0.3 for a in narrow.HALVED]],
    "narrow-saved": [saved, by_differences],
    "narrow-head": [[4144, 4096, 257]],
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
        ([36, 191, 324], "multiplies less"),
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
        (spoiling(by_blocks, 1), "Return new tensors", "its arguments"),
        (lambda w, b, r, k: (w, b, 3), "must return three tensors"),
        (lambda w, b, r, k: (w, b, 0 * r), "3 of 5 channels are kept"),
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
    "narrow-saved": [
        ({"label in labels": "labels[0] == label"}, "not those that read it"),
        ({"old - new": "c * math.prod(widths[j] for j in labels if j != label)"}, "C² − (C − 1)²"),
        (lambda *_: 7, "at any place"),
        ({"old - new": "new"}, "at any place"),
    ],
    "narrow-head": [
        ([4096, 4096, 257], "biases of query"),
        ([4160, 4096, 257], "the output's biases"),
        ([3120, 4096, 257], "columns of the output matrix"),
        ([4144, 4144, 257], "biases as products"),
        ([4144, 3072, 257], "multiply less"),
        ([4144, 4096, 256], "bias of the output"),
        ([4144, 4096, 192], "row of the output"),
        ([4144, 4096, 260], "biases of query"),
        ([4000, 4096, 257], "Sixteen rows", "the parameters of a head"),
        ([4144, 4000, 257], "One product for each", "the multiply"),
        ([4144, 4096, 250], "A column of query", "the parameters of a channel"),
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


def test_a_head_costs_what_two_attention_layers_differ_by():
    """Oracle: parameters of linear layers of the shapes before and after a removal."""

    def parameters(width, inner):
        layers = [*(nn.Linear(width, inner) for _ in range(3)), nn.Linear(inner, width)]
        return sum(p.numel() for layer in layers for p in layer.parameters())

    weights = 4 * 64 * 64 - 4 * 64 * 48
    head, channel = parameters(64, 64) - parameters(64, 48), parameters(64, 64) - parameters(63, 64)
    assert [head, weights, channel] == RIGHT["narrow-head"][0]


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
