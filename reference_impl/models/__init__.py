"""The course's networks."""

from collections.abc import Mapping
from types import MappingProxyType

from reference_impl.models.base import (
    IMAGE_SHAPE,
    N_CLASSES,
    Images,
    Network,
    evaluating,
    refusing,
    zeros_for,
)
from reference_impl.models.convolutional import ConvStudent, ConvTeacher
from reference_impl.models.kilobyte import Kilobyte
from reference_impl.models.lenet import LeNet5, LeNet300
from reference_impl.models.residual import ResidualBlock, ResidualNetwork
from reference_impl.models.separable import SeparableStudent

# fmt: off
__all__ = [
    "MODELS", "LeNet300", "LeNet5", "ConvTeacher", "ConvStudent", "SeparableStudent",
    "ResidualBlock", "ResidualNetwork", "Kilobyte",
    "Network", "Images", "IMAGE_SHAPE", "N_CLASSES", "evaluating", "refusing", "zeros_for",  # base
]
# fmt: on

MODELS: Mapping[str, type[Network]] = MappingProxyType(
    {
        "lenet300": LeNet300,
        "lenet5": LeNet5,
        "teacher": ConvTeacher,
        "student": ConvStudent,
        "separable": SeparableStudent,
        "residual": ResidualNetwork,
    }
)
"""Checkpoint name → class."""
