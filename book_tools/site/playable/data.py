"""What the figures to play with are given besides their controls: recorded and trained numbers."""

from collections.abc import Callable, Mapping
from typing import Any

DATA: Mapping[str, Callable[[], Any]] = {}
"""The name of a figure, and a function that returns what JSON can hold."""
