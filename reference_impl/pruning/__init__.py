"""Which weights and units to remove: scores, masks, schedules, stability."""

from reference_impl.pruning.brain_surgeon import (
    Surgery,
    input_hessian,
    inverse_hessian,
    optimal_brain_surgeon,
    remove_by_surgeon,
    surgeon_update,
    without_weight,
)
from reference_impl.pruning.masks import keep_highest, keep_highest_of_all, keep_n_of_m, n_dropped
from reference_impl.pruning.sparse_gpt import reconstruction_error, refit, sparse_gpt
from reference_impl.pruning.stability import (
    choose_highest,
    coefficient_of_variation,
    complementary_pairs,
    half_samples,
    keep_most_stable,
    sample_means,
    selection_frequency,
    simultaneous_frequency,
    stable_units,
)
from reference_impl.pruning.stability_bounds import (
    false_selections_bound,
    largest_choice,
    rare_selections_bound,
)
from reference_impl.pruning.stability_rules import RULES
from reference_impl.pruning.thresholds import (
    cubic_sparsity,
    hard_threshold,
    keep_highest_of_each,
    proximal_step,
    rounds_to,
    soft_threshold,
)
from reference_impl.pruning.unit_scores import (
    batch_norm_scale,
    gate_taylor,
    geometric_median_distance,
    mean_square_gate_taylor,
    output_change,
    row_norm,
    summed_weight_taylor,
    unit_taylor,
)
from reference_impl.pruning.weight_scores import (
    magnitude,
    mean_square_taylor,
    optimal_brain_damage,
    second_order,
    snip,
    taylor,
    wanda,
)

__all__ = [
    # masks
    "n_dropped",
    "keep_highest",
    "keep_highest_of_all",
    "keep_n_of_m",
    # thresholds
    "soft_threshold",
    "hard_threshold",
    "proximal_step",
    "cubic_sparsity",
    "rounds_to",
    "keep_highest_of_each",
    # weight_scores
    "magnitude",
    "taylor",
    "mean_square_taylor",
    "snip",
    "optimal_brain_damage",
    "second_order",
    "wanda",
    # unit_scores
    "row_norm",
    "unit_taylor",
    "summed_weight_taylor",
    "gate_taylor",
    "mean_square_gate_taylor",
    "output_change",
    "batch_norm_scale",
    "geometric_median_distance",
    # brain_surgeon
    "input_hessian",
    "inverse_hessian",
    "optimal_brain_surgeon",
    "surgeon_update",
    "without_weight",
    "Surgery",
    "remove_by_surgeon",
    # sparse_gpt
    "reconstruction_error",
    "refit",
    "sparse_gpt",
    # stability
    "half_samples",
    "complementary_pairs",
    "sample_means",
    "choose_highest",
    "selection_frequency",
    "simultaneous_frequency",
    "stable_units",
    "coefficient_of_variation",
    "keep_most_stable",
    # stability_bounds
    "false_selections_bound",
    "largest_choice",
    "rare_selections_bound",
    # stability_rules
    "RULES",
]
