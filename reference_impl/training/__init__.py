"""Training as a generator, the course's recipes, and its checkpoints."""

# fmt: off
from reference_impl.training.recipe import (
    BaseRecipe, AdamRecipe, Recipe, new_student, QatRecipe,
)
from reference_impl.training.loop import train_steps, recipe_steps, example_steps, Epoch, fit
from reference_impl.training.evaluate import predict, accuracy
from reference_impl.training.augmentation import augment, distort, erase
from reference_impl.training.checkpoints import (
    CHECKPOINTS, Provenance, save_checkpoint, provenance, load_checkpoint,
)
from reference_impl.training.distil import Targets, View, view, student_steps
from reference_impl.training.coded import CodedRecipe, steer, coded_steps
from reference_impl.training.guided import Guided, Method, view_with_features, METHODS
from reference_impl.training.prune import Growth, magnitude_masks, pruned_steps, tickets
from reference_impl.training.quantize import prepare, fine_tune
from reference_impl.training.pipeline import (
    Stage, Prune, Merge, Distil, Quantize, after_stage, pipeline,
)

__all__ = [
    "BaseRecipe", "AdamRecipe", "Recipe", "new_student", "QatRecipe",  # recipe
    "train_steps", "recipe_steps", "example_steps", "Epoch", "fit",  # loop
    "predict", "accuracy",  # evaluate
    "augment", "distort", "erase",  # augmentation
    "CHECKPOINTS", "Provenance", "save_checkpoint", "provenance", "load_checkpoint",  # checkpoints
    "Targets", "View", "view", "student_steps",  # distil
    "CodedRecipe", "steer", "coded_steps",  # coded
    "Guided", "Method", "view_with_features", "METHODS",  # guided
    "Growth", "magnitude_masks", "pruned_steps", "tickets",  # prune
    "prepare", "fine_tune",  # quantize
    "Stage", "Prune", "Merge", "Distil", "Quantize", "after_stage", "pipeline",  # pipeline
]
