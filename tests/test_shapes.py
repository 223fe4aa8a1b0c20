"""The shapes in the signatures hold on real data: jaxtyping's annotations, checked by beartype.

In a process of its own, since the checks come before the package's own validation, whose
messages other tests read.
"""

import subprocess
import sys

HOOKED = (
    "reference_impl.quantization",
    "reference_impl.measuring.error",
    "reference_impl.data",
    "reference_impl.idx",
    "reference_impl.training",
)

SCRIPT = f"""
from jaxtyping import install_import_hook

with install_import_hook({HOOKED!r}, "beartype.beartype"):
    from reference_impl.data import batches, load_dataset
    from reference_impl.measuring.error import mean_squared_error, sqnr
    from reference_impl.quantization.codebook import BlockQuantizer
    from reference_impl.quantization.formats import E4M3, normal_float_codebook
    from reference_impl.quantization.kmeans import optimal_codebook
    from reference_impl.quantization.lloyd import (
        density_start, linear_start, lloyd, random_start,
    )
    from reference_impl.quantization.rounding import (
        min_max_quantizer, round_half_up, round_stochastically,
    )
    from reference_impl.training import accuracy, augment, predict, train_steps

import torch
import torch.nn.functional as F
from reference_impl.models import ConvStudent, LeNet300

torch.set_num_threads(1)
train = load_dataset().train.subset(64)
draws = torch.Generator().manual_seed(0)
for model in (LeNet300(), ConvStudent()):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    list(train_steps(model, batches(train, 32, seed=1), F.cross_entropy, optimizer))
    predict(model, augment(train.images, draws))
    accuracy(model, train)
for x in (train.images, model.state_dict()["head.weight"], torch.randn(7)):
    quantizer = min_max_quantizer(x, 4)
    quantizer.dequantize(quantizer.quantize(x))
    sqnr(x, quantizer.round_trip(x, round_half_up))
    round_stochastically(x, draws)
    for starts in (linear_start(x, 4), density_start(x, 4), random_start(x, 4, draws)):
        lloyd(x, starts).quantizer.round_trip(x)
    blocks = BlockQuantizer(normal_float_codebook(), 64)
    for given in (optimal_codebook(x, 6), E4M3, blocks):
        given.round_trip(x)
    E4M3.dequantize(E4M3.quantize(x))
    blocks.dequantize(*blocks.quantize(x))
try:
    mean_squared_error(torch.ones(2), torch.ones(3))
except TypeError as error:
    print("checked:", type(error).__name__)
"""


def test_annotated_shapes_hold_on_real_data() -> None:
    """Oracle: beartype; two shapes that differ show that it is at work."""
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.strip() == "checked: TypeCheckError"
