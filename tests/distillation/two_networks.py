"""Logits of a student and of a teacher, and torchdistill's losses between them."""

import torch
from draws import generator
from hypothesis import strategies as st

PROBLEMS = {
    "seed": st.integers(0, 10_000),
    "n": st.integers(1, 7),
    "classes": st.integers(1, 8),
    "temperature": st.floats(0.2, 50),
}


def drawn(seed=0, n=5, classes=4, spread=3.0):
    """Return both networks' logits in float64, and labels."""
    draws = generator(seed)
    student, teacher = spread * torch.randn(2, n, classes, generator=draws, dtype=torch.float64)
    return student, teacher, torch.randint(classes, (n,), generator=draws)


def torchdistill(loss, student, teacher, *labels):
    """Return the loss of two outputs; it looks them up in dictionaries, under the paths s and t."""
    return loss({"s": {"output": student}}, {"t": {"output": teacher}}, *labels)
