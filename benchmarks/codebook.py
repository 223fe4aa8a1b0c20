"""Exact codebooks against scikit-learn's KMeans and kmeans1d."""

from collections.abc import Iterator

import torch
from kmeans1d.core import cluster
from sklearn.cluster import KMeans

from benchmarks.harness import Case
from reference_impl.measuring import mean_squared_error
from reference_impl.quantization import optimal_codebook
from reference_impl.training import load_checkpoint

SIZE = 16


def weights() -> torch.Tensor:
    """Return the 266,610 parameters of LeNet-300-100."""
    state = load_checkpoint("lenet300").state_dict()
    return torch.cat([value.flatten() for value in state.values()])


def cases() -> Iterator[Case]:
    """Yield the cases of chapter 05.

    Raises:
        RuntimeError: if scikit-learn's codebook has a lower squared error than ours, so that the
            times would be those of different results.
    """
    x = weights()
    column = x.double().numpy()[:, None]
    plain: list[float] = x.tolist()

    def restarts() -> float:
        return float(KMeans(SIZE, n_init=10, random_state=0).fit(column).inertia_)

    ours = mean_squared_error(x, optimal_codebook(x, SIZE).round_trip(x)) * x.numel()
    theirs = restarts()
    if ours > theirs * (1 + 1e-6):  # x̂ is a float32 here
        raise RuntimeError(f"squared error {ours} must be at most scikit-learn's {theirs}")
    name = f"exact codebook of {SIZE} for {x.numel():,} weights"
    yield Case(
        name, "sklearn KMeans, 10 restarts", 0.1, lambda: optimal_codebook(x, SIZE), restarts, 3
    )
    yield Case(
        name,
        "kmeans1d (C++), exact too",
        1.0,
        lambda: optimal_codebook(x, SIZE),
        lambda: cluster(plain, SIZE),
        3,
    )
