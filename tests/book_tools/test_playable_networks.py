"""The figures to play with whose numbers come from trained networks and records."""

import json
import shutil
from itertools import pairwise
from statistics import fmean

import pytest
import torch
from playing import drawn, move, numbers

from book_tools.files import ROOT
from book_tools.site import check as site_check
from reference_impl import merging
from reference_impl.compress import incoming_rows, values_read
from reference_impl.data import load_dataset
from reference_impl.measuring import bonferroni_level, mean_interval, swap_gain
from reference_impl.training import load_checkpoint

pytestmark = pytest.mark.skipif(
    not any(map(shutil.which, site_check._BROWSERS)),
    reason="no Chromium here; on Debian: apt-get install chromium",
)


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
    page = drawn(opened("fig-merge-matrix"))
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
    page = drawn(opened("fig-order-gains"))
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
