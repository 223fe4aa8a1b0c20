"""What a model costs, and what compression loses."""

from reference_impl.measuring.cost import Layer, ModelCost, model_cost
from reference_impl.measuring.error import mean_squared_error, sqnr
from reference_impl.measuring.interval import Interval, mean_interval, paired_gain, student_quantile
from reference_impl.measuring.latency import (
    Latency,
    compare_latencies,
    device_name,
    measure_latency,
)
from reference_impl.measuring.pruned_size import (
    bitmap_size,
    csr_size,
    deflated_bytes,
    file_bytes,
    nonzero_size,
)
from reference_impl.measuring.quantized_size import quantized_size
from reference_impl.measuring.reliability import Reliability, reliability
from reference_impl.measuring.roofline import attainable, least_time
from reference_impl.measuring.size import Size, count_parameters, model_size

__all__ = [
    # size
    "count_parameters",
    "Size",
    "model_size",
    # quantized_size
    "quantized_size",
    # pruned_size
    "nonzero_size",
    "bitmap_size",
    "csr_size",
    "file_bytes",
    "deflated_bytes",
    # cost
    "Layer",
    "ModelCost",
    "model_cost",
    # roofline
    "attainable",
    "least_time",
    # latency
    "Latency",
    "measure_latency",
    "compare_latencies",
    "device_name",
    # error
    "mean_squared_error",
    "sqnr",
    # reliability
    "Reliability",
    "reliability",
    # interval
    "Interval",
    "mean_interval",
    "paired_gain",
    "student_quantile",
]
