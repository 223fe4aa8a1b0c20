"""What the figures to play with are given besides their controls: recorded and trained numbers."""

import base64
import io
from collections.abc import Callable, Mapping
from typing import Any

from matplotlib.image import imsave
from torch import Tensor

from book_tools.site.playable.coded import coded_layers
from book_tools.site.playable.networks import (
    quantiles_of_four_bits,
    recorded_orders,
    similar_neurons,
)
from reference_impl.data import load_dataset
from reference_impl.training import load_checkpoint, predict

SHIRT = 290
"""The validation image of chapter 10: a shirt; the teacher gives its class 90 %."""


def logits_of_a_shirt() -> dict[str, Any]:
    """Return the logits v of the teacher and z of the student for one image, and the image."""
    dataset = load_dataset()
    images = dataset.validation.images[SHIRT : SHIRT + 1]
    v, z = (predict(load_checkpoint(name), images)[0] for name in ("teacher", "student"))
    numbers = {
        name: [round(x, 4) for x in logits.tolist()] for name, logits in (("v", v), ("z", z))
    }
    names = {"classes": dataset.classes, "label": "Shirt"}
    return {**names, **numbers, "image": _address(images[0, 0])}


def _address(pixels: Tensor) -> str:
    """Return a picture as an address that holds it."""
    file = io.BytesIO()
    imsave(file, pixels.numpy(), cmap="gray_r", format="png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


DATA: Mapping[str, Callable[[], Any]] = {
    "fig-coding-parts": coded_layers,
    "fig-distill-temperature": logits_of_a_shirt,
    "fig-format-lines": quantiles_of_four_bits,
    "fig-merge-matrix": similar_neurons,
    "fig-order-gains": recorded_orders,
}
"""The name of a figure, and a function that returns what JSON can hold."""
