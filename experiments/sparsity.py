"""Chapter 13: networks with zeros (80 minutes; MNIST too if its files are in data/MNIST).

Trained networks are trained on, with pruning (the target); weights are dropped at once or little by
little (the curves), and round after round from the same initial weights (the tickets).
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice, product
from typing import Any

import torch
from torch import Tensor, nn

from experiments import workers
from experiments.measures import accuracies, answered, kept, left, shipped, told
from reference_impl import pruning, training
from reference_impl.compress import apply_masks, density
from reference_impl.data import Dataset, Examples, load_dataset
from reference_impl.models import Network
from reference_impl.training import Growth, Recipe, View, new_student, pruned_steps, student_steps
from reference_impl.training.prune import Choose, masked_steps

#: network → sparsity at which it should be as good as the whole one
TARGETS = {"lenet300": 0.92, "lenet5": 0.95}


@dataclass(frozen=True)
class Way:
    """How a trained network is trained on, with pruning or without."""

    epochs: int
    weight_decay: float
    copies: int  #: augmented copies of the images besides the plain ones; an epoch sees one of all
    end: float  #: share of the steps after which the sparsity grows no more

    def recipe(self, name: str, seed: int) -> Recipe:
        """Return the recipe of a network."""
        decay = self.weight_decay
        return Recipe(name, epochs=self.epochs, learning_rate=2e-3, weight_decay=decay, seed=seed)


#: the targets' own ways, chosen on validation images; of the two, LeNet-5 has seen augmented ones
PRUNED = {
    "lenet300": Way(epochs=30, weight_decay=0.1, copies=0, end=0.4),
    "lenet5": Way(epochs=36, weight_decay=0.05, copies=5, end=0.5),
}
AGAIN = ("by itself", "by labels", "longer", "longer, told")
#: what the first seed is trained by, too; see `target`
COMPARED: Mapping[str, Mapping[str, Way]] = {
    "lenet300": dict.fromkeys(AGAIN, PRUNED["lenet300"]),
    "lenet5": {
        "plain": Way(epochs=8, weight_decay=0.1, copies=0, end=0.4),
        "shorter": Way(epochs=16, weight_decay=0.1, copies=3, end=0.4),
    },
}
TOLD: dict[str, Any] = {"temperature": 4.0, "alpha": 0.9}
SEEDS = {"lenet300": range(5), "lenet5": range(3)}
CHOICES = {"each": pruning.keep_highest_of_each, "all": pruning.keep_highest_of_all}
N_IMAGES = 20_000  #: training images of curves and tickets; the target has all
WAYS = ("one shot", "fine-tuned", "gradual")
SPARSITIES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
WHOLE = Recipe("lenet300", epochs=8, learning_rate=2e-3, weight_decay=0.05)
TUNE = Recipe("lenet300", epochs=4, learning_rate=1e-3, weight_decay=0.05)
TICKET = Recipe("lenet300", epochs=3, learning_rate=2e-3, weight_decay=0.05)
SHARE, ROUNDS = 0.5, 6


@dataclass(frozen=True)
class Run:
    """One target, set of curves, or series of tickets."""

    part: str  #: "target", "curves" or "tickets"
    network: str  #: a key of `TARGETS`
    seed: int | None  #: of initial weights and order; None is the shipped network
    data: str = "FashionMNIST"  #: or "MNIST"

    def measured(self, dataset: Dataset) -> dict[str, Any]:
        """Return the results of a run, accuracies in percent."""
        if self.part == "target":
            return target(self, load_dataset(workers.MNIST) if self.data == "MNIST" else dataset)
        few = replace(dataset, train=dataset.train.subset(N_IMAGES))
        return curves(self, few) if self.part == "curves" else lottery(self, few)


def planned(_: Sequence[Any]) -> Iterator[Run]:
    """Yield curves, tickets and targets; and the targets of MNIST, if it is here."""
    yield from (Run("curves", "lenet300", seed) for seed in (None, *range(3)))
    yield from (Run("tickets", "lenet300", seed) for seed in range(5))
    for data in ("FashionMNIST", "MNIST") if workers.MNIST.is_dir() else ("FashionMNIST",):
        for network, seeds in SEEDS.items():
            yield from (Run("target", network, seed, data) for seed in seeds)


def about() -> dict[str, Any]:
    """Return how networks are trained."""
    recipes = {name: asdict(one) for name, one in {"whole": WHOLE, "tuning": TUNE}.items()}
    recipes["ticket"] = asdict(TICKET) | {"share": SHARE, "rounds": ROUNDS}
    recipes["target"] = {name: asdict(way) for name, way in PRUNED.items()}
    return {"recipes": recipes | {"told": TOLD, "images": N_IMAGES}}


def target(run: Run, dataset: Dataset) -> dict[str, Any]:
    """Return rows for the shipped network, "whole", and for trainings that start from it.

    "pruned" loses weights in the first steps, and learns from the softened outputs of the course's
    teacher as well as from the labels; "plain" and "shorter" are its variants. "by itself": the
    whole network is the teacher; "by labels" has none. "longer" has none and keeps all weights;
    "longer, told" has the teacher. On MNIST the whole network is trained here, and teaches.
    """
    name, seed, here = run.network, run.seed or 0, run.data == "FashionMNIST"
    train, way = dataset.train, PRUNED[name]
    recipe = way.recipe(name, seed)
    network = shipped(name) if here else new_student(recipe)
    whole = left(network, dataset) if here else best_of(network, recipe, dataset)
    rows = [{"kind": "whole"} | whole]
    others = COMPARED[name] if here and seed == 0 else {}
    for kind, one_way in {"pruned": way, **others}.items():
        recipe = one_way.recipe(name, seed + 1000)  # another order of the images
        growth = None if "longer" in kind else Growth(TARGETS[name], begin=0, end=one_way.end)
        views = []
        if kind not in ("by labels", "longer"):
            own = kind == "by itself" or not here
            answers = partial(training.view, network) if own else partial(answered, "teacher")
            views = [answers(train, seed=copy_) for copy_ in (None, *range(one_way.copies))]
        one = copy.deepcopy(network)
        rows.append({"kind": kind} | best_of(one, recipe, dataset, views=views, growth=growth))
    return {"rows": rows}


def best_of(network: Network, recipe: Recipe, dataset: Dataset, **how: Any) -> dict[str, Any]:
    """Train in place, take the epoch of the best validation accuracy, and return its results.

    A pruned network may choose among the epochs at full sparsity alone, a whole one among all.
    """
    n_steps = recipe.n_steps(len(dataset.train))
    best, epoch, state, growth = -1.0, 0, network.state_dict(), how.get("growth")
    for step, _ in enumerate(steps_of(network, recipe, dataset.train, **how), start=1):
        epoch_ends = step % (n_steps // recipe.epochs) == 0
        if not epoch_ends or (growth and growth.at(step, n_steps) < growth.final):
            continue
        right = training.accuracy(network, dataset.validation)
        if right > best:
            best, epoch = right, step * recipe.epochs // n_steps
            state = copy.deepcopy(network.state_dict())
    network.load_state_dict(state)
    return {"epoch": epoch} | left(network, dataset)


def steps_of(
    network: Network,
    recipe: Recipe,
    train: Examples,
    views: Sequence[View] = (),
    growth: Growth | None = None,
) -> Iterator[float]:
    """Train on the labels or, if there are views, on a teacher's outputs too."""
    if not views:
        return pruned_steps(network, train, recipe, growth=growth)
    steps = student_steps(network, views, told(**TOLD), recipe)
    return masked_steps(network, steps, recipe.n_steps(len(train)), growth=growth)


def curves(run: Run, dataset: Dataset) -> dict[str, Any]:
    """Return a row for each choice, sparsity and way; accuracies after the last epoch.

    The network is trained by `WHOLE`; then `TUNE` is the budget of every way except "one shot".
    """
    recipe, tune = (replace(one, seed=run.seed or 0) for one in (WHOLE, TUNE))
    if run.seed is None:
        whole = training.load_checkpoint(run.network)
    else:
        list(pruned_steps(whole := new_student(recipe), dataset.train, recipe))
    rows = []
    sparsities = (0.9, 0.98) if run.seed is None else SPARSITIES
    for choice, sparsity, way in product(CHOICES, sparsities, WAYS):
        network = pruned(whole, way, sparsity, CHOICES[choice], dataset.train, tune)
        row = {"choice": choice, "sparsity": sparsity, "way": way, "kept": kept(network)}
        rows.append(row | accuracies(network, dataset))
    found = {"whole": accuracies(whole, dataset)}
    list(pruned_steps(whole, dataset.train, tune))
    return found | {"longer": accuracies(whole, dataset), "rows": rows}


def pruned(  # noqa: PLR0917
    whole: Network, way: str, sparsity: float, choose: Choose, train: Examples, recipe: Recipe
) -> Network:
    """Return the network without its smallest weights, dropped at once or as it is trained."""
    network = copy.deepcopy(whole)
    if way == "gradual":
        growth = Growth(sparsity, begin=0, end=0.5, choose=choose)  # in the first half of the steps
        list(pruned_steps(network, train, recipe, growth=growth))
        return network
    masks = training.magnitude_masks(network, sparsity, choose)
    apply_masks(network, masks)
    if way == "fine-tuned":
        list(pruned_steps(network, train, recipe, masks=masks))
    return network


def lottery(run: Run, dataset: Dataset) -> dict[str, Any]:
    """Return a row for each round: the ticket, and what shares its masks or their densities.

    "reinitialised" has the ticket's masks and other initial weights; "shuffled" the ticket's
    initial weights and masks whose places are drawn anew within each layer.
    """
    seed = run.seed or 0
    recipe = replace(TICKET, seed=seed)
    network, other = new_student(recipe), new_student(replace(recipe, seed=1000 + seed))
    rows = []

    def note(kind: str, one: nn.Module, masks: Mapping[str, Tensor]) -> None:
        """Train in place, as long as all others."""
        steps = pruned_steps(one, dataset.train, recipe, masks=masks)
        list(islice(steps, recipe.n_steps(len(dataset.train)) // recipe.epochs))
        early = training.accuracy(one, dataset.test)
        list(steps)
        row = {"kind": kind, "density": density(one), "first_epoch": early}
        rows.append(row | accuracies(one, dataset) | {"kept": kept(one)})

    generator = torch.Generator().manual_seed(seed)
    masks: Mapping[str, Tensor] = {}
    for masks in training.tickets(network, partial(note, "ticket"), share=SHARE, rounds=ROUNDS):
        note("reinitialised", copy.deepcopy(other), masks)
        note("shuffled", new_student(recipe), shuffled(masks, generator))
    note("ticket", network, masks)
    return {"rows": rows}


def shuffled(masks: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Return masks of the same densities, layer by layer, whose places are drawn."""
    return {
        name: mask.flatten()[torch.randperm(mask.numel(), generator=generator)].view(mask.shape)
        for name, mask in masks.items()
    }
