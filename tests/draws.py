"""Random tensors that are the same in every run."""

import torch


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=dtype)


def integers(low: int, high: int, *shape: int, seed: int = 0) -> torch.Tensor:
    """Return integers in [low, high], both included."""
    return torch.randint(low, high + 1, shape, generator=generator(seed))
