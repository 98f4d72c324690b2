"""Training: one loop, for the search's short trainings and for full training."""

from nas.training.batches import Batches, Source, mixed_seed
from nas.training.loop import Evaluation, Trainer, TrainingError, evaluate
from nas.training.placement import Placement
from nas.training.recipe import Recipe, load_recipe

__all__ = [
    "Batches",
    "Evaluation",
    "Placement",
    "Recipe",
    "Source",
    "Trainer",
    "TrainingError",
    "evaluate",
    "load_recipe",
    "mixed_seed",
]
