"""Training recipes: everything that decides the result of a training, in one frozen value."""

import math
from abc import ABC, abstractmethod
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, ClassVar

import torch
from torch import nn
from torch.optim import Optimizer

from reference_impl.checked import Count, NonNegative, Positive, Share, Where, Within, checked
from reference_impl.compress.learned import EDGE_BITS, LearnedQuantizer
from reference_impl.data import Seed
from reference_impl.models import MODELS, Network

ModelName = Annotated[str, Where(f"one of {sorted(MODELS)}", MODELS.__contains__)]
BatchSize = Annotated[int, Within(2)]  # BatchNorm needs two
FewBits = Annotated[int, Within(2, 8)]


@checked
@dataclass(frozen=True, kw_only=True)
class BaseRecipe(ABC):
    """The fields of every recipe; the loop takes any of them."""

    epochs: Count  #: passes over the training images
    batch_size: BatchSize = 128  #: images per step
    learning_rate: Positive  #: η, the peak of `rate`
    augment: bool = False  #: mirror and shift the images, see `training.augmentation.augment`
    erase: bool = False  #: overwrite a part of them, see `training.augmentation.erase`
    seed: Seed = 0  #: of the initial weights, the order of the images and their augmentation

    moment: ClassVar[float]  #: of a step at which its rate is taken: 0 its beginning, ½ its middle

    @checked
    def n_steps(self, n_examples: Count) -> int:
        """Return the number of steps of all epochs together; the last of each may be smaller."""
        return self.epochs * math.ceil(n_examples / self.batch_size)

    @checked
    def rate(self, progress: Share) -> float:
        """Return the learning rate after a share of all steps: half a cosine, from η to 0."""
        return self.learning_rate * (1 + math.cos(math.pi * progress)) / 2

    @abstractmethod
    def optimizer(self, network: nn.Module) -> Optimizer:
        """Return the optimizer; its own rates are multiples of `rate`."""


@checked
@dataclass(frozen=True, kw_only=True)
class AdamRecipe(BaseRecipe):
    """How a network is trained from its initial weights: AdamW, its rate rising, then falling.

    References: Loshchilov & Hutter (2019), Decoupled weight decay regularization; Smith & Topin
    (2019), Super-convergence (one cycle of the learning rate).
    """

    learning_rate: Positive = 1e-3
    warm_up: Annotated[float, Within(0, 0.99, above=True)] = 0.2  #: share of steps before the peak
    weight_decay: NonNegative = 0.01  #: decoupled, AdamW's λ

    moment = 0.5

    @checked
    def rate(self, progress: Share) -> float:
        """Return the learning rate after a share ``progress`` of all steps.

        A straight line from 0 to the peak during the warm-up, then half a cosine back to 0.

        >>> recipe = AdamRecipe(epochs=1, learning_rate=1.0, warm_up=0.2)
        >>> [round(recipe.rate(p), 6) for p in (0, 0.1, 0.2, 0.6, 1)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
        """
        if progress < self.warm_up:
            return self.learning_rate * progress / self.warm_up
        return super().rate((progress - self.warm_up) / (1 - self.warm_up))

    @checked
    def optimizer(self, network: nn.Module) -> Optimizer:
        """Return AdamW with the weight decay."""
        own = network.parameters()
        return torch.optim.AdamW(own, lr=1.0, weight_decay=self.weight_decay, fused=True)


@checked
@dataclass(frozen=True)
class Recipe(AdamRecipe):
    """How a network of `MODELS` is trained."""

    model: ModelName


PlainRecipe = Annotated[
    BaseRecipe,
    Where("without augment and erase", lambda recipe: not (recipe.augment or recipe.erase)),
]


@checked
@dataclass(frozen=True)
class QatRecipe(BaseRecipe):
    """How a trained network learns to work with few bits: SGD with momentum on the cross-entropy.

    References: Esser et al. 2020, "Learned step size quantization", section 3.
    """

    bits: FewBits | None  #: of weights and inputs; None: full precision, the control
    _: KW_ONLY
    edges: FewBits = EDGE_BITS  #: bits of the first and the last layer
    epochs: Count = 4
    learning_rate: Positive = 0.01
    scale_rate: NonNegative = 1.0  #: multiple of η with which the steps of the quantizers learn
    momentum: Annotated[float, Within(0, 1, below=True)] = 0.9
    fold: bool = False  #: BatchNorm before the training, not when the network is deployed

    moment = 0.0

    @checked
    def optimizer(self, network: nn.Module) -> Optimizer:
        """Return SGD with momentum, the quantizers' parameters in a group of their own."""
        quantizers = (one for one in network.modules() if isinstance(one, LearnedQuantizer))
        own = [p for one in quantizers for p in one.parameters()]
        known = set(own)
        rest = [p for p in network.parameters() if p not in known]
        rates = ((rest, 1.0), (own, self.scale_rate))
        groups = [{"params": part, "lr": rate} for part, rate in rates if part]
        return torch.optim.SGD(groups, momentum=self.momentum)


@checked
def new_student(recipe: Recipe) -> Network:
    """Return the recipe's network with the initial weights that its seed draws."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(recipe.seed)
        network = MODELS[recipe.model]()  # type: ignore[abstract]
        return network.to(memory_format=torch.channels_last)  # twice as fast
