"""The formulas applied to whole networks: by bits and by width."""

from reference_impl.compress.activations import Tapped, outputs_at
from reference_impl.compress.adaround import adaround, layer_loss
from reference_impl.compress.bias import correct_biases
from reference_impl.compress.budget import (
    NORMALISE,
    by_mean,
    by_rank,
    mac_formula,
    masks_to_budget,
    prune_to_budget,
    unchanged,
)
from reference_impl.compress.contributions import unit_contributions
from reference_impl.compress.deploy import deploy
from reference_impl.compress.equalize import equalize, equalizing_factors, output_ranges
from reference_impl.compress.fold import fold_batch_norms
from reference_impl.compress.integer import IntegerLayer, Requantizer
from reference_impl.compress.integer_network import IntegerNetwork, integer_network, simulation
from reference_impl.compress.learned import (
    Bits,
    LearnedLayer,
    LearnedQuantizer,
    edge_bits,
    input_start,
    keep_scales_positive,
    learn_layers,
    learned_layers,
    learned_quantizers,
)
from reference_impl.compress.masked import apply_masks, density, masks_of, prunable_weights
from reference_impl.compress.merge import (
    closest_outputs,
    cluster_map,
    merge_clusters,
    merge_least_squares,
    merge_nearest,
    nearest_map,
)
from reference_impl.compress.narrow import map_width, remove_units, silence_units
from reference_impl.compress.post_training import PostTraining, input_quantizers, weight_quantizers
from reference_impl.compress.quantized import (
    QuantizedLayer,
    layer_inputs,
    quantize_layers,
    weight_layers,
)
from reference_impl.compress.readers import absorb_offset, values_read
from reference_impl.compress.removal import loss_without_units, loss_without_weights
from reference_impl.compress.sparse import CsrLinear, dense_weight, with_sparse_layers
from reference_impl.compress.statistics import (
    curvature_diagonal,
    mean_gradients,
    mean_square_gradients,
)
from reference_impl.compress.units import incoming_rows, outgoing_columns

__all__ = [
    # quantized
    "QuantizedLayer",
    "weight_layers",
    "layer_inputs",
    "quantize_layers",
    # activations
    "Tapped",
    "outputs_at",
    # contributions
    "unit_contributions",
    # statistics
    "mean_gradients",
    "mean_square_gradients",
    "curvature_diagonal",
    # units
    "incoming_rows",
    "outgoing_columns",
    # readers
    "values_read",
    "absorb_offset",
    # fold
    "fold_batch_norms",
    # equalize
    "equalizing_factors",
    "output_ranges",
    "equalize",
    # bias
    "correct_biases",
    # adaround
    "layer_loss",
    "adaround",
    # post_training
    "weight_quantizers",
    "input_quantizers",
    "PostTraining",
    # learned
    "Bits",
    "LearnedQuantizer",
    "LearnedLayer",
    "learn_layers",
    "edge_bits",
    "learned_layers",
    "learned_quantizers",
    "keep_scales_positive",
    "input_start",
    # deploy
    "deploy",
    # integer
    "Requantizer",
    "IntegerLayer",
    # integer_network
    "IntegerNetwork",
    "integer_network",
    "simulation",
    # masked
    "prunable_weights",
    "apply_masks",
    "masks_of",
    "density",
    # sparse
    "CsrLinear",
    "with_sparse_layers",
    "dense_weight",
    # narrow
    "map_width",
    "remove_units",
    "silence_units",
    # budget
    "mac_formula",
    "unchanged",
    "by_mean",
    "by_rank",
    "NORMALISE",
    "masks_to_budget",
    "prune_to_budget",
    # merge
    "nearest_map",
    "cluster_map",
    "merge_nearest",
    "merge_clusters",
    "merge_least_squares",
    "closest_outputs",
    # removal
    "loss_without_weights",
    "loss_without_units",
]
