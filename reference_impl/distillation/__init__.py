"""Losses of a student against its teacher."""

# fmt: off
from reference_impl.distillation.soft_targets import (
    soften, soft_target_loss, soft_cross_entropy, logit_matching_loss, distillation_objective,
    effective_alpha,
)
from reference_impl.distillation.decoupled import DecoupledParts, decoupled_parts, decoupled_loss
from reference_impl.distillation.features import hint_loss, attention_map, attention_transfer_loss
from reference_impl.distillation.relations import (
    similarity_preserving_loss, distance_relation_loss, angle_relation_loss, correlation_loss,
)
from reference_impl.distillation.contrastive import pair_scores, contrastive_loss, information_bound
from reference_impl.distillation.label_propagation import (
    gaussian_kernel, neighbour_kernel, cascade, iterated_cascade, stationary_distribution,
    propagate_labels, harmonic_solution, spread_labels,
)
from reference_impl.distillation.omitted_class import best_class_bias
from reference_impl.distillation.numerics import unit

__all__ = [
    "soften", "soft_target_loss", "soft_cross_entropy", "logit_matching_loss",  # soft_targets
    "distillation_objective", "effective_alpha",
    "DecoupledParts", "decoupled_parts", "decoupled_loss",  # decoupled
    "hint_loss", "attention_map", "attention_transfer_loss",  # features
    "similarity_preserving_loss", "distance_relation_loss", "angle_relation_loss",  # relations
    "correlation_loss",
    "pair_scores", "contrastive_loss", "information_bound",  # contrastive
    "gaussian_kernel", "neighbour_kernel", "cascade", "iterated_cascade",  # label_propagation
    "stationary_distribution", "propagate_labels", "harmonic_solution", "spread_labels",
    "best_class_bias",  # omitted_class
    "unit",  # numerics
]
