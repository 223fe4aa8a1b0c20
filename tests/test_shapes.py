"""The shapes in the signatures hold on real data: jaxtyping's annotations, checked by beartype.

In a process of its own, since the checks come before the package's own validation, whose
messages other tests read.
"""

import subprocess
import sys

HOOKED = (
    "reference_impl.quantization",
    "reference_impl.distillation",
    "reference_impl.measuring.reliability",
    "reference_impl.measuring.error",
    "reference_impl.measuring.size",
    "reference_impl.compress.quantized",
    "reference_impl.compress.integer",
    "reference_impl.compress.integer_network",
    "reference_impl.compress.learned",
    "reference_impl.compress.fold",
    "reference_impl.compress.equalize",
    "reference_impl.compress.bias",
    "reference_impl.compress.adaround",
    "reference_impl.compress.post_training",
    "reference_impl.compress.activations",
    "reference_impl.compress.masked",
    "reference_impl.compress.narrow",
    "reference_impl.compress.budget",
    "reference_impl.compress.sparse",
    "reference_impl.compress.graph",
    "reference_impl.compress.statistics",
    "reference_impl.compress.merge",
    "reference_impl.compress.removal",
    "reference_impl.shifts",
    "reference_impl.pruning",
    "reference_impl.merging",
    "reference_impl.merging.width_map",
    "reference_impl.training.distil",
    "reference_impl.training.loop",
    "reference_impl.training.prune",
    "reference_impl.training.guided",
    "reference_impl.data",
    "reference_impl.training",
)

SCRIPT = f"""
from jaxtyping import install_import_hook

with install_import_hook({HOOKED!r}, "beartype.beartype"):
    from reference_impl.data import batches, load_dataset
    from reference_impl.measuring.error import mean_squared_error, sqnr
    from reference_impl.measuring.size import quantized_size
    from reference_impl.quantization.affine import affine_from_range, symmetric_from_range
    from reference_impl.quantization.grid import IntegerGrid
    from reference_impl.quantization.ranges import min_max_range, split_groups
    from reference_impl.quantization.fixed_point import fixed_point, rescale
    from reference_impl.quantization.integer import integer_matmul
    from reference_impl.compress.integer_network import integer_network, simulation
    from reference_impl.compress.quantized import (
        layer_inputs, quantize_layers, weight_layers,
    )
    from reference_impl.quantization.clipping import entropy_range, mse_range, percentile_range
    from reference_impl.compress.fold import fold_batch_norms
    from reference_impl.compress.post_training import PostTraining
    from reference_impl.quantization.straight_through import fake_quantize, round_straight_through
    from reference_impl.models import ResidualNetwork
    from reference_impl.compress.removal import loss_without_units, loss_without_weights
    from reference_impl.pruning import brain_surgeon, unit_scores, weight_scores
    from reference_impl.pruning.sparse_gpt import reconstruction_error, refit, sparse_gpt
    from reference_impl.compress.statistics import (
        curvature_diagonal, mean_gradients, mean_square_gradients, unit_contributions,
    )
    from reference_impl.pruning.masks import keep_highest, keep_highest_of_all, keep_n_of_m
    from reference_impl.pruning.thresholds import hard_threshold, proximal_step
    from reference_impl.compress.masked import apply_masks, density, masks_of
    from reference_impl.compress.narrow import remove_units, silence_units
    from reference_impl.compress.sparse import with_sparse_layers
    from reference_impl.compress.budget import (
        NORMALISE, mac_formula, masks_to_budget, prune_to_budget,
    )
    from reference_impl.merging import factors
    from reference_impl.merging.behind_batch_norm import normalised_relation
    from reference_impl.merging.least_squares import greedy_keep
    from reference_impl.merging.pair_saliency import least_pair, merge_by_saliency, pair_saliency
    from reference_impl.compress import merge as merging
    from reference_impl.compress.activations import values_read
    from reference_impl.compress.graph import incoming_rows, outgoing_columns
    from reference_impl.merging.width_map import map_axis, standing_in
    from reference_impl.compress.learned import Bits, deploy, edge_bits, learn_layers
    from reference_impl.quantization.codebook import BlockQuantizer
    from reference_impl.quantization.formats import E4M3, normal_float_codebook
    from reference_impl.quantization.kmeans import optimal_codebook
    from reference_impl.quantization.lloyd import (
        density_start, linear_start, lloyd, random_start,
    )
    from reference_impl.quantization.min_max import (
        min_max_quantizer, round_half_up, round_stochastically,
    )
    from reference_impl.training import accuracy, augment, predict, train_steps
    from reference_impl.distillation.contrastive import information_bound, pair_scores
    from reference_impl.distillation.decoupled import decoupled_parts
    from reference_impl.distillation.soft_targets import (
        distillation_objective, logit_matching_loss, soft_cross_entropy, soft_target_loss, soften,
    )
    from reference_impl.distillation.label_propagation import (
        cascade, gaussian_kernel, harmonic_solution, iterated_cascade, neighbour_kernel,
        propagate_labels, spread_labels, stationary_distribution,
    )
    from reference_impl.distillation.omitted_class import best_class_bias
    from reference_impl.training.prune import Growth, magnitude_masks, pruned_steps, tickets
    from reference_impl.training.distil import student_steps, view
    from reference_impl.measuring.reliability import reliability
    from reference_impl.training.guided import MAPS, MEANS, METHODS, view_with_features
    from reference_impl.training.recipe import Recipe, new_student
    from reference_impl.pruning.stability_rules import RULES
    from reference_impl.pruning.stability import complementary_pairs, simultaneous_frequency
    from reference_impl.shifts import shifted_sets

import torch
import torch.nn.functional as F
from reference_impl.models import ConvStudent, ConvTeacher, LeNet5, LeNet300, SeparableStudent

torch.set_num_threads(1)
torch.manual_seed(0)
train = load_dataset().train.subset(64)
draws = torch.Generator().manual_seed(0)
for model in (LeNet300(), ConvStudent()):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    list(train_steps(model, batches(train, 32, seed=1), F.cross_entropy, optimizer))
    predict(model, augment(train.images, draws))
    accuracy(model, train)
for x in (train.images, model.state_dict()["head.weight"], torch.randn(7)):
    quantizer = min_max_quantizer(x, 4)
    quantizer.dequantize(quantizer.quantize(x))
    sqnr(x, quantizer.round_trip(x, round_half_up))
    round_stochastically(x, draws)
    for starts in (linear_start(x, 4), density_start(x, 4), random_start(x, 4, draws)):
        lloyd(x, starts).quantizer.round_trip(x)
    blocks = BlockQuantizer(normal_float_codebook(), 64)
    for given in (optimal_codebook(x, 6), E4M3, blocks):
        given.round_trip(x)
    E4M3.dequantize(E4M3.quantize(x))
    blocks.dequantize(*blocks.quantize(x))
    for axes in ((), 0):
        for build in (affine_from_range, symmetric_from_range):
            affine = build(*min_max_range(x, axes), IntegerGrid(4, signed=True))
            affine.dequantize(affine.quantize(x))
            affine.round_trip(x.half())
            quantized_size(affine, x.numel())
    groups = split_groups(x.flatten(), 7 if x.numel() % 7 == 0 else 2)
    unsigned = affine_from_range(*min_max_range(groups, 0), IntegerGrid(4))
    unsigned.quantize(groups)
for model in (LeNet300(), ConvStudent()):
    chain = model.chain()
    weights = {{
        name: symmetric_from_range(*min_max_range(layer.weight, 0), IntegerGrid(8, signed=True))
        for name, layer in weight_layers(chain).items()
    }}
    inputs = {{
        name: affine_from_range(*min_max_range(seen), IntegerGrid(8))
        for name, seen in layer_inputs(chain, train.images)
    }}
    quantize_layers(chain, weights, inputs)(train.images)
    learned = learn_layers(chain, train.images, edge_bits(chain, Bits(3, 3))).train()
    optimizer = torch.optim.SGD(learned.parameters(), lr=0.01)
    list(train_steps(learned, batches(train, 32, seed=1), F.cross_entropy, optimizer))
    predict(deploy(learned.eval()), train.images)
    fake_quantize(round_straight_through(train.images), inputs[next(iter(inputs))])
for model, axes in ((LeNet300(), ()), (LeNet5(), 0)):
    chain = model.chain()
    weights = {{
        name: symmetric_from_range(*min_max_range(layer.weight, axes), IntegerGrid(8, signed=True))
        for name, layer in weight_layers(chain).items()
    }}
    inputs = {{
        name: affine_from_range(*min_max_range(seen), IntegerGrid(8))
        for name, seen in layer_inputs(chain, train.images)
    }}
    restored = quantize_layers(chain, weights, inputs)
    network = integer_network(restored)
    network.logits(network.quantize(train.images))
    simulation(restored)(train.images.double())
sums = integer_matmul(torch.ones(2, 3).byte(), torch.ones(3, 4).char(), zero_a=1)
rescale(sums, fixed_point(torch.tensor([0.1, 0.2, 0.3, 0.4])))
for find in (percentile_range, mse_range, entropy_range):
    grid = {{}} if find is percentile_range else {{"grid": IntegerGrid(4)}}
    find(train.images, (), **grid)
    find(train.images[:, :, 12:14, 12:14], (2, 3), **grid)
for model in (LeNet300(), SeparableStudent()):
    chain = fold_batch_norms(model.chain().eval())
    for last in ({{"corrected": True}}, {{"adaptive": True}}):
        recipe = PostTraining(bits=3, clipped=True, equalized=True, **last)
        predict(recipe(chain, train.images[:4]), train.images)
guide = view_with_features(ConvTeacher().eval(), train, (MAPS, MEANS))
for method in METHODS.values():
    guided = method.guide(ConvStudent(), seed=0)
    recipe = Recipe("student", epochs=1)
    list(student_steps(guided, [guide], method.objective(guided, 1.0), recipe))
decoupled_parts(guide.logits, guide.logits, guide.labels, temperature=2.0)
information_bound(pair_scores(guide.features[MEANS], guide.features[MEANS]))
logits, soft = torch.randn(2, 64, 10, generator=draws)
distillation_objective(logits, soft, train.labels, temperature=4.0, alpha=0.9)
logit_matching_loss(logits, soft)
for loss in (soft_cross_entropy, soft_target_loss):
    loss(logits, soft, temperature=4.0)
best_class_bias(logits, train.labels, 3)
reliability(logits, train.labels).expected_error
moved = view(new_student(Recipe("student", epochs=1)), train, seed=0)
kernel = gaussian_kernel(train.images, width=5.0)
rows, labelled = soften(soft, 4.0), torch.arange(64) < 9
stationary_distribution(kernel)
neighbour_kernel(train.images, neighbours=5)
cascade(kernel[:5], rows)
iterated_cascade(kernel, rows, 2)
propagate_labels(kernel, rows, labelled, 2)
harmonic_solution(kernel, rows, labelled)
spread_labels(kernel, rows, labelled, spread=0.5)
for model in (LeNet300(), ResidualNetwork()):
    for label in model.widths:
        keep = keep_highest(incoming_rows(model, label).norm(dim=1), 0.5)
        remove_units(model, {{label: keep}})(train.images)
        silence_units(model, {{label: keep}})
        outgoing_columns(model, label)
    scores = {{label: incoming_rows(model, label).norm(dim=1) for label in model.widths}}
    budget = mac_formula(model)(model.widths) // 2
    for normalise in NORMALISE.values():
        prune_to_budget(model, scores, budget, normalise=normalise)
    masks_to_budget(model, scores, budget)
    apply_masks(model, masks_of(model))
    density(model)
sparse = with_sparse_layers(LeNet300().chain())
sparse(train.images)
for given in ({{"growth": Growth(0.5, every=1)}}, {{"masks": magnitude_masks(model, 0.5)}}):
    list(pruned_steps(model, train, Recipe("residual", epochs=2, batch_size=32), **given))
list(tickets(model, lambda network, masks: None, share=0.5, rounds=1))
proximal_step(train.images, hard_threshold(train.images, 0.1), rate=0.1, penalty=0.1)
keep = keep_n_of_m(torch.randn(3, 8), 2, 4)
w, g = torch.randn(2, 5, 7, generator=draws)
for score in ("taylor", "mean_square_taylor", "optimal_brain_damage"):
    getattr(weight_scores, score)(w, g.abs())
weight_scores.second_order(w, g, g.abs())
weight_scores.wanda(w, weight_scores.magnitude(g[0]))
weight_scores.snip({{"w": w}}, {{"w": g}})
for score in (unit_scores.unit_taylor, unit_scores.summed_weight_taylor):
    score(w, g)
for score in (unit_scores.gate_taylor, unit_scores.mean_square_gate_taylor, unit_scores.row_norm):
    score(g)
hessian = brain_surgeon.input_hessian(torch.randn(20, 7, generator=draws), 0.01)
inverse = brain_surgeon.inverse_hessian(hessian)
brain_surgeon.optimal_brain_surgeon(w, inverse)
brain_surgeon.surgeon_update(w[0], inverse, 0)
brain_surgeon.without_weight(inverse, 1)
brain_surgeon.remove_by_surgeon(w[0], hessian, 3)
solved = sparse_gpt(w, hessian, 0.5, block=3)
reconstruction_error(w, refit(w, hessian, solved != 0), hessian)
mean_gradients(LeNet300((4, 3)), train)
mean_square_gradients(LeNet300((4, 3)), train)
curvature_diagonal(LeNet300((4, 3)), train.images)
loss_without_units(LeNet300((4, 3)), "relu1", train)
loss_without_weights(LeNet300((4, 3)), "fc2", torch.arange(3), train)
unit_scores.output_change(w, unit_scores.batch_norm_scale(g[:, 0]))
unit_scores.geometric_median_distance(w)
keep_highest_of_all({{"a": torch.randn(3), "b": torch.randn(2, 2)}}, 0.5)
alike = standing_in(torch.arange(3) < 2, torch.tensor([0, 1, 0]), torch.tensor([1.0, 1.0, 2.0]))
map_axis(torch.randn(2, 3), 1, alike.unmerge.T)
for model in (LeNet300(), LeNet5(), ConvStudent()):
    keep = {{label: torch.arange(n) < 3 * n // 4 for label, n in model.widths.items()}}
    for scale in (factors.projection_scale, factors.norm_ratio_scale, factors.gaussian_scale):
        merging.merge_nearest(model, keep, scale=scale, threshold=0.1, sequential=True)
    clustered = merging.merge_clusters(model, dict.fromkeys(keep, 0.9))
    solved = merging.merge_least_squares(
        model, keep, train.images, ridge=0.1, scale=factors.projection_scale
    )
    merging.closest_outputs(model, {{0.1: solved, 0.2: clustered}}, train.images)
    for label in keep:
        values, reads = values_read(model, label, train.images), outgoing_columns(model, label)
        greedy_keep(values, reads, 4, ridge=0.1)
        merge_by_saliency(incoming_rows(model, label), reads, 2, normalised=True)
        least_pair(pair_saliency(incoming_rows(model, label), reads))
norm = {{name: torch.rand(5) + 1 for name in ("gamma", "beta", "mean", "variance")}}
normalised_relation(torch.ones(2), (torch.arange(2), torch.arange(2) + 2), **norm, eps=1e-5)
seen = {{"plain": train, **shifted_sets(train, seed=0)}}
for model, places in ((LeNet300(), {{"hidden2": "relu2"}}), (ConvStudent(), {{"conv1": "relu1"}})):
    told = {{name: unit_contributions(model, places, those) for name, those in seen.items()}}
    for label in places:
        for rule in RULES.values():
            rule({{name: values[label].abs() for name, values in told.items()}}, 3, draws)
simultaneous_frequency(torch.rand(4, 2, 7) < 0.5)
complementary_pairs(9, 4, draws)
try:
    mean_squared_error.__wrapped__(torch.ones(2), torch.ones(3))  # ours would refuse first
except TypeError as error:
    print("checked:", type(error).__name__)
"""


def test_annotated_shapes_hold_on_real_data() -> None:
    """Oracle: beartype; two shapes that differ show that it is at work."""
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.strip() == "checked: TypeCheckError"
