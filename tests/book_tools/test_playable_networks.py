"""The figures to play with whose numbers come from trained networks and records."""

import json
from itertools import pairwise
from statistics import fmean

import pytest
import torch
from playing import move, numbers

from book_tools.files import ROOT
from experiments.deep_compression import fixed_bytes, instead
from reference_impl import merging
from reference_impl.coding import code_lengths, relative_indices
from reference_impl.compress import (
    apply_masks,
    incoming_rows,
    prunable_weights,
    values_read,
    write_huffman,
)
from reference_impl.data import load_dataset
from reference_impl.measuring import bonferroni_level, file_bytes, mean_interval, swap_gain
from reference_impl.quantization import optimal_codebook
from reference_impl.training import load_checkpoint, magnitude_masks


@pytest.mark.parametrize(
    ("threshold", "linkage", "factor"),
    [
        (0.17, "complete linkage", "best on average"),
        (0, "complete linkage", "projection"),
        (0.75, "connected components", "ratio of norms"),
        (0.4, "connected components", "best on average"),
    ],
)
def test_similar_neurons_merge_as_the_packages_groups(opened, threshold, linkage, factor):
    """Oracle: the package's groups, factors and width map, on the values of 2,000 images."""
    page = opened("fig-merge-matrix")
    move(page, threshold=threshold, linkage=linkage, factor=factor)
    network, dataset = load_checkpoint("lenet300").eval(), load_dataset()
    rows = incoming_rows(network, "hidden2")
    cosines, norms = merging.cosine_similarity(rows), rows.norm(dim=1)
    clusters = {
        "complete linkage": merging.complete_linkage,
        "connected components": merging.connected_components,
    }
    factors = {
        "best on average": merging.gaussian_scale,
        "projection": merging.projection_scale,
        "ratio of norms": merging.norm_ratio_scale,
    }
    groups = clusters[linkage](cosines, threshold)
    stands_for = torch.stack([norms.where(groups == one, 0).argmax() for one in groups])
    keep = stands_for == torch.arange(100)
    scale = factors[factor](rows[stands_for], rows).where(~keep, 1)
    h = values_read(network, "hidden2", dataset.validation.images[:2000])
    columns = network.get_parameter("fc3.weight").detach()
    spread = (h @ columns.T).var(dim=0).sum()

    def error(scale):
        made = merging.standing_in(keep, stands_for, scale)
        change = (h[:, made.chosen] @ made.unmerge.T - h) @ columns.T
        return (100 * change.square().mean(dim=0).sum() / spread).item()

    silent = values_read(network, "hidden2", dataset.train.images).amax(dim=0) == 0
    assert numbers(page) == pytest.approx(
        {
            "Neurons left": int(keep.sum()),
            "Largest group": int(groups.bincount().max()),
            "Least cosine in a group": cosines[groups[:, None] == groups].min().item(),
            "Silent neurons kept": int((keep & silent).sum()),
            "Next sums’ error / variance, merged": error(scale),
            "Next sums’ error / variance, pruned": error(scale.where(keep, 0)),
        },
        rel=0.01,  # the figure's data are rounded
        abs=1e-3,
    )


@pytest.mark.parametrize(
    ("network", "strength", "first", "second"),
    [
        ("lenet300", "mild", "prune", "merge"),
        ("lenet300", "strong", "prune", "quantize"),
        ("student", "strong", "distil", "quantize"),
    ],
)
def test_the_gain_of_a_swap_is_the_packages(opened, network, strength, first, second):
    """Oracle: `swap_gain` and `mean_interval` at Bonferroni's level, on the record."""
    page = opened("fig-order-gains")
    setting = f"{network.replace('lenet300', 'LeNet-300-100')}, {strength}"
    move(page, setting=setting, pair=f"{first} before {second}")
    record = json.loads((ROOT / "data/results/order.json").read_text("utf-8"))
    seeds = {}
    for run in record["runs"]:
        if (run["network"], run["strength"]) == (network, strength):
            found = {tuple(name.split(" → ")): one for name, one in run["orders"].items()}
            seeds.setdefault(run["seed"], {}).update(found)

    def gain(orders):
        return swap_gain({o: one["test"] for o, one in orders.items()}, first, second)

    def mean(what, *pair):
        return fmean(
            one[what]
            for orders in seeds.values()
            for order, one in orders.items()
            if pair in pairwise(order)
        )

    interval = mean_interval(list(map(gain, seeds.values())), level=bonferroni_level(24))
    assert numbers(page) == pytest.approx(
        {
            "Mean gain": interval.mean,
            "Its margin, one of 24": interval.half_width,
            "Right, in this order": mean("test", first, second),
            "Right, swapped": mean("test", second, first),
            "Bytes, in this order": mean("bytes", first, second),
            "Bytes, swapped": mean("bytes", second, first),
        }
    )


def shared(sparsity, size):
    """Return LeNet-300-100 with zeros and shared values, as chapter 19 makes it."""
    network = load_checkpoint("lenet300")
    apply_masks(network, magnitude_masks(network, sparsity / 100))
    with torch.no_grad():
        for weight in prunable_weights(network).values():
            kept = weight != 0
            weight[kept] = optimal_codebook(weight[kept], size=size).round_trip(weight[kept])
    return network


@pytest.mark.parametrize(("sparsity", "size"), [(92, 32), (80, 8), (98, 16)])
def test_the_coded_bytes_are_those_of_the_file(opened, sparsity, size):
    """Oracle: the file of `write_huffman`, and the record's way to count codes of fixed lengths."""
    page = opened("fig-coding-parts")
    move(page, sparsity=sparsity, size=str(size))
    network = shared(sparsity, size)
    file, found = write_huffman(network), numbers(page)
    assert found["Positions"] == file.items["indices"] / 8
    assert found["Values"] == file.items["weights"] / 8
    assert found["Together"] == len(file.data)
    assert found["Smaller than float32"] == pytest.approx(file_bytes(network) / len(file.data))
    move(page, coding="fixed lengths")
    assert numbers(page)["Together"] == instead(network, fixed_bytes)


@pytest.mark.parametrize("bits", [3, 8])
def test_gaps_of_some_bits_cost_what_huffmans_lengths_say(opened, bits):
    """Oracle: `relative_indices` and `code_lengths` of each layer."""
    page = opened("fig-coding-parts")
    move(page, gap=str(bits))
    fillers = positions = 0
    for weight in prunable_weights(shared(92, 32)).values():
        gaps, holds = relative_indices(weight.flatten() != 0, bits)
        counts = gaps.bincount(minlength=2**bits)
        positions += -(-int(counts @ code_lengths(counts)) // 8)
        fillers += int((~holds).sum())
    found = numbers(page)
    assert (found["Positions"], found["Fillers"]) == (positions, fillers)
