"""Units that stand in for others: similarity, clusters, factors, least squares."""

from reference_impl.merging.behind_batch_norm import batch_norm_factor, normalised_relation
from reference_impl.merging.clusters import complete_linkage, connected_components, nearest_kept
from reference_impl.merging.factors import (
    error_bound,
    gaussian_scale,
    kappa,
    norm_ratio_scale,
    projection_scale,
    relative_error,
)
from reference_impl.merging.least_squares import Reproduction, greedy_keep, reproduce
from reference_impl.merging.pair_saliency import least_pair, merge_by_saliency, pair_saliency
from reference_impl.merging.similarity import cosine_similarity
from reference_impl.merging.width_map import WidthMap, map_axis, selection, standing_in

__all__ = [
    # similarity
    "cosine_similarity",
    # clusters
    "connected_components",
    "complete_linkage",
    "nearest_kept",
    # factors
    "projection_scale",
    "norm_ratio_scale",
    "gaussian_scale",
    "kappa",
    "relative_error",
    "error_bound",
    # behind_batch_norm
    "batch_norm_factor",
    "normalised_relation",
    # pair_saliency
    "pair_saliency",
    "least_pair",
    "merge_by_saliency",
    # least_squares
    "Reproduction",
    "reproduce",
    "greedy_keep",
    # width_map
    "WidthMap",
    "selection",
    "standing_in",
    "map_axis",
]
