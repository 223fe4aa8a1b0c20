"""No verdict hangs on how a tie is broken, or on the last digit of an input."""

import sys
from importlib import import_module

import pytest
import torch

from exercises import report
from reference_impl.training import load_checkpoint
from tests.exercises.claims import said, submitted

PARTS = ("quantization", "quantized_network", "distillation", "pruning")
"""The tests of those whose checkers or mistakes round, rank or compare floating-point numbers."""


def tables():
    """Yield the name of each exercise with its right and wrong answers of their tests."""
    for part in PARTS:
        module = import_module(f"tests.exercises.test_{part}_exercises")
        for name, wrong in module.WRONG.items():
            if not name.startswith(("distill", "relation")):
                yield name, module.RIGHT[name], wrong


def shuffled(x):
    """Return the numbers in another order, each moved up or down by one ulp."""
    draws = torch.Generator().manual_seed(x.numel())
    order = torch.randperm(x.numel(), generator=draws)
    return blurred(x.flatten()[order].view(x.shape))


def blurred(x):
    """Return the numbers, each moved up or down by one ulp."""
    draws = torch.Generator().manual_seed(x.numel())
    up = torch.randint(2, x.shape, generator=draws) > 0
    return torch.nextafter(x, torch.where(up, torch.inf, -torch.inf).to(x.dtype))


def shrunk(x):
    """Return the numbers, each moved by one ulp towards 0."""
    return torch.nextafter(x, torch.zeros_like(x))


def forget_inputs() -> None:
    for name, module in sys.modules.items():
        if name.startswith("exercises."):
            for value in vars(module).values():
                getattr(value, "cache_clear", lambda: None)()


@pytest.fixture(scope="module", params=[(shuffled, blurred), (shrunk, shrunk)])
def moved_inputs(request):
    """Move all that the checkers draw, and the weights of the networks that they load."""
    drawn, loaded = request.param
    randn, rand = torch.randn, torch.rand

    def load_moved(name):
        network = load_checkpoint(name)
        network.load_state_dict(
            {k: loaded(v) if v.is_floating_point() else v for k, v in network.state_dict().items()}
        )
        return network

    forget_inputs()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "randn", lambda *size, **options: drawn(randn(*size, **options)))
        patch.setattr(torch, "rand", lambda *size, **options: drawn(rand(*size, **options)))
        for name, module in sys.modules.items():
            if name.startswith("exercises.") and hasattr(module, "load_checkpoint"):
                patch.setattr(module, "load_checkpoint", load_moved)
        yield
    forget_inputs()


@pytest.mark.usefixtures("moved_inputs")
@pytest.mark.parametrize(("name", "right", "wrong"), [pytest.param(*r, id=r[0]) for r in tables()])
def test_verdicts_are_the_same_on_moved_inputs(name, right, wrong):
    """Oracle: the verdicts on the inputs as they are."""
    for answer in right:
        assert report(name, submitted(right[0], answer)).passed, answer
    for answer, advice, *_ in wrong:
        found = report(name, submitted(right[0], answer))
        assert not found.passed, (answer, advice)
        assert said(found, advice), (advice, found.lines)
