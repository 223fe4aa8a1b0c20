"""Training as a generator, the course's recipes, and its checkpoints."""

from reference_impl.training.augmentation import augment, erase
from reference_impl.training.checkpoints import (
    CHECKPOINTS,
    Provenance,
    load_checkpoint,
    provenance,
    save_checkpoint,
)
from reference_impl.training.distil import View, new_student, student_steps, view
from reference_impl.training.evaluate import accuracy, predict
from reference_impl.training.guided import METHODS, Guided, Method, view_with_features
from reference_impl.training.loop import one_cycle_steps, train_steps
from reference_impl.training.prune import Growth, magnitude_masks, pruned_steps, tickets
from reference_impl.training.quantize import QatRecipe, fine_tune, prepare
from reference_impl.training.recipe import Recipe
from reference_impl.training.resumable import Trained, fit, trained

__all__ = [
    # recipe
    "Recipe",
    # loop
    "train_steps",
    "one_cycle_steps",
    # evaluate
    "predict",
    "accuracy",
    # augmentation
    "augment",
    "erase",
    # checkpoints
    "CHECKPOINTS",
    "Provenance",
    "save_checkpoint",
    "provenance",
    "load_checkpoint",
    # fit
    "Trained",
    "fit",
    "trained",
    # distil
    "View",
    "view",
    "new_student",
    "student_steps",
    # guided
    "Guided",
    "Method",
    "view_with_features",
    "METHODS",
    # prune
    "Growth",
    "magnitude_masks",
    "pruned_steps",
    "tickets",
    # quantize
    "QatRecipe",
    "prepare",
    "fine_tune",
]
