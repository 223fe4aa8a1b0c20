"""Which weights and units to remove: scores, masks, schedules, stability."""

# fmt: off
from reference_impl.pruning.masks import (
    n_dropped, choose_highest, keep_highest, keep_highest_of_all, keep_highest_of_each,
    keep_n_of_m,
)
from reference_impl.pruning.thresholds import soft_threshold, hard_threshold, proximal_step
from reference_impl.pruning.schedule import cubic_sparsity, rounds_to
from reference_impl.pruning.weight_scores import (
    magnitude, taylor, mean_square_taylor, snip, optimal_brain_damage, second_order, wanda,
)
from reference_impl.pruning.unit_scores import (
    row_norm, unit_taylor, summed_weight_taylor, gate_taylor, mean_square_gate_taylor,
    output_change, batch_norm_scale, geometric_median_distance,
)
from reference_impl.pruning.brain_surgeon import (
    input_hessian, inverse_hessian, optimal_brain_surgeon, surgeon_update, remove_by_surgeon,
)
from reference_impl.pruning.sparse_gpt import reconstruction_error, refit, sparse_gpt
from reference_impl.pruning.stability import (
    half_samples, complementary_pairs, sample_means, selection_frequency,
    simultaneous_frequency, stable_units, coefficient_of_variation,
)
from reference_impl.pruning.stability_bounds import (
    false_selections_bound, largest_choice, rare_selections_bound,
)
from reference_impl.pruning.stability_rules import shares, RULES

__all__ = [
    "n_dropped", "choose_highest", "keep_highest", "keep_highest_of_all",  # masks
    "keep_highest_of_each", "keep_n_of_m",
    "soft_threshold", "hard_threshold", "proximal_step",  # thresholds
    "cubic_sparsity", "rounds_to",  # schedule
    "magnitude", "taylor", "mean_square_taylor", "snip", "optimal_brain_damage",  # weight_scores
    "second_order", "wanda",
    "row_norm", "unit_taylor", "summed_weight_taylor", "gate_taylor",  # unit_scores
    "mean_square_gate_taylor", "output_change", "batch_norm_scale",
    "geometric_median_distance",
    "input_hessian", "inverse_hessian", "optimal_brain_surgeon", "surgeon_update",  # brain_surgeon
    "remove_by_surgeon",
    "reconstruction_error", "refit", "sparse_gpt",  # sparse_gpt
    "half_samples", "complementary_pairs", "sample_means", "selection_frequency",  # stability
    "simultaneous_frequency", "stable_units", "coefficient_of_variation",
    "false_selections_bound", "largest_choice", "rare_selections_bound",  # stability_bounds
    "shares", "RULES",  # stability_rules
]
