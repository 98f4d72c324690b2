"""Everything that trains or evaluates networks, on a device that refuses to be waited for.

torch's meta device stands in for a GPU: mixing its tensors with those of main memory raises, and so
does asking for a number. Forgotten moves and hidden waiting both show, without a GPU.
"""

import ast
import sys
from collections import Counter

import pytest
import torch
from torch import nn

from nas.accuracy import short, zero_cost
from nas.accuracy.fidelity import Images
from nas.accuracy.pool import ListedPool
from nas.accuracy.short import ShortTraining
from nas.accuracy.supernet import Supernet, slices
from nas.accuracy.supernet.training import SupernetTraining
from nas.accuracy.zero_cost import ZeroCost
from nas.data import load_data
from nas.search.retraining import RetrainingEstimator
from nas.torch_model import build
from nas.train import placement as placement_module
from nas.train.batches import Batches
from nas.train.distillation import FixedTeacher
from nas.train.loop import CHECK_INTERVAL, Trainer
from nas.train.placement import Placement
from nas.train.recipe import Recipe
from nas.train.settings import ON_THE_CPU
from tests.conftest import ROOT
from tests.networks import DEEP, TINY

IMAGES = 64 * 16  # one epoch of digits, in batches of 64


class StandIn(Placement):
    """A placement on the meta device, which no machine lacks."""

    def __init__(self):
        super().__init__()
        self.device = "meta"


PLACE = StandIn()


@pytest.fixture
def waits(monkeypatch):
    """The sizes of the tensors that were waited for; the numbers that arrive are all one."""
    sizes = []

    def arrive(tensor):
        sizes.append(tensor.numel())
        return torch.ones(tensor.shape)

    real = placement_module.to_host
    for name, module in list(sys.modules.items()):
        if name.startswith("nas.") and getattr(module, "to_host", None) is real:
            monkeypatch.setattr(module, "to_host", arrive)
    for module in (short, zero_cost, slices):
        monkeypatch.setattr(module, "open_placement", lambda *_: PLACE)
    return sizes


def data():
    return load_data("digits").at(16).to("meta")


def devices(trainer):
    """Return where the weights, their average and the state of the optimizer are."""
    tensors = [*trainer.model.state_dict().values()]
    if trainer.average is not None:
        tensors += trainer.average.module.state_dict().values()
    for state in trainer.optimiser.state.values():
        # The count of steps stays in main memory, where the optimizer reads it without waiting.
        tensors += [
            t for name, t in state.items() if isinstance(t, torch.Tensor) and name != "step"
        ]
    return {tensor.device.type for tensor in tensors}


RECIPES = {
    "plain": {},
    "average": {"ema": 0.9},
    "clipping": {"clip": 5.0},
    "rmsprop": {"optimiser": "rmsprop"},
    "adamw": {"optimiser": "adamw"},
    "ranger": {"optimiser": "ranger"},
    "sharpness": {"sam": 0.05},
    "flip": {"flip": True},
    "crop": {"crop": 0.5},
    "randaugment": {"randaugment": 5.0},
    "erasing": {"erasing": 0.5},
    "mixup": {"mixup": 0.2},
    "cutmix": {"cutmix": 1.0},
    "drops": {"dropout": 0.2, "drop_path": 0.2},
}


@pytest.mark.parametrize("changes", RECIPES.values(), ids=RECIPES)
def test_steps_wait_for_nothing(waits, changes):
    recipe = Recipe(batch_size=64, epochs=2, **changes)
    model = build(DEEP, 0, recipe.dropout, recipe.drop_path)
    trainer = Trainer(model, Batches(data(), 64, 0), recipe, 0, PLACE)
    for _ in trainer.steps(3):
        pass
    assert waits == []
    assert devices(trainer) == {"meta"}
    assert trainer.last_loss.is_meta


def test_gradients_are_accumulated_on_the_device(waits):
    recipe = Recipe(batch_size=64, epochs=2, cutmix=1.0)
    trainer = Trainer(build(TINY, 0), Batches(data(), 64, 0), recipe, 0, PLACE, parts=2)
    for _ in trainer.steps(2):
        pass
    assert waits == []


def test_a_teacher_stays_on_the_device(waits):
    teacher = FixedTeacher(
        nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 10)), PLACE, (0.5,) * 3, (0.25,) * 3
    )
    recipe = Recipe(batch_size=64, epochs=2)
    trainer = Trainer(build(TINY, 0), Batches(data(), 64, 0), recipe, 0, PLACE, teacher)
    for _ in trainer.steps(2):
        pass
    assert waits == []


def test_losses_are_looked_at_now_and_then(waits):
    """Every 32 steps and at the end of an epoch: the loss, and there the means as well."""
    recipe = Recipe(batch_size=16, epochs=2)
    trainer = Trainer(build(TINY, 0), Batches(data(), 16, 0), recipe, 0, PLACE)
    for _ in trainer.steps(trainer.epoch_steps):
        pass
    checks = trainer.epoch_steps // CHECK_INTERVAL
    assert (trainer.epoch_steps, checks) == (67, 2)
    assert waits == [2] * checks + [2, 2]


def test_an_evaluation_waits_once(waits):
    recipe = Recipe(batch_size=64, epochs=2)
    trainer = Trainer(build(TINY, 0), Batches(data(), 64, 0), recipe, 0, PLACE)
    assert trainer.evaluate("validation").accuracy == 1  # of the ones that arrive
    assert waits == [4]


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        ("naswot", 1),  # the determinant
        ("zico", 2),  # the gradients of each batch
        ("synflow", 1),
        ("grad-norm", 1),
    ],
)
def test_a_zero_cost_score_waits_for_its_number(waits, score, expected):
    ZeroCost("digits", score, 16).estimate(DEEP, 0)
    assert len(waits) == expected


def test_a_short_training_waits_at_the_end_of_its_stages(waits):
    trained = ShortTraining("digits", images=IMAGES, resolution=16, most_epochs=1)
    steps = IMAGES // 32
    list(trained.estimates(DEEP, 0))
    # 33 steps in three stages: one look at the losses after 32, and those of the last step, which
    # ends the epoch; the losses of each stage; the evaluation.
    assert len(waits) == steps // CHECK_INTERVAL + 2 + 3 + 1 - (steps % CHECK_INTERVAL == 0)


def test_a_retraining_evaluates_twice(waits):
    shorter = ShortTraining("digits", images=320, resolution=16, most_epochs=1)
    RetrainingEstimator(shorter).estimate(TINY, 0)
    # The end of the training, validation, test, and which images of the test split were right.
    assert waits == [2, 2, 4, 4, load_data("digits").count("test")]


@pytest.fixture
def supernet(tmp_path):
    return SupernetTraining(
        shown=Images("digits", 16),
        pool=ListedPool([TINY, DEEP]),
        images=IMAGES,
        most_epochs=1,
        width=1.0,
        paths=1,
        shrinking=0.0,
        recipe=Recipe(batch_size=64, optimiser="adamw", clip=5.0, dropout=0.1, drop_path=0.1),
        seed=0,
        placement=ON_THE_CPU,
        path=tmp_path / "weights.safetensors",
        about={},
    )


def test_steps_of_a_supernet_wait_for_nothing(waits, supernet):
    trainer = supernet.trainer(PLACE)
    for _ in trainer.steps(4):
        pass
    assert waits == []
    assert devices(trainer) == {"meta"}


def test_a_score_of_a_supernet_waits_once(waits, supernet, monkeypatch):
    """Its normalization statistics are estimated, and it is evaluated, without a look between."""
    bank = supernet.trainer(PLACE).model.bank
    monkeypatch.setattr(slices, "trained_bank", lambda path, device: bank)
    scorer = Supernet("digits", supernet.pool, resolution=16)
    trained = slices.TrainedSupernet(
        path=ROOT, shown=scorer.shown, width=1.0, calibration=64, recipe=scorer.recipe, seed=0,
        placement=ON_THE_CPU,
    )  # fmt: skip
    assert trained.slice_of(DEEP, 0).evaluate("validation").accuracy == 1
    assert waits == [4]


# -- what the tests above cannot see --------------------------------------------------------------


def calls(name):
    """Yield the calls of a function or class in the package, with the module that has them."""
    for path in sorted((ROOT / "nas").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == name:
                yield path.relative_to(ROOT).as_posix(), node


@pytest.mark.parametrize("name", ["Trainer", "evaluate", "Augmentation", "FixedTeacher"])
def test_nothing_trains_or_evaluates_without_being_told_where(name):
    found = list(calls(name))
    assert found
    for module, call in found:
        words = ast.unparse(call)
        assert "placement" in words, f"{module}: {words}"


def test_placements_are_opened_from_settings():
    # A training without one is on the CPU; that none of ours is without, the test above tells.
    found = {module for module, _ in calls("Placement")}
    assert found == {"nas/train/placement.py", "nas/train/loop.py"}


def test_the_places_that_wait_are_known():
    """Whoever adds one says here how often it waits."""
    assert Counter(module for module, _ in calls("to_host")) == {
        "nas/train/loop.py": 3,  # every 32 steps; the end of an epoch; once an evaluation
        "nas/accuracy/short.py": 1,  # the losses of a stage
        "nas/accuracy/zero_cost.py": 4,  # once a score, zico once a batch
        "nas/search/retraining.py": 1,  # once a network, at the end
        "nas/search/effort/price.py": 1,  # some steps that are timed before a search
    }
