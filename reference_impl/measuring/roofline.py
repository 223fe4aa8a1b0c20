"""The roofline: which of two speeds, arithmetic or memory, limits a computation."""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import nn

from reference_impl.checked import Count, NonNegative, Positive, Within, checked
from reference_impl.files import ROOT
from reference_impl.measuring.latency import measure_latency
from reference_impl.models import evaluating, zeros_for

RESULT = ROOT / "data" / "results" / "roofline.json"  # by `python -m experiments roofline`
EXAMPLE_SHAPE = (1, 28, 28)
MEMORY_BYTES = 128 * 2**20
CACHE_BYTES = 2**19
THREADS = 1  # small networks lose with two cores when one of them is busy


@checked
@dataclass(frozen=True)
class Machine:
    """The three speeds of a machine that the roofline needs."""

    peak: Positive  # operations per second in float32 (FLOP/s)
    memory: Positive  # bytes per second to and from main memory
    cache: Positive  # bytes per second to and from a cache that holds half a mebibyte

    @property
    def ridge(self) -> float:
        """Return ridge = peak / memory, the intensity at which the two limits meet (FLOP/byte)."""
        return self.peak / self.memory


@checked
def attainable(intensity: Positive, *, peak: Positive, bandwidth: Positive) -> float:
    """Return min(peak, intensity · bandwidth), the speed that a computation cannot exceed (FLOP/s).

    The intensity is the number of operations per byte moved. The bandwidth (bytes/s) is that of
    the memory that holds the data: that of main memory does not limit data in a cache.

    References: Williams et al. (2009), section 3.

    >>> attainable(0.5, peak=100e9, bandwidth=10e9)
    5000000000.0

    Equation: eq-cost-roofline, chapter 01.
    """
    return min(peak, intensity * bandwidth)


@checked
def least_time(
    operations: NonNegative, moved: NonNegative, *, peak: Positive, bandwidth: Positive
) -> float:
    """Return max(operations / peak, moved / bandwidth), the seconds that must pass at least.

    Arithmetic and traffic may overlap, but neither can take less than its own time. There are
    2 n MACs operations for n examples, and ``moved`` bytes are read and written.

    >>> least_time(2e9, 1e9, peak=100e9, bandwidth=10e9)
    0.1

    Equation: eq-cost-time, chapter 01.
    """
    return max(operations / peak, moved / bandwidth)


@checked
def measure_peak(size: Count = 512, *, min_run_time: Positive = 0.2) -> float:
    """Return 2 size³ / t, with t the time of one float32 product of square matrices (FLOP/s).

    A large product is what a processor does best: each number enters ``size`` products.
    """
    left, right = torch.ones(size, size), torch.ones(size, size)
    took = measure_latency(
        lambda: torch.mm(left, right), threads=THREADS, min_run_time=min_run_time
    )
    return 2 * size**3 / took.median


@checked
def measure_bandwidth(
    n_bytes: Annotated[int, Within(4)] = MEMORY_BYTES, *, min_run_time: Positive = 0.2
) -> float:
    """Return 2 n_bytes / t, with t the time to copy a tensor of ``n_bytes`` (bytes/s).

    A copy reads every byte once and writes it once: each counts twice. Where the tensor is
    larger than the caches, this is the speed of main memory; where it fits, of the cache.
    """
    source = torch.ones(n_bytes // 4)
    target = torch.empty_like(source)
    took = measure_latency(lambda: target.copy_(source), threads=THREADS, min_run_time=min_run_time)
    return 2 * source.numel() * 4 / took.median


@checked
def measure_machine(*, min_run_time: Positive = 0.2) -> Machine:
    """Return the speeds of one core of this machine."""
    peak = measure_peak(min_run_time=min_run_time)
    memory, cache = (
        measure_bandwidth(size, min_run_time=min_run_time) for size in (MEMORY_BYTES, CACHE_BYTES)
    )
    return Machine(peak, memory, cache)


@checked
def batch_latency(model: nn.Module, batch: Count, *, min_run_time: Positive = 0.2) -> float:
    """Return the median seconds of one call, in evaluation mode, on ``batch`` images of 28 × 28."""
    images = zeros_for(model, batch, *EXAMPLE_SHAPE)
    with evaluating(model), torch.inference_mode():
        took = measure_latency(lambda: model(images), threads=THREADS, min_run_time=min_run_time)
    return took.median
