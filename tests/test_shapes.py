"""The shapes in the signatures hold: jaxtyping's annotations, checked by beartype.

They are tried on the calls that each family lists for its contracts, and on networks with real
images. In a process of its own, since the checks come before the package's own validation, whose
messages other tests read.
"""

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent
HOOKED = [
    *("quantization", "distillation", "pruning", "merging", "measuring", "compress", "training"),
    *("data", "shifts"),
]

SCRIPT = f"""
import runpy, sys
from pathlib import Path
from jaxtyping import install_import_hook

sys.path[:0] = [{str(TESTS)!r}, {str(TESTS / "compress")!r}]
with install_import_hook(["reference_impl." + part for part in {HOOKED!r}], "beartype.beartype"):
    tables = [*Path({str(TESTS)!r}).glob("*/test_*_contracts.py")]
    tables += [Path({str(TESTS)!r}, name) for name in ("test_data.py", "test_shifts.py")]
    families = [runpy.run_path(str(table)).get("CALLS", []) for table in sorted(tables)]
    from reference_impl.compress import *
    from reference_impl.data import batches, load_dataset
    from reference_impl.measuring import mean_squared_error
    from reference_impl.quantization import IntegerGrid, affine_from_range, min_max_range
    from reference_impl.quantization import symmetric_from_range
    from reference_impl.training import *
    from reference_impl.training.guided import MAPS, MEANS

import torch
import torch.nn.functional as F
from reference_impl.models import *

for call in (call for family in families for call in family):
    call()
torch.set_num_threads(1)
torch.manual_seed(0)
train = load_dataset().train.subset(64)
for model, axes in ((LeNet300(), ()), (LeNet5(), 0), (ConvStudent(), 0)):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    list(train_steps(model, batches(train, 32, seed=1), F.cross_entropy, optimizer))
    predict(model, augment(train.images, torch.Generator()))
    accuracy(model, train)
    chain = model
    weights = {{
        name: symmetric_from_range(*min_max_range(layer.weight, axes), IntegerGrid(8, signed=True))
        for name, layer in weight_layers(chain).items()
    }}
    inputs = {{
        name: affine_from_range(*min_max_range(seen), IntegerGrid(8))
        for name, seen in layer_inputs(chain, train.images)
    }}
    restored = quantize_layers(chain, weights, inputs)
    restored(train.images)
    learned = learn_layers(chain, train.images, edge_bits(chain, LayerBits(3, 3))).train()
    optimizer = torch.optim.SGD(learned.parameters(), lr=0.01)
    list(train_steps(learned, batches(train, 32, seed=1), F.cross_entropy, optimizer))
    predict(deploy(learned.eval()), train.images)
    if not isinstance(model, ConvStudent):
        network = integer_network(restored)
        network.logits(network.quantize(train.images))
        simulation(restored)(train.images.double())
guide = view_with_features(ConvTeacher().eval(), train, (MAPS, MEANS))
for method in METHODS.values():
    guided = method.guide(ConvStudent(), seed=0)
    recipe = Recipe("student", epochs=1)
    list(student_steps(guided, [guide], method.objective(guided, 1.0), recipe))
view(new_student(Recipe("student", epochs=1)), train, seed=0)
for model in (LeNet300(), ResidualNetwork()):
    for label, width in model.widths.items():
        remove_units(model, {{label: torch.arange(width) < width // 2}})(train.images)
for given in ({{"growth": Growth(0.5, every=1)}}, {{"masks": magnitude_masks(model, 0.5)}}):
    list(pruned_steps(model, train, Recipe("residual", epochs=2, batch_size=32), **given))
list(tickets(model, lambda network, masks: None, share=0.5, rounds=1))
try:
    mean_squared_error.__wrapped__(torch.ones(2), torch.ones(3))  # ours would refuse first
except TypeError as error:
    print("checked:", type(error).__name__, len(families) > 4)
"""


def test_annotated_shapes_hold_on_real_data():
    """Oracle: beartype; two shapes that differ show that it is at work."""
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.strip() == "checked: TypeCheckError True"
