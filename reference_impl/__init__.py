"""Model compression, formula by formula: one readable implementation of each formula.

Its parts::

    quantization   fewer bits a number: tensors to integers or codebooks, and back
    distillation   losses of a student against its teacher
    pruning        which weights and units to remove
    merging        units that stand in for others
    coding         weights in as few bytes as possible
    compress       these formulas applied to whole networks
    models         the course's networks
    training       the loop, the recipes, the shipped checkpoints
    measuring      what a model costs, and what compression loses
    data           Fashion-MNIST, or a folder of yours in its format
    checked        the signature is the contract: `@checked` refuses what breaks it

>>> import reference_impl as rc
>>> rc.quantization.IntegerGrid(8, signed=True).q_min
-128

The formulas of the first five see tensors, never
``nn.Module``. A module imports only from the layers below its own::

    __main__ : plots : notebook
    training
    measuring | compress
    models
    quantization | distillation | pruning | merging | coding
    data : shifts : folders : files : checked : rules : arrays
"""

import importlib
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

__all__ = [
    "checked",
    "coding",
    "compress",
    "data",
    "distillation",
    "measuring",
    "merging",
    "models",
    "pruning",
    "quantization",
    "training",
]

try:
    __version__ = version("reference-impl")
except PackageNotFoundError:  # a copied folder, not installed
    __version__ = "unknown"


def __getattr__(name: str) -> ModuleType:
    """Import a family when it is first asked for."""
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the families, whether they are imported yet or not."""
    return [*__all__, "__version__"]
