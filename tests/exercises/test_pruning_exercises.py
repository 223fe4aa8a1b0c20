"""The checkers of chapters 13 to 15 accept right answers, and name wrong ones."""

import math

import pytest
import torch
from scipy import stats

from exercises import report
from exercises.chapters import importance_wanda, sparse
from exercises.chapters.importance import channels_to_spare
from exercises.chapters.stability import smallest_threshold
from reference_impl import pruning
from reference_impl.compress import apply_masks, prunable_weights
from reference_impl.data import load_dataset
from reference_impl.training import accuracy, load_checkpoint
from tests.exercises.claims import assert_failed, judged, spoiling

HAND = [-1.5, -2, 0.555, 6, 20]
BY_PACKAGE = [
    pruning.soft_threshold(torch.tensor(-2.0), 0.5),
    pruning.hard_threshold(torch.tensor(-2.0), 0.5),
    *(pruning.cubic_sparsity(1, 4, final=0.96), pruning.rounds_to(0.9, 1 / 3), math.comb(6, 3)),
]


def by_sort(weights, sparsity):
    flat = torch.cat([w.flatten() for w in weights]).abs()
    places, n_dropped = flat.argsort(stable=True), round(sparsity * len(flat))
    mask = torch.zeros(len(flat), dtype=torch.bool)
    mask[places[n_dropped:]] = True
    parts = mask.split([w.numel() for w in weights])
    return [part.view(w.shape) for part, w in zip(parts, weights, strict=True)]


def by_package(weights, sparsity):
    scores = {str(i): w.abs() for i, w in enumerate(weights)}
    return tuple(pruning.keep_highest_of_all(scores, share=1 - sparsity).values())


KEEPING = "mask[places[n_dropped:]] = True"


def by_size(weight, mask, share):
    """Counts the removed weights as the smallest, which they are unless a kept one is 0."""
    n_removed = round(share * int(mask.sum())) + int((~mask).sum())
    kept = torch.ones_like(mask).flatten()
    kept[(weight.abs() * mask).flatten().argsort(stable=True)[:n_removed]] = False
    return kept.view(mask.shape)


def next_mask(weight, mask, share):
    left = sorted(mask.flatten().nonzero()[:, 0].tolist(), key=weight.abs().flatten().__getitem__)
    kept = mask.flatten().clone()
    kept[left[: round(share * len(left))]] = False
    return kept.view(mask.shape)


REMOVING = "left[: round(share * len(left))]"


def right(w, g):
    return (g * w).sum(dim=2).square().mean(dim=0)


def wanda_mask(w, x, n_kept):
    best = (w.abs() * x.norm(dim=0)).topk(n_kept, dim=1).indices
    return torch.zeros(w.shape, dtype=torch.bool).scatter(1, best, value=True)


def above_threshold(w, x, n_kept):
    score = w.abs() * x.norm(dim=0)
    return score > score.sort(dim=1, descending=True).values[:, n_kept, None]


def above_threshold_or_all(w, x, n_kept):
    return above_threshold(w, x, n_kept) if n_kept < w.shape[1] else torch.ones_like(w) > 0


def from_the_end(w, x, n_kept):
    best = (w.abs() * x.norm(dim=0)).argsort(dim=1)[:, -n_kept:]
    return torch.zeros(w.shape, dtype=torch.bool).scatter(1, best, value=True)


W = torch.tensor([1.0, -2.0], dtype=torch.float64)
INVERSE = pruning.inverse_hessian(torch.tensor([[3.0, 1.0], [1.0, 2.0]], dtype=torch.float64))
COSTS, LEFT = pruning.optimal_brain_surgeon(W, INVERSE), W + pruning.surgeon_update(W, INVERSE, 0)


def by_scatter(scores, q, threshold):
    chosen = torch.zeros(scores.shape, dtype=torch.float64)
    chosen.scatter_(1, scores.topk(q, dim=1).indices, 1)
    return chosen.sum(dim=0) >= threshold * len(scores) - 1e-6


def stable_by_package(scores, q, threshold):
    return pruning.stable_units(pruning.choose_highest(scores, q), threshold)


CHOSEN = torch.tensor([[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0], [0, 1, 0, 1], [1, 1, 0, 0]]).bool()
STABLE_NUMBERS = [
    pruning.selection_frequency(CHOSEN)[1],
    pruning.coefficient_of_variation(torch.tensor([[2.0], [4.0], [6.0]]))[0],
    *(pruning.false_selections_bound(20, 200, 0.7), pruning.largest_choice(200, 0.7, 2.0)),
]
ENOUGH = ">= threshold * len(scores) - 1e-6"


RIGHT = {
    "sparse-hand": [HAND, {2: 0.555}, BY_PACKAGE],
    "sparse-masks": [by_sort, by_package],
    "sparse-layers": [sparse.PRUNED, [a + 0.4 for a in sparse.PRUNED]],
    "sparse-rounds": [next_mask, lambda *a: next_mask(*a).numpy()],
    "sparse-storage": [[10, 9, 24, 0.667], [10, 9, 24 + 4097 * 4 / 2**20, 1 - 16 / 48]],
    "importance-surgeon": [[1.25, 3.33, 0, -1.5], [*COSTS, *LEFT]],
    "importance-unit": [
        right,
        lambda w, g: torch.einsum("nuw,uw->nu", g, w).pow(2).mean(0),
        lambda w, g: right(w, g).float(),
    ],
    "importance-spare": [9],
    "importance-wanda": [
        wanda_mask,
        lambda w, x, n_kept: (
            (n_kept > 0) * pruning.choose_highest(w.abs() * x.norm(dim=0), n_kept or 1).double()
        ),
    ],
    "importance-sensors": [[0.04, 0.0304, 0.86], importance_wanda.SENSORS],
    "stability-hand": [[0.8, 0.5, 5, 12], STABLE_NUMBERS],
    "stability-implement": [
        by_scatter,
        lambda *a: by_scatter(*a).numpy(),
        lambda *a: by_scatter(*a).tolist(),
        stable_by_package,
        {"return ": "return (", "- 1e-6": "- 1e-6).int()"},
    ],
    "stability-threshold": [0.46],
}

ZEROS = "a removed weight remains removed, even"
AGAIN = "the second round", "a removed weight remains", "among equals", ZEROS

WRONG = {
    "sparse-hand": [
        ({0: 1.5}, "lost the sign"),
        ({0: -2.5}, "towards 0"),
        ({0: -1}, "max(|x| − τ, 0)", "the soft"),
        ({1: -1.5}, "only the soft threshold"),
        ({1: -1}, "does not move what it keeps", "the hard"),
        ({2: 0.015}, "t/N for 1"),
        ({2: 0.405}, "still to be removed"),
        ({2: 0.24}, "straight line"),
        ({2: 55.5}, "a share is asked for"),
        ({2: 0.5}, "t/N = ¼", "the sparsity"),
        ({3: 5}, "a round early"),
        ({3: 3}, "keeps two thirds"),
        ({3: 7}, "first power below a tenth", "the rounds"),
        ({4: 120}, "set of places"),
        ({4: 64}, "three of them"),
        ({4: 15}, "Three of six places", "the patterns"),
    ],
    "sparse-masks": [
        (lambda ws, s: [by_sort([w], s)[0] for w in ws], "of each tensor", "no removed", "ties"),
        (lambda w, s: [~mask for mask in by_sort(w, s)], "true where a weight is removed"),
        ({"stable": "descending"}, "the largest weights"),
        ({".abs()": ""}, "forgot the absolute value"),
        ({KEEPING: "mask = flat > flat[places[n_dropped]]"}, "one too many"),
        ({KEEPING: "mask = flat >= flat[places[n_dropped]]"}, "cannot separate equals", "ties"),
        ({"places[n_dropped:]": "places.flip(0)[:-n_dropped]"}, "x[-0:] is not", "a sparsity of 0"),
        (spoiling(by_sort), "change nothing", "the weights are left"),
        (lambda w, s: by_sort(w, s)[0], "must return 3 masks"),
        (lambda *_: [True, True, True], "weight's shape"),
        (lambda w, s: [x != 0 for x in w], "Count:"),
    ],
    "sparse-rounds": [
        (
            lambda w, _, share: w.abs() > w.abs().quantile(share),
            "share of all weights, and",
            *AGAIN,
        ),
        (
            {REMOVING: "left[: round(share * mask.numel())]"},
            "share of all weights from",
            *AGAIN[:3],
        ),
        ({REMOVING: "left[: round((1 - share) * len(left))]"}, "kept the share"),
        ({"return kept": "return ~kept"}, "true where a weight is removed"),
        (
            lambda w, m, share: next_mask(w, w != 0, share),
            "Begin with the mask",
            "a removed weight remains",
            ZEROS,
        ),
        (
            lambda w, m, share: m & (w.abs() > w[m].abs().quantile(share)),
            "cannot separate equal weights",
            "among equals",
            ZEROS,
        ),
        (by_size, "may be equal to a kept one", ZEROS),
        ({"mask.flatten().clone()": "mask.view(-1)"}, "a copy of the mask", "weight and mask"),
    ],
    "sparse-storage": [
        ({0: 8}, "places out", "the size with"),
        ({0: 11}, "one bit for each", "the size with"),
        ({1: 12}, "only kept ones", "the size in the pattern"),
        ({1: 8}, "two bits for each", "the size in the pattern"),
        ({0: 2}, "forgot the values", "the size with"),
        ({2: 16}, "column numbers alone", "the size in compressed"),
        ({2: 23}, "row starts", "the size in compressed"),
        ({3: 1 / 3}, "share that is kept", "the sparsity"),
        ({3: 0.5}, "32-bit weights", "the sparsity"),
        ({3: 0.75}, "48 bits", "the sparsity"),
    ],
    "sparse-layers": [
        ([a / 100 for a in sparse.PRUNED], "multiply by 100"),
        (sparse.LARGEST_DROPPED, "removed the largest"),
        (sparse.SIGNED, "forgot the absolute value"),
        (sparse.TENTH_DROPPED, "kept 90 %"),
        (sparse.WITHIN_ROWS, "of each row"),
        (sparse.ON_TEST, "test images"),
        (sparse.ON_ALL, "first 1,000"),
        (sparse.ONE_BY_ONE, "a fresh one"),
        (sparse.THE_OTHERS, "two other layers"),
        (sparse.OF_ALL_TOGETHER, "global masks"),
        ([100 - a for a in sparse.PRUNED], "the share of right answers"),
        (sparse.PRUNED[::-1], "In the order of the layers"),
        ([a + 1 for a in sparse.PRUNED], "on a fresh copy", "the accuracies"),
        ([0.5, 81.7, 67.0], "Accuracies in percent", "they are percentages", "the accuracies"),
    ],
    "importance-surgeon": [
        ([1.5, 4, 0, -2], "optimal brain damage"),
        ([2.5, 6.667, 0, -1.5], "factor ½"),
        ([1.25, 3.333, 0, -2], "where it was", "the other weight"),
        ([1.25, 3.333, 0, -2.5], "wrong sign"),
        ([1.25, 3.333, -1, 0.5], "the step Δw"),
        ([1.25, 3.333, 0.333, 0], "the more expensive weight"),
        ([1.2, 3.333, 0, -1.5], "invert H first", "both costs"),
        ([1.25, 3.333, 1, -1.5], "its place is 0", "the cheaper"),
    ],
    "importance-unit": [
        (
            {"(g *": "(g.mean(dim=0, keepdim=True) *"},
            "mean over images before",
            "images",
            "the scores",
        ),
        (lambda w, g: right(w, g) / 2, "half of what is asked"),
        (
            {".sum(dim=2).square()": ".square().sum(dim=2)"},
            "each weight's product",
            "a unit's weights",
            "the scores",
        ),
        ({"g * w": "g"}, "left the weight out"),
        (lambda w, g: right(w, g) * len(g), "grow with their number"),
        ({"square": "abs"}, "absolute value"),
        (lambda w, g: right(w, g)[:, None], "what is left is one axis", "one score", "the scores"),
        (lambda w, g: right(w, g) * (1 + 0.01 * (len(w) > 1)), "mean over images of", "the scores"),
        (spoiling(right, 1), "Do not work in place", "the arguments"),
    ],
    "importance-wanda": [
        ({"dim=0": "dim=1"}, "Your norm runs"),
        (
            lambda w, x, n_kept: pruning.choose_highest(
                (w.abs() * x.norm(dim=0)).flatten(), n_kept * len(w)
            ).view_as(w),
            "ranked all rows together",
            "each row",
            "equal scores",
            "a row can keep none",
            "the mask",
        ),
        ({"w.abs() *": "-w.abs() *"}, "kept the lowest", "the mask"),
        ({" * x.norm(dim=0)": ""}, "by magnitude alone", "the mask"),
        (above_threshold, "keeps all that tie", "equal scores", "a row can keep all"),
        (above_threshold_or_all, "keeps all that tie", "equal scores"),
        (from_the_end, "−0 is 0", "a row can keep none"),
        (spoiling(wanda_mask, 1), "Do not work in place", "the arguments"),
    ],
    "importance-sensors": [
        ([0.08, 0.0608, 0.86], "left out the ½", "the cost without", "the cost with"),
        ([0.04, 0.0475, 0.86], "the second is cheaper", "the cost with"),
        ([0.04, 0.04, 0.86], "the third sensor in both", "the cost with"),
        ([0.04, 0.0304, 0.9], "take over all", "the first sensor"),
        ([0.04, 0.0304, 0.5], "as it was", "the first sensor"),
        ([0.05, 0.0304, 0.86], "twice the matrix", "the cost without"),
    ],
    "importance-spare": [
        (10, "broke the limit"),
        (23, "that are kept"),
        (8, "norms"),
        (6, "mean over images"),
        (11, "next layer's output"),
        (2.5, "Count the channels", "the answer counts", "with one more"),
    ],
    "stability-hand": [
        ([4, 0.5, 5, 12], "not their share", "unit 1"),
        ([0.4, 0.5, 5, 12], "number of halves, 5", "unit 1"),
        ([0.8, 1 / math.sqrt(6), 5, 12], "by 3 − 1", "the coefficient"),
        ([0.8, 1, 5, 12], "variance over the mean", "the coefficient"),
        ([0.8, 2, 5, 12], "That is the deviation", "the coefficient"),
        ([0.8, 0.5, 2, 12], "left 2π − 1 out", "the bound"),
        ([0.8, 0.5, 400 / 140, 12], "instead of 2π − 1", "the bound"),
        ([0.8, 0.5, 0.25, 12], "did not square", "the bound"),
        ([0.8, 0.5, 5, math.sqrt(160)], "whole number", "the largest number"),
        ([0.8, 0.5, 5, 13], "rounded up", "the largest number"),
        ([0.8, 0.5, 5, 8], "the limit is 2", "the largest number"),
    ],
    "stability-implement": [
        (lambda s, *rest: by_scatter(-s, *rest), "lowest", "of random", "a share", "55 of"),
        ({"scores.topk": "scores.abs().topk"}, "with their sign", "of random"),
        (
            lambda scores, q, _: pruning.choose_highest(scores.mean(dim=0), q),
            *("chose once", "of random", "a share", "55 of"),
        ),
        ({"- 1e-6": "+ 1e-6", ">=": ">"}, "at least is enough", "a share", "55 of"),
        ({" - 1e-6": ""}, "allowing", "55 of"),
        ({ENOUGH: ">= math.ceil(threshold * len(scores))"}, "allowing", "55 of"),
        (spoiling(stable_by_package), "a new one", "the scores"),
        ({"_(1": "_(0", "q, dim=1": "min(q, len(scores)), dim=0"}, "column"),
        (lambda *_: 3, "a boolean for each unit"),
        (lambda scores, *_: scores > 0, "the shape"),
        (lambda scores, *_: scores.mean(dim=0), "other numbers"),
    ],
    "stability-threshold": [
        (23, "divide it by 50", "and at"),
        (0.44, "sf(k − 1)", "at this"),
        (smallest_threshold(units=1), "multiply by 300", "at this"),
        (smallest_threshold(samples=100), "50 pairs", "at this"),
        (0.52, "above a half only", "and at"),
        (0.6, "Go down", "and at"),
        (0.464, "Go down", "and at"),
        (0.456, "300 · P", "at this"),
        (0.2, "300 · P", "at this"),
    ],
}

test_right_answers_pass, test_wrong_answers_are_named = judged(RIGHT, WRONG)


def test_the_accuracies_are_measured():
    """Oracle: the shipped network, by the right way and by the wrong ones."""
    dataset, weights = load_dataset(), prunable_weights(load_checkpoint("lenet300"))
    few, test = dataset.validation[:1000], dataset.test[:1000]
    scores = {name: weight.detach().abs() for name, weight in weights.items()}
    each = pruning.keep_highest_of_each(scores, share=0.1)
    of_all = pruning.keep_highest_of_all(scores, share=0.1)
    for place, (name, w) in enumerate(scores.items()):
        rows = torch.stack([pruning.keep_highest(row, share=0.1) for row in w])
        up_to = dict(list(each.items())[: place + 1])
        for expected, masks, examples in (
            (sparse.PRUNED, {name: each[name]}, few),
            (sparse.LARGEST_DROPPED, {name: pruning.keep_highest(-w, share=0.1)}, few),
            (sparse.SIGNED, {name: pruning.keep_highest(weights[name].detach(), share=0.1)}, few),
            (sparse.TENTH_DROPPED, {name: pruning.keep_highest(w, share=0.9)}, few),
            (sparse.WITHIN_ROWS, {name: rows}, few),
            (sparse.ON_TEST, {name: each[name]}, test),
            (sparse.ON_ALL, {name: each[name]}, dataset.validation),
            (sparse.ONE_BY_ONE, up_to, few),
            (sparse.THE_OTHERS, {n: mask for n, mask in each.items() if n != name}, few),
            (sparse.OF_ALL_TOGETHER, {name: of_all[name]}, few),
        ):
            small = load_checkpoint("lenet300")
            apply_masks(small, masks)
            assert accuracy(small, examples) == pytest.approx(expected[place], abs=0.3)


def test_the_channels_that_may_go():
    """Oracle: counted in the chapter's solution; no two counts are one."""
    counts = channels_to_spare()
    assert len({*counts.values(), counts["square first"] + 1}) == 5
    most = counts["square first"]
    assert most == 9
    assert_failed(report("importance-spare", most + 2), ["with so many"])
    assert_failed(report("importance-spare", most - 2), ["with one more"])


@pytest.mark.parametrize("samples", [20, 50, 100])
def test_the_smallest_threshold_is_scipys(samples):
    """Oracle: SciPy's binomial tail, on both sides of the answer."""
    k = round(samples * smallest_threshold(samples=samples))
    law = stats.binom(samples, 60 / 300)
    assert 300 * law.sf(k - 1) < 0.01 <= 300 * law.sf(k - 2)
