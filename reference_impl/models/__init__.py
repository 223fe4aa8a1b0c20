"""The course's networks, each of which says how its widths appear in its parameters."""

from collections.abc import Mapping
from types import MappingProxyType

from reference_impl.models.base import FIXED, IMAGE_SHAPE, N_CLASSES, Axis, Network, evaluating
from reference_impl.models.convolutional import ConvStudent, ConvTeacher
from reference_impl.models.lenet import LeNet5, LeNet300
from reference_impl.models.residual import ResidualBlock, ResidualNetwork
from reference_impl.models.separable import SeparableStudent

__all__ = [
    "FIXED",
    "IMAGE_SHAPE",
    "MODELS",
    "N_CLASSES",
    "Axis",
    "ConvStudent",
    "ConvTeacher",
    "LeNet5",
    "LeNet300",
    "Network",
    "ResidualBlock",
    "ResidualNetwork",
    "SeparableStudent",
    "evaluating",
]

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
