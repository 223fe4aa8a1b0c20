"""Tensors of another device, without one: shapes and devices are followed, values are not there."""

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from reference_impl import distillation, merging
from reference_impl import quantization as q

X, Y = (6, 8), (6,)
LEVELS = q.CodebookQuantizer((-1.0, 0.0, 1.0))

CALLS = {
    "short floats": lambda x, _: q.E4M3.round_trip(x),
    "codebook": lambda x, _: LEVELS.round_trip(x),
    "microscaling": lambda x, _: q.microscaling(x).values,
    "stochastic": lambda x, _: q.round_stochastically(x, torch.Generator()),
    "another matrix": lambda x, _: merging.map_axis(x, 0, torch.ones(3, 6)),
    "bias of a class": lambda x, y: torch.tensor(distillation.best_class_bias(x, y, 0)),
}


@pytest.mark.parametrize("name", CALLS)
def test_tensors_of_a_gpu_meet_none_of_the_cpu(name, monkeypatch):
    """Oracle: torch's fake tensors, which refuse to mix devices, as a GPU would."""
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)  # no value can be checked
    with FakeTensorMode():
        x = torch.empty(X, device="cuda")
        y = torch.empty(Y, dtype=torch.int64, device="cuda")
        try:
            result = CALLS[name](x, y)
        except DataDependentOutputException:  # a value would be read: all before it was computed
            assert name == "bias of a class"
        else:
            assert result.device.type == "cuda"
