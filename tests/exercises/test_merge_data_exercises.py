"""The checkers of chapter 18 accept right answers, and name wrong ones."""

import pytest
import torch

from exercises.chapters import merge_data
from reference_impl import compress, merging
from reference_impl.data import load_dataset
from reference_impl.measuring import mean_squared_error
from reference_impl.pruning import keep_highest
from reference_impl.training import accuracy, load_checkpoint
from tests.exercises.claims import judged, spoiling


def by_inverse(h, keep):
    mean = h.mean(dim=0)
    y, x = h - mean, (h - mean)[:, keep]
    unmerge = (y.T @ x) @ torch.linalg.inv(x.T @ x)
    return unmerge, mean - unmerge @ mean[keep]


def by_package(h, keep):
    start = merging.selection(keep).unmerge.to(h.dtype)
    found = merging.reproduce(h, h[:, keep], start, ridge=0)
    return found.unmerge, found.offset


def the_colleagues(h, keep):
    x = h[:, keep]
    unmerge = h.T @ x @ torch.linalg.inv(x.T @ x)
    return unmerge, h.mean(dim=0) - x.mean(dim=0) @ unmerge.sum(dim=0)


def channels(h, keep):
    return by_inverse(h.movedim(1, 3).reshape(-1, h.shape[1]), keep)


def channels_by_package(h, keep):
    return by_package(h.permute(0, 2, 3, 1).flatten(0, 2), keep)


RIGHT = {
    "merge-fit-hand": [merge_data.FIT],
    "merge-channels": [merge_data.GAINS, [gain + 0.6 for gain in merge_data.GAINS]],
    "merge-fit": [by_inverse, by_package],
    "merge-maps": [channels, channels_by_package],
    "merge-sensor": [[3.5, 46, 6]],
}

WRONG = {
    "merge-fit-hand": [
        ({0: 1.4}, "before you multiplied", "the coefficient"),
        ({0: 10 / 14}, "variance of the removed"),
        ({1: 1}, "the coefficient belongs in it", "the offset"),
        ({2: -5}, "is added", "the next layer's weight"),
        ({2: 3.25}, "coefficient as it is"),
        ({3: 1.5}, "offset as it is", "the next layer's bias"),
        ({0: 2}, "over the variance of the kept"),
        ({1: 2}, "Mean removed"),
        ({2: 2}, "times the coefficient"),
        ({3: 2}, "times the offset"),
    ],
    "merge-channels": [
        (merge_data.MERGED, "take the difference"),
        ([-g for g in merge_data.GAINS], "pruned minus merged"),
        ([g / 100 for g in merge_data.GAINS], "multiply by 100"),
        ([27.9, 0.6, 8.8, 1.4], "the ratio of norms"),
        ([-9.1, -10.1, 11.2, 1.1], "folded rows"),
        (merge_data.ON_TEST, "test images"),
        ([5.0, -5.0, 5.0, 5.0], "one label at a time"),
        ([5.0, 5.0, 5.0, 5.0], "in the order of teacher.widths"),
        ([g + 1 for g in merge_data.GAINS], "dataset.validation[:1000]", "the gains"),
    ],
    "merge-fit": [
        (the_colleagues, "of values", "each kept", "it is right"),
        ({"y, x = h - mean, (h - mean)[:, keep]": "y, x = h, h[:, keep]"}, "of values"),
        ({"mean - unmerge @ mean[keep]": "mean - unmerge.sum(dim=1)"}, "still without U"),
        (
            {"return unmerge,": "return unmerge.T,"},
            "transposed",
            "U is",
            "each kept",
            "it is right",
        ),
        (lambda h, keep: (h[:5, :3], h[0]), "at its own place", "each kept", "it is right"),
        (spoiling(by_inverse), "Return new tensors", "what it is given"),
        (lambda h, keep: h, "must return two tensors"),
    ],
    "merge-maps": [
        ({"h.movedim(1, 3)": "h"}, "mix channels"),
        ({"h.movedim(1, 3)": "h.mean(dim=(2, 3))"}, "the mean over the positions"),
        (lambda h, keep: by_inverse(h[:, :, 0, 0], keep), "Move the axis", "each position"),
        (lambda h, keep: (h[:5, :3, 0, 0], h[0, :, 0, 0]), "at its own place", "each kept", "each"),
        (spoiling(channels), "Return new tensors", "what it is given"),
    ],
    "merge-sensor": [
        ({0: 3.2}, "sensor that failed"),
        ({0: 1.5}, "had before"),
        ({0: 2.5}, "weight 3"),
        ({1: 16}, "weight 3"),
        ({2: 2}, "weight 3"),
        ({1: 61}, "put the mean"),
        ({2: 6.708}, "put the mean"),
        ({2: 36}, "take its root"),
        ({0: 3}, "covariance / variance", "the weight"),
        ({1: 3}, "20 − 0.5", "the constant"),
        ({2: 3}, "What is left", "the error"),
    ],
}

test_right_answers_pass, test_wrong_answers_are_named = judged(RIGHT, WRONG)


def test_the_fit_by_hand_is_the_packages():
    """Oracle: `reference_impl.merging.reproduce` on the three images of the exercise."""
    h = torch.tensor([[0.0, 1.0], [2.0, 2.0], [4.0, 6.0]], dtype=torch.float64)
    unmerge, offset = by_package(h, torch.tensor([True, False]))
    reads = torch.tensor([2.0, -4.0], dtype=torch.float64)
    found = [unmerge[1, 0], offset[1], reads @ unmerge[:, 0], 1 + reads @ offset]
    assert [x.item() for x in found] == pytest.approx(merge_data.FIT)


def test_a_failed_sensor_is_replaced_as_a_sample_with_these_moments_says():
    """Oracle: least squares on 100,000 normal numbers of these means and covariances."""
    draws = torch.Generator().manual_seed(0)
    noise = torch.randn(100_000, 2, generator=draws, dtype=torch.float64)
    first = 10 + 2 * noise[:, 0]
    second = 20 + noise[:, 0] + 2 * noise[:, 1]  # variance 5, covariance 2
    y = 2 * first + 3 * second + 1
    inputs = torch.stack([first, torch.ones_like(first)], dim=1)
    line = torch.linalg.lstsq(inputs, y.unsqueeze(1)).solution.flatten()
    error = mean_squared_error(y, inputs @ line) ** 0.5
    assert [*line.tolist(), error] == pytest.approx(RIGHT["merge-sensor"][0], rel=0.02)


def right(network, examples):
    """Return the accuracy, in the order of memory that is twice as fast."""
    return accuracy(network.to(memory_format=torch.channels_last), examples)


def test_the_accuracies_of_merged_networks_are_measured():
    """Oracle: the shipped network, by the right way and by two wrong ones."""
    teacher, dataset = load_checkpoint("teacher").eval(), load_dataset()
    few, test = dataset.validation[:1000], dataset.test[:1000]
    for place, label in enumerate(teacher.widths):
        conv = teacher.get_submodule(label)
        keep = {label: keep_highest(compress.incoming_rows(teacher, label).norm(dim=1), share=0.5)}
        pruned = compress.remove_units(teacher, keep)
        merged = compress.merge_nearest(teacher, keep)
        by_kappa = compress.merge_nearest(teacher, keep, scale=merging.gaussian_scale)
        unfolded = compress.nearest_map(conv.weight.detach().flatten(1), keep[label])
        for network, expected in (
            (pruned, merge_data.PRUNED),
            (merged, merge_data.MERGED),
            (by_kappa, merge_data.BY_KAPPA),
            (compress.map_width(teacher, label, unfolded), merge_data.NOT_FOLDED),
        ):
            assert right(network, few) == pytest.approx(expected[place], abs=0.4)
        gain = right(merged, test) - right(pruned, test)
        assert gain == pytest.approx(merge_data.ON_TEST[place], abs=0.8)
