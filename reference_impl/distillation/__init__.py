"""Losses of a student against its teacher."""

from reference_impl.distillation.contrastive import contrastive_loss, information_bound, pair_scores
from reference_impl.distillation.decoupled import DecoupledParts, decoupled_loss, decoupled_parts
from reference_impl.distillation.features import attention_map, attention_transfer_loss, hint_loss
from reference_impl.distillation.kernels import gaussian_kernel, neighbour_kernel
from reference_impl.distillation.label_propagation import (
    cascade,
    harmonic_solution,
    iterated_cascade,
    propagate_labels,
    spread_labels,
    stationary_distribution,
)
from reference_impl.distillation.numerics import unit
from reference_impl.distillation.objective import distillation_objective, effective_alpha
from reference_impl.distillation.omitted_class import best_class_bias
from reference_impl.distillation.relations import (
    angle_relation_loss,
    correlation_loss,
    distance_relation_loss,
    similarity_preserving_loss,
)
from reference_impl.distillation.soft_targets import (
    logit_matching_loss,
    mean_soft_target_loss,
    soft_cross_entropy,
    soft_target_loss,
    soften,
)

__all__ = [
    # soft_targets
    "soften",
    "soft_cross_entropy",
    "soft_target_loss",
    "logit_matching_loss",
    "mean_soft_target_loss",
    # objective
    "distillation_objective",
    "effective_alpha",
    # decoupled
    "DecoupledParts",
    "decoupled_parts",
    "decoupled_loss",
    # features
    "hint_loss",
    "attention_map",
    "attention_transfer_loss",
    # relations
    "similarity_preserving_loss",
    "distance_relation_loss",
    "angle_relation_loss",
    "correlation_loss",
    # contrastive
    "pair_scores",
    "contrastive_loss",
    "information_bound",
    # kernels
    "gaussian_kernel",
    "neighbour_kernel",
    # label_propagation
    "cascade",
    "iterated_cascade",
    "stationary_distribution",
    "propagate_labels",
    "harmonic_solution",
    "spread_labels",
    # omitted_class
    "best_class_bias",
    # numerics
    "unit",
]
