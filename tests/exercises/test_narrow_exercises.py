"""Every checker of chapter 14 accepts right answers, and names wrong ones."""

import pytest
from torch import nn

from exercises import narrow
from reference_impl.compress import incoming_rows, remove_units
from reference_impl.data import load_dataset
from reference_impl.measuring import model_cost
from reference_impl.pruning import keep_highest, row_norm
from reference_impl.training import accuracy, load_checkpoint
from tests.exercises.claims import judged, spoiling


def by_blocks(weight, bias, reader, keep):
    blocks = reader.view(len(reader), len(keep), -1)
    return weight[keep], bias[keep], blocks[:, keep].flatten(1)


def with_columns(columns):
    """Return the three tensors, of the reader the columns that a mask of channels gives."""
    return lambda w, b, r, keep: [w[keep], b[keep], r[:, columns(keep, r.shape[1])]]


by_repeat = with_columns(lambda keep, n: keep.repeat_interleave(n // len(keep)))

RIGHT = {
    "narrow-channel": [[36, 191, 504]],
    "narrow-remove": [by_blocks, by_repeat],
    "narrow-halves": [narrow.HALVED, [a + 0.3 for a in narrow.HALVED]],
}


def masked(weight, bias, reader, keep):
    columns = keep.repeat_interleave(16)
    return weight * keep[:, None, None, None], bias * keep, reader * columns


def of_mask(other):
    """Return the right answer to another mask."""
    return lambda w, b, r, keep: by_blocks(w, b, r, other(keep))


inverted = of_mask(lambda keep: ~keep)
first = of_mask(lambda keep: keep.sort(descending=True).values)
interleaved = with_columns(lambda keep, n: keep.repeat(n // len(keep)))
one_column = with_columns(lambda keep, _: keep.nonzero().flatten())
sixteen = with_columns(lambda keep, n: keep.repeat_interleave(16)[:n])

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
        (inverted, "the mask drops", "the three shapes", "the small", "it is right without"),
        (first, "the first channels", "the small network", "it is right without"),
        (lambda w, b, r, k: (w[k], b[k], r), "forgot the reader"),
        (lambda w, b, r, k: (w[k], b, by_blocks(w, b, r, k)[2]), "the bias"),
        (interleaved, "alternated"),
        (one_column, "one column for each channel"),
        (masked, "nothing is smaller", "the three shapes", "it is right without"),
        (sixteen, "do not write 16"),
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
}

test_right_answers_pass, test_wrong_answers_are_named = judged(RIGHT, WRONG)


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
