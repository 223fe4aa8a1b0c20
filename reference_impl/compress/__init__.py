"""The formulas applied to whole networks: by bits and by width."""

# fmt: off
from reference_impl.compress.quantized import (
    QuantizedLayer, weight_layers, layer_inputs, quantize_layers,
)
from reference_impl.compress.graph import (
    DependencyGraph, Piece, dependency_graph, incoming_rows, outgoing_columns,
)
from reference_impl.compress.activations import Tapped, outputs_at, values_read
from reference_impl.compress.statistics import (
    mean_gradients, mean_square_gradients, curvature_diagonal, unit_contributions,
)
from reference_impl.compress.fold import fold_batch_norms, folded
from reference_impl.compress.equalize import equalizing_factors, output_ranges, equalize
from reference_impl.compress.bias import correct_biases
from reference_impl.compress.adaround import layer_loss, adaround
from reference_impl.compress.post_training import weight_quantizers, input_quantizers, PostTraining
from reference_impl.compress.learned import (
    LayerBits, LearnedQuantizer, LearnedLayer, learn_layers, edge_bits, learned_layers,
    learned_quantizers, keep_scales_positive, input_start, deploy,
)
from reference_impl.compress.integer import Requantizer, IntegerLayer
from reference_impl.compress.integer_joins import Join, Average
from reference_impl.compress.integer_network import IntegerNetwork, integer_network, simulation
from reference_impl.compress.onnx import to_onnx
from reference_impl.compress.masked import prunable_weights, apply_masks, masks_of, density
from reference_impl.compress.sparse import CsrLinear, with_sparse_layers
from reference_impl.compress.narrow import map_width, remove_units, silence_units
from reference_impl.compress.budget import (
    MacFormula, mac_formula, unchanged, by_mean, by_rank, NORMALISE, masks_to_budget,
    prune_to_budget,
)
from reference_impl.compress.merge import (
    nearest_map, cluster_map, merge_nearest, merge_clusters, merge_least_squares, absorb_offset,
    closest_outputs,
)
from reference_impl.compress.removal import loss_without_weights, loss_without_units
from reference_impl.compress.coded import CodedLayer, coded, settle, plain, network_rate
from reference_impl.compress.network_file import (
    NetworkFile, write_huffman, write_arithmetic, read_network,
)

__all__ = [
    "QuantizedLayer", "weight_layers", "layer_inputs", "quantize_layers",  # quantized
    "DependencyGraph", "Piece", "dependency_graph", "incoming_rows",  # graph
    "outgoing_columns",
    "Tapped", "outputs_at", "values_read",  # activations
    "mean_gradients", "mean_square_gradients", "curvature_diagonal",  # statistics
    "unit_contributions",
    "fold_batch_norms", "folded",  # fold
    "equalizing_factors", "output_ranges", "equalize",  # equalize
    "correct_biases",  # bias
    "layer_loss", "adaround",  # adaround
    "weight_quantizers", "input_quantizers", "PostTraining",  # post_training
    "LayerBits", "LearnedQuantizer", "LearnedLayer", "learn_layers", "edge_bits",  # learned
    "learned_layers", "learned_quantizers", "keep_scales_positive", "input_start",
    "deploy",
    "Requantizer", "IntegerLayer",  # integer
    "Join", "Average",  # integer_joins
    "IntegerNetwork", "integer_network", "simulation",  # integer_network
    "to_onnx",  # onnx
    "prunable_weights", "apply_masks", "masks_of", "density",  # masked
    "CsrLinear", "with_sparse_layers",  # sparse
    "map_width", "remove_units", "silence_units",  # narrow
    "MacFormula", "mac_formula", "unchanged", "by_mean", "by_rank", "NORMALISE",  # budget
    "masks_to_budget", "prune_to_budget",
    "nearest_map", "cluster_map", "merge_nearest", "merge_clusters",  # merge
    "merge_least_squares", "absorb_offset", "closest_outputs",
    "loss_without_weights", "loss_without_units",  # removal
    "CodedLayer", "coded", "settle", "plain", "network_rate",  # coded
    "NetworkFile", "write_huffman", "write_arithmetic", "read_network",  # network_file
]
