"""Units that stand in for others: similarity, clusters, factors, least squares."""

# fmt: off
from reference_impl.merging.similarity import cosine_similarity
from reference_impl.merging.clusters import connected_components, complete_linkage, nearest_kept
from reference_impl.merging.factors import (
    projection_scale, norm_ratio_scale, gaussian_scale, kappa, relative_error, error_bound,
)
from reference_impl.merging.behind_batch_norm import batch_norm_factor, normalised_relation
from reference_impl.merging.width_map import WidthMap, selection, standing_in, map_axis
from reference_impl.merging.pair_saliency import pair_saliency, least_pair, merge_by_saliency
from reference_impl.merging.least_squares import Reproduction, reproduce, greedy_keep

__all__ = [
    "cosine_similarity",  # similarity
    "connected_components", "complete_linkage", "nearest_kept",  # clusters
    "projection_scale", "norm_ratio_scale", "gaussian_scale", "kappa",  # factors
    "relative_error", "error_bound",
    "batch_norm_factor", "normalised_relation",  # behind_batch_norm
    "WidthMap", "selection", "standing_in", "map_axis",  # width_map
    "pair_saliency", "least_pair", "merge_by_saliency",  # pair_saliency
    "Reproduction", "reproduce", "greedy_keep",  # least_squares
]
