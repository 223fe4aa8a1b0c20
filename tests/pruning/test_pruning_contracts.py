"""Every public function of the family refuses what its signature forbids."""

from functools import partial

import pytest
import torch
from contracts import Contracts, name

from reference_impl import pruning
from reference_impl.pruning.brain_surgeon import without_weight
from reference_impl.pruning.stability import keep_most_stable

W = torch.tensor([[1.0, 2.0, 3.0], [3.0, -1.0, 0.5], [0.5, 0.1, 2.0]])
ONES, EYE, CHOSEN = torch.ones(3), torch.eye(3), W > 1
DRAWS = torch.Generator().manual_seed(0)
SETS = {"plain": W.abs(), "noise": W.square()}
PAIR = {"weight": W, "gradient": W}
BOUND = {"units": 10, "threshold": 0.8}

CALLS = [
    partial(pruning.n_dropped, sparsity=0.5, n=10),
    partial(pruning.choose_highest, scores=W, q=1),
    partial(pruning.keep_highest, score=W, share=0.5),
    partial(pruning.keep_highest_of_all, scores={"a": W}, share=0.5),
    partial(pruning.keep_highest_of_each, scores={"a": W}, share=0.5),
    partial(pruning.keep_n_of_m, score=W, n=1, m=3),
    partial(pruning.soft_threshold, x=W, threshold=0.1),
    partial(pruning.hard_threshold, x=W, threshold=0.1),
    partial(pruning.proximal_step, **PAIR, rate=0.1, penalty=0.1),
    partial(pruning.cubic_sparsity, step=1, n_steps=4, final=0.9, initial=0.1),
    partial(pruning.rounds_to, sparsity=0.5, share=0.2),
    partial(pruning.magnitude, weight=W),
    partial(pruning.taylor, **PAIR),
    partial(pruning.mean_square_taylor, weight=W, mean_square_gradient=W.abs()),
    partial(pruning.snip, weights={"a": W}, gradients={"a": W}),
    partial(pruning.optimal_brain_damage, weight=W, curvature=W),
    partial(pruning.second_order, **PAIR, curvature=W),
    partial(pruning.wanda, weight=W, input_norm=ONES),
    partial(pruning.row_norm, rows=W, order=2.0),
    partial(pruning.unit_taylor, weights=W, gradients=W),
    partial(pruning.summed_weight_taylor, weights=W, gradients=W),
    partial(pruning.gate_taylor, gate_gradients=W),
    partial(pruning.mean_square_gate_taylor, gate_gradients=W),
    partial(pruning.output_change, outgoing=W, mean_square=ONES),
    partial(pruning.batch_norm_scale, gamma=ONES),
    partial(pruning.geometric_median_distance, rows=W),
    partial(pruning.input_hessian, inputs=W, damping=0.1),
    partial(pruning.inverse_hessian, hessian=EYE),
    partial(pruning.optimal_brain_surgeon, weight=W, inverse=EYE),
    partial(pruning.surgeon_update, weight=ONES, inverse=EYE, q=1),
    partial(without_weight, inverse=EYE, q=1),
    partial(pruning.remove_by_surgeon, weight=ONES, hessian=EYE, count=1),
    partial(pruning.reconstruction_error, weight=W, pruned=W, hessian=EYE),
    partial(pruning.refit, weight=W, hessian=EYE, keep=CHOSEN),
    partial(pruning.sparse_gpt, weight=W, hessian=EYE, sparsity=0.5),
    partial(pruning.half_samples, n=4, count=2, generator=DRAWS),
    partial(pruning.complementary_pairs, n=4, count=2, generator=DRAWS),
    partial(pruning.sample_means, values=W, samples=torch.tensor([[0, 2]])),
    partial(pruning.selection_frequency, chosen=CHOSEN),
    partial(pruning.simultaneous_frequency, chosen=CHOSEN[:2][None]),
    partial(pruning.stable_units, chosen=CHOSEN, threshold=0.8),
    partial(pruning.coefficient_of_variation, scores=W),
    partial(keep_most_stable, chosen=CHOSEN, importance=ONES, n_keep=1),
    partial(pruning.false_selections_bound, chosen=2, **BOUND),
    partial(pruning.largest_choice, limit=1.0, **BOUND),
    partial(pruning.rare_selections_bound, p_rare=0.2, expected=1.0, threshold=0.8),
    partial(pruning.shares, values=SETS),
    *[partial(rule, values=SETS, n_keep=1, generator=DRAWS) for rule in pruning.RULES.values()],
]

REFUSED = [
    (lambda: pruning.keep_highest_of_all({}, share=0.5), "scores must be of one tensor or more"),
    (lambda: pruning.keep_n_of_m(W[:, :2], 3, 2), "n must be at most m = 2, got 3"),
    (lambda: pruning.keep_n_of_m(W, 1, 2), "m must divide 3, got 2"),
    (lambda: pruning.choose_highest(W, 4), r"q must be in \[1, 3\].*, got 4"),
    (lambda: pruning.cubic_sparsity(1, 4, final=0.5, initial=0.6), r"initial .* got 0.6"),
    (lambda: pruning.snip({}, {}), "gradients must be those of the weights"),
    (lambda: pruning.snip({"a": W}, {"b": W}), r"weights {'a': \(3, 3\)}, got {'b'"),
    (lambda: pruning.snip({"a": W}, {"a": ONES}), r"got {'a': \(3,\)}"),
    (lambda: pruning.snip({"a": W}, {"a": 0 * W}), "gradients must not be 0"),
    (lambda: pruning.inverse_hessian(W), "symmetric"),
    (lambda: pruning.inverse_hessian(torch.ones(3, 3)), "add damping"),
    (lambda: pruning.inverse_hessian(-EYE), "damped or not, its mean is -1.0"),
    (lambda: pruning.input_hessian(1e200 * W.double()), r"inputs must be in \[-1e\+150"),
    (lambda: pruning.optimal_brain_surgeon(ONES, -EYE), "positive diagonal"),
    (lambda: pruning.surgeon_update(ONES, EYE, 3), r"q must be in \[0, 2\], got 3"),
    (lambda: without_weight(without_weight(EYE, 1), 1), "not yet removed, got 1"),
    (lambda: pruning.remove_by_surgeon(ONES, EYE, 3), r"count must be in \[0, 2\], got 3"),
    (lambda: pruning.refit(W, 0 * EYE, CHOSEN), "damped or not, its mean is 0.0"),
    (lambda: pruning.sparse_gpt(W, torch.ones(3, 3), 0.5), "0.01 of its mean, or more"),
    (lambda: pruning.sample_means(W, torch.tensor([[3]])), r"in \[0, 2\], got 3"),
    (lambda: pruning.coefficient_of_variation(W[:1]), "2 samples or more, got 1"),
    (lambda: keep_most_stable(CHOSEN, ONES, 4), r"must be in \[1, 3\]"),
    (lambda: pruning.false_selections_bound(11, 10, 0.8), r"chosen must be in \(0, 10\], .* 11"),
]

SIX = torch.ones(3, 2)
WRONG_SETS = [
    ({}, 1, "values must be of one data set or more"),
    ({"a": 0 * SIX, "b": SIX}, 1, "values must have a positive sum"),
    ({"a": SIX, "b": SIX.T}, 1, r"values\['a'\] must have the 3 units of values\['b'\], got 2"),
    ({"a": SIX, "b": SIX}, 3, r"must be in \[1, 2\].*got 3"),
]
for rule in pruning.RULES.values():
    REFUSED += [(partial(rule, sets, n, DRAWS), message) for sets, n, message in WRONG_SETS]
ALONE = partial(partial, values={"plain": W[:1].abs()}, n_keep=1, generator=DRAWS)
REFUSED += [
    (ALONE(pruning.RULES["steady"]), "2 samples or more, got 1"),
    (ALONE(pruning.RULES["stable"]), "n must be at least 2, got 1"),
    (ALONE(pruning.RULES["resampled"]), "n must be at least 2, got 1"),
]


class TestContracts(Contracts):
    face, calls, refused = pruning, CALLS, REFUSED


def tracked(value):
    """Return the same tensors with gradients asked for, also those of a mapping."""
    if isinstance(value, dict):
        return {key: tracked(part) for key, part in value.items()}
    return value.clone().requires_grad_() if isinstance(value, torch.Tensor) else value


SCORES = [call for call in CALLS if call.func.__module__.endswith("_scores")]


@pytest.mark.parametrize("score", SCORES, ids=name)
def test_scores_carry_no_gradient(score):
    """Oracle: autograd's own flag."""
    found = score.func(**tracked(score.keywords))
    for one in found.values() if isinstance(found, dict) else [found]:
        assert not one.requires_grad
