"""What a model costs, and what compression loses."""

# fmt: off
from reference_impl.measuring.size import (
    count_parameters, Size, model_size, nonzero_size, bitmap_size, csr_size, quantized_size,
    file_bytes, deflated_bytes,
)
from reference_impl.measuring.cost import Layer, ModelCost, model_cost
from reference_impl.measuring.roofline import attainable, least_time
from reference_impl.measuring.latency import (
    Latency, measure_latency, compare_latencies, device_name,
)
from reference_impl.measuring.error import mean_squared_error, sqnr
from reference_impl.measuring.reliability import Reliability, reliability
from reference_impl.measuring.interval import (
    Interval, mean_interval, paired_gain, student_quantile, bonferroni_level,
)
from reference_impl.measuring.order import order_gap, swap_gain

__all__ = [
    "count_parameters", "Size", "model_size", "nonzero_size", "bitmap_size",  # size
    "csr_size", "quantized_size", "file_bytes", "deflated_bytes",
    "Layer", "ModelCost", "model_cost",  # cost
    "attainable", "least_time",  # roofline
    "Latency", "measure_latency", "compare_latencies", "device_name",  # latency
    "mean_squared_error", "sqnr",  # error
    "Reliability", "reliability",  # reliability
    "Interval", "mean_interval", "paired_gain", "student_quantile",  # interval
    "bonferroni_level",
    "order_gap", "swap_gain",  # order
]
