"""Every public function of the package refuses what its signature forbids."""

from functools import partial

import pytest
import torch
from chains import NARROW, conv_chain, drawn, examples, inputs_of, weights_of
from contracts import name, unrefused, untried
from torch import nn

from reference_impl import compress as c
from reference_impl.compress import fold, graph, integer, quantized
from reference_impl.compress.adaround import patches
from reference_impl.merging import selection
from reference_impl.quantization import AdaRoundSettings, AffineQuantizer, IntegerGrid, fixed_point

SEEN = examples(4)
X = SEEN.images
CHAIN, NORMED, NETWORK = conv_chain(0, norms=False), conv_chain(0), drawn("student")
WEIGHTS, INPUTS = weights_of(CHAIN), inputs_of(CHAIN, X)
GRID, SIGNED = IntegerGrid(8), IntegerGrid(8, signed=True, narrow=True)
QUANTIZER = AffineQuantizer(torch.tensor(0.5), torch.tensor(0), SIGNED)
BYTES = AffineQuantizer(torch.tensor(0.5), torch.tensor(0), GRID)
ROUNDED = c.quantize_layers(CHAIN, WEIGHTS, INPUTS)
BITS = c.edge_bits(CHAIN, c.LayerBits(4, 4))
LEARNED = c.learn_layers(CHAIN, X, BITS)
LEARNABLE = c.LearnedQuantizer(QUANTIZER, 4)
LINEAR = nn.Linear(4, 3)
ONE_LAYER = nn.Sequential(c.QuantizedLayer(LINEAR, QUANTIZER, BYTES))
EVEN = nn.Linear(2, 1, bias=False)
nn.init.ones_(EVEN.weight)
INTEGERS, HALF = c.integer_network(ONE_LAYER), fixed_point(torch.tensor(0.5))
WINDOW = integer.Window((2, 2), (1, 1), (0, 0), (1, 1))
CODES = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
KEEP = {"conv1": torch.arange(6) < 3, "conv2": torch.arange(8) < 4}
SCORES = {label: torch.rand(len(mask)) for label, mask in KEEP.items()}
ROWS = c.incoming_rows(NETWORK, "conv1")
HEAD = {"network": NETWORK, "place": "head", "examples": SEEN}
MASKS = {"head.weight": torch.ones(10, 10, dtype=torch.bool)}
FEW = AdaRoundSettings(steps=2)


def each(*functions, **given):
    return [partial(function, **given) for function in functions]


CALLS = [
    partial(quantized.StoredQuantizer, quantizer=QUANTIZER),
    partial(c.QuantizedLayer, layer=LINEAR, weight=QUANTIZER, inputs=None),
    partial(c.weight_layers, network=CHAIN),
    partial(c.with_sparse_layers, network=CHAIN),
    partial(c.layer_inputs, network=CHAIN, images=X),
    partial(c.quantize_layers, network=CHAIN, weights=WEIGHTS, inputs=INPUTS),
    *each(c.incoming_rows, c.outgoing_columns, network=NETWORK, label="conv1"),
    partial(c.dependency_graph, network=NETWORK),
    partial(c.to_onnx, network=NETWORK),
    *each(c.coded, c.write_huffman, network=CHAIN),
    *each(c.settle, c.plain, c.network_rate, network=c.coded(CHAIN)),
    partial(c.write_arithmetic, network=EVEN),
    partial(c.read_network, data=c.write_huffman(CHAIN).data, network=CHAIN),
    partial(graph.only_reader, network=NETWORK, label="conv1"),
    partial(c.Tapped, network=CHAIN, names=["relu1"]),
    partial(c.outputs_at, network=NETWORK, names=["relu1"], images=X),
    partial(c.values_read, network=NETWORK, label="conv1", images=X),
    *each(c.mean_gradients, c.mean_square_gradients, network=NETWORK, examples=SEEN),
    partial(c.curvature_diagonal, network=NETWORK, images=X),
    partial(c.unit_contributions, network=NETWORK, places={"conv1": "relu1"}, examples=SEEN),
    partial(fold.norm_factor, norm=NORMED.norm1),
    partial(c.fold_batch_norms, network=NORMED),
    partial(c.folded, weight=torch.ones(4, 2), bias=torch.ones(4), norm=NORMED.norm1),
    partial(c.equalizing_factors, r1=torch.ones(2), r2=torch.ones(2)),
    partial(c.output_ranges, layer=LINEAR),
    partial(c.equalize, network=CHAIN, sweeps=1),
    partial(c.correct_biases, quantized=ROUNDED, network=CHAIN, images=X),
    partial(c.layer_loss, layer=LINEAR, outputs=torch.ones(5, 3), inputs=torch.ones(5, 4)),
    partial(patches, layer=LINEAR, x=torch.ones(5, 4)),
    partial(c.adaround, network=CHAIN, weights=WEIGHTS, inputs=None, images=X, settings=FEW),
    partial(c.weight_quantizers, network=CHAIN, grid=NARROW),
    partial(c.input_quantizers, network=CHAIN, images=X, grid=GRID),
    partial(c.PostTraining, bits=4),
    partial(c.PostTraining(bits=4).__call__, network=CHAIN, images=X),
    partial(c.LayerBits, weight=4, inputs=4),
    partial(c.LearnedQuantizer, start=QUANTIZER, n=4),
    partial(c.LearnedLayer, layer=LINEAR, weight=LEARNABLE, inputs=LEARNABLE),
    partial(c.learn_layers, network=CHAIN, images=X, bits=BITS),
    partial(c.edge_bits, network=CHAIN, bits=c.LayerBits(4, 4)),
    *each(
        *(c.learned_layers, c.learned_quantizers, c.keep_scales_positive, c.deploy), network=LEARNED
    ),
    partial(c.input_start, x=X, grid=GRID),
    partial(c.Requantizer, multiplier=HALF, grid=GRID, zero_point=0, relu=False),
    partial(WINDOW.patches, codes=CODES, fill=0),
    partial(integer.MaxPool(nn.MaxPool2d(2)).__call__, codes=CODES),
    *each(c.integer_network, c.simulation, network=ONE_LAYER),
    *each(INTEGERS.trace, INTEGERS.logits, codes=torch.zeros(2, 4, dtype=torch.uint8)),
    *each(c.prunable_weights, c.masks_of, c.density, c.mac_formula, network=NETWORK),
    partial(c.apply_masks, network=NETWORK, masks=MASKS),
    partial(c.CsrLinear, layer=LINEAR),
    partial(c.map_width, network=NETWORK, label="conv1", width_map=selection(KEEP["conv1"])),
    *each(c.remove_units, c.silence_units, c.merge_nearest, network=NETWORK, keep=KEEP),
    partial(c.MacFormula, terms=((10, ("conv1",)),)),
    partial(c.mac_formula(NETWORK).__call__, widths=NETWORK.widths),
    *each(c.unchanged, c.by_mean, c.by_rank, scores=SCORES["conv1"]),
    *each(c.masks_to_budget, c.prune_to_budget, network=NETWORK, scores=SCORES, max_macs=10**5),
    partial(c.nearest_map, rows=ROWS, keep=KEEP["conv1"]),
    partial(c.cluster_map, rows=ROWS, threshold=0.5),
    partial(c.merge_clusters, network=NETWORK, thresholds={"conv1": 0.5}),
    partial(c.merge_least_squares, network=NETWORK, keep=KEEP, images=X, ridge=0.1),
    partial(c.absorb_offset, network=NETWORK, label="conv3", offset=torch.zeros(10)),
    partial(c.closest_outputs, network=NETWORK, candidates={"same": NETWORK}, images=X),
    partial(c.loss_without_weights, **HEAD, which=torch.tensor([1, 2])),
    partial(c.loss_without_units, network=NETWORK, place="relu1", examples=SEEN),
]


def test_every_public_function_is_tried():
    """Oracle: what the package exports."""
    assert untried(c, CALLS) == set()


@pytest.mark.parametrize("call", CALLS, ids=name)
def test_each_argument_made_wrong_is_refused_by_its_name(call):
    """Oracle: the annotations, read by `contracts`; candidates may have any names."""
    found = unrefused(call)
    assert found == ["candidates with the key None: None"] * (name(call) == "closest_outputs")
