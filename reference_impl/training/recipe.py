"""Training recipes: everything that decides the result of a training, in one frozen value."""

import math
from dataclasses import dataclass

from reference_impl.checks import require_instance, require_int, require_real
from reference_impl.models import MODELS


@dataclass(frozen=True)
class Recipe:
    """How a network of `MODELS` is trained: AdamW on the cross-entropy.

    Args:
        model: name of the network.
        epochs: passes over the training images.
        batch_size: images per step.
        learning_rate: its peak, see `rate`.
        warm_up: share of the steps before the peak, in (0, 1).
        weight_decay: decoupled, AdamW's λ.
        augment: mirror and shift the images at random, see `training.augmentation.augment`.
        erase: overwrite a part of them at random, see `training.augmentation.erase`.
        seed: of the initial weights, the order of the images and the augmentation.

    References:
        Loshchilov & Hutter (2019), Decoupled weight decay regularization; Smith & Topin (2019),
        Super-convergence (one cycle of the learning rate).
    """

    model: str
    epochs: int
    batch_size: int = 128
    learning_rate: float = 1e-3
    warm_up: float = 0.2
    weight_decay: float = 0.01
    augment: bool = False
    erase: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ValueError(f"model must be one of {sorted(MODELS)}, got {self.model!r}")
        require_int("epochs", self.epochs, 1)
        require_int("batch_size", self.batch_size, 2)  # BatchNorm needs two
        require_real("learning_rate", self.learning_rate, 0, open_low=True)
        require_real("warm_up", self.warm_up, 0, 0.99, open_low=True)
        require_real("weight_decay", self.weight_decay, 0)
        require_int("seed", self.seed, 0, 2**31 - 1)
        require_instance("augment", self.augment, bool)
        require_instance("erase", self.erase, bool)

    def rate(self, progress: float) -> float:
        """Return the learning rate at a share ``progress`` of all steps, 0 ≤ progress ≤ 1.

        A straight line from 0 to the peak during the warm-up, then half a cosine back to 0.

        >>> recipe = Recipe("lenet300", epochs=1, learning_rate=1.0, warm_up=0.2)
        >>> [round(recipe.rate(p), 6) for p in (0, 0.1, 0.2, 0.6, 1)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
        """
        require_real("progress", progress, 0, 1)
        if progress < self.warm_up:
            return self.learning_rate * progress / self.warm_up
        after = (progress - self.warm_up) / (1 - self.warm_up)
        return self.learning_rate * (1 + math.cos(math.pi * after)) / 2
