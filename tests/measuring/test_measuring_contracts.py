"""Every public function of the package's part refuses what its signature forbids."""

import warnings
from functools import partial

import torch
from contracts import Contracts
from torch import nn

from reference_impl import measuring
from reference_impl.compress import with_sparse_layers
from reference_impl.measuring import roofline
from reference_impl.quantization import IntegerGrid, affine_from_range

MODEL = {"model": nn.Linear(3, 2)}
LAYER = measuring.Layer("fc", (3,), (2,), (2, 3), 2)
SIGNAL = {"x": torch.tensor([1.0, 2.0]), "x_hat": torch.tensor([1.0, 2.5])}
SPEEDS = {"peak": 1e9, "bandwidth": 1e9}
QUICK = {"min_run_time": 1e-9}
QUANTIZER = affine_from_range(torch.tensor(0.0), torch.tensor(1.0), IntegerGrid(4))
ROWS = affine_from_range(torch.zeros(2, 1), torch.ones(2, 1), IntegerGrid(4))
TIED = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
TIED[1].weight = TIED[0].weight
ROWS_ONLY = with_sparse_layers(nn.Sequential(nn.Linear(3, 3)))
SPARSE = nn.Module()
with warnings.catch_warnings(action="ignore"):  # torch calls its sparse rows a beta version
    SPARSE.register_buffer("rows", torch.eye(3).to_sparse_csr())

CALLS = [
    partial(measuring.count_parameters, **MODEL),
    partial(measuring.Size, items={"weights": 8}),
    partial(measuring.model_size, **MODEL, weight_bits=8),
    partial(measuring.nonzero_size, **MODEL),
    partial(measuring.bitmap_size, **MODEL),
    partial(measuring.csr_size, **MODEL),
    partial(measuring.quantized_size, quantizer=QUANTIZER, n_values=10),
    partial(measuring.file_bytes, **MODEL),
    partial(measuring.deflated_bytes, **MODEL),
    partial(measuring.Layer, **vars(LAYER)),
    partial(LAYER.bytes_moved),
    partial(measuring.ModelCost, layers=(LAYER,)),
    partial(measuring.ModelCost((LAYER,)).bytes_moved),
    partial(measuring.ModelCost((LAYER,)).intensity),
    partial(measuring.model_cost, **MODEL, example_shape=(3,)),
    partial(measuring.attainable, intensity=1.0, **SPEEDS),
    partial(measuring.least_time, operations=1.0, moved=1.0, **SPEEDS),
    partial(roofline.Machine, peak=1.0, memory=1.0, cache=1.0),
    partial(roofline.measure_peak, size=2, **QUICK),
    partial(roofline.measure_bandwidth, n_bytes=4, **QUICK),
    partial(roofline.measure_machine, **QUICK),
    partial(roofline.batch_latency, model=nn.Flatten(), batch=1, **QUICK),
    partial(measuring.Latency, median=1.0, iqr=0.1, runs=1, threads=1, device="cpu"),
    partial(measuring.measure_latency, function=list, threads=1, **QUICK),
    partial(measuring.compare_latencies, functions={"list": list}, threads=1, rounds=1, **QUICK),
    partial(measuring.mean_squared_error, **SIGNAL),
    partial(measuring.sqnr, **SIGNAL),
    partial(measuring.reliability, logits=torch.ones(2, 3), labels=torch.tensor([0, 2])),
    partial(measuring.mean_interval, values=[1.0, 2.0]),
    partial(measuring.paired_gain, after=[1.0, 2.0], before=[1.0, 3.0]),
    partial(measuring.student_quantile, level=0.9, freedom=2),
    partial(measuring.bonferroni_level, n=2, level=0.9),
    partial(measuring.order_gap, x=torch.ones(2), first=torch.neg, second=torch.round),
    partial(measuring.swap_gain, values={("a", "b"): 1, ("b", "a"): 0}, first="a", second="b"),
]

REFUSED = [
    (lambda: measuring.sqnr(torch.zeros(2), torch.ones(2)), "x must be other than zero somewhere"),
    (lambda: measuring.reliability(torch.ones(1, 3), torch.tensor([3])), "labels .* 0 … 2, got 3"),
    (lambda: measuring.mean_interval([1.0]), r"values must be two numbers or more, got \[1.0\]"),
    (lambda: measuring.paired_gain([1.0, 2, 3], [1.0, 2]), "must have the 3 values of after"),
    (lambda: measuring.quantized_size(ROWS, 3), "must be a multiple of the 2 scales, got 3"),
    (lambda: measuring.model_cost(nn.Linear(3, 2), ()), "example_shape must suit"),
    (lambda: measuring.model_cost(nn.Linear(3, 2), (4,)), r"shape must suit the model, got \(4,\)"),
    (lambda: measuring.model_cost(nn.ReLU(), (3,)), "layers must be a linear or"),
    (lambda: measuring.file_bytes(TIED), "model must not share memory between tensors"),
    (lambda: measuring.deflated_bytes(SPARSE), r"must hold dense tensors, got sparse \['rows'"),
    (lambda: measuring.bitmap_size(ROWS_ONLY), "must not compute its weights, '0' does"),
]


class TestContracts(Contracts):
    face, calls, refused, errors = measuring, CALLS, REFUSED, (TypeError, ValueError)
