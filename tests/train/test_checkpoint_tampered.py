"""Checkpoints that somebody has changed: each is refused in one line, and none reads the test."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from nas.errors import MixnasError
from nas.train.checkpoint import load_checkpoint, save_checkpoint
from nas.train.recipe import Recipe
from tests.networks import trainer

ABOUT = {"network": "tiny", "seed": 0}
RECIPE = Recipe(epochs=1.5, ema=0.99)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """The checkpoint of a training after three steps."""
    path = tmp_path_factory.mktemp("checkpoint") / "c.safetensors"
    running = trainer(RECIPE)
    for _ in running.steps(3):
        pass
    save_checkpoint(running, path, ABOUT)
    return path


@pytest.fixture
def tampered(begun, tmp_path):
    """Change the tensors, the facts or the metadata of that checkpoint; return what is said."""

    def change(tensors=(), facts=(), metadata=(), recipe=RECIPE):
        with safe_open(begun, "pt") as file:
            kept = {**file.metadata()}
            loaded = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        values = json.loads(kept["facts"])
        for known, changes in ((loaded, tensors), (values, facts), (kept, metadata)):
            if known is kept:
                kept["facts"] = json.dumps(values)
            for key, value in dict(changes).items():
                if value is None:
                    del known[key]
                else:
                    known[key] = value(known[key]) if callable(value) else value
        path = tmp_path / "c.safetensors"
        save_file(loaded, path, kept)
        return refusal_of(path, recipe)

    return change


def refusal_of(path, recipe=RECIPE):
    with pytest.raises(MixnasError) as told:
        load_checkpoint(trainer(recipe), path, ABOUT)
    message = str(told.value)
    assert "\n" not in message
    assert message.startswith(f"{path} cannot be resumed from (")
    assert message.endswith("); start a new training run")
    return message.removeprefix(f"{path} cannot be resumed from (")


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"step": 10**12}, "it has taken 1000000000000 of 100 steps"),
        ({"step": 1e12}, "step: input should be a valid integer"),
        ({"step": -1}, "step: input should be greater than or equal to 0"),
        ({"step": float("nan")}, "step: input should be a valid integer"),
        ({"step": "3"}, "step: input should be a valid integer"),
        ({"step": True}, "step: input should be a valid integer"),
        ({"step": None}, "step: field required"),
        ({"step": 70}, "it has 0 losses, but completed 1 epoch"),
        ({"losses": [0.1]}, "it has 1 losses, but completed 0 epochs"),
        ({"losses": "none"}, "losses: input should be a valid array"),
        ({"accuracies": [float("inf")]}, "accuracies.0: input should be a finite number"),
        ({"optimiser": {"99": {"a": 1}}}, "the optimizer has no weight '99'"),
        ({"optimiser": {"-1": {"a": 1}}}, "the optimizer has no weight '-1'"),
        ({"optimiser": {"0": {"a": []}}}, "optimiser.0: input should be a valid"),
        ({"groups": []}, "zip() argument 2 is shorter than argument 1"),
        ({"groups": lambda groups: [{**groups[0], "params": 1}, groups[1]]}, "no option 'params'"),
        (
            {"groups": lambda groups: [{**groups[0], "momentum": -5.0}, groups[1]]},
            "the option 'momentum' of the optimizer is -5.0, not 0.9",
        ),
        ({"placement": []}, "placement: input should be an object"),
        ({"more": 1}, "more: unexpected keyword argument"),
    ],
)  # fmt: skip
def test_facts_that_cannot_be_are_refused(tampered, facts, message):
    assert message in tampered(facts=facts)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"model.classifier.weight": lambda w: w[:3].clone()},
         "'model.classifier.weight' is float32 of shape (3, 64), but this training's is float32 of "
         "shape (10, 64)"),
        ({"model.classifier.bias": None}, "'model.classifier.bias' is missing"),
        ({"model.other": torch.zeros(2)}, "this training has no 'model.other'"),
        ({"model.classifier.bias": lambda w: w.double()}, "is float64 of shape (10,)"),
        ({"model.classifier.bias": lambda w: w * float("nan")}, "a number that is not finite"),
        ({"sums": None}, "'sums' is missing"),
        ({"sums": torch.zeros(3, dtype=torch.float64)}, "'sums' is float64 of shape (3,)"),
        ({"average.n_averaged": torch.tensor(-10)}, "is not a number of steps up to 3"),
        ({"optimiser.0.momentum_buffer": None}, "'optimiser.0.momentum_buffer' is missing"),
        ({"optimiser.0.momentum_buffer": torch.zeros(3)}, "'optimiser.0.momentum_buffer' is of"),
        ({"optimiser.0.momentum_buffer": lambda t: t / 0}, "a number that is not finite"),
        ({"optimiser.x.momentum_buffer": torch.zeros(3)}, "the optimizer has no weight 'x'"),
        ({"optimiser.0.more": torch.zeros(10_000)}, "is larger than what it belongs to"),
    ],
)  # fmt: skip
def test_tensors_that_cannot_be_are_refused(tampered, tensors, message):
    assert message in tampered(tensors=tensors)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"facts": "{"}, "its facts: invalid json"),
        ({"facts": "[" * 100_000}, "its facts: invalid json"),
        ({"facts": "3"}, "its facts: input should be an object"),
        ({"facts": None}, "it has no 'facts'"),
        ({"about": "[]"}, "what identifies it is not a mapping"),
        ({"about": "[" * 100_000}, "recursion"),
    ],
)
def test_metadata_that_cannot_be_are_refused(tampered, metadata, message):
    assert message in tampered(metadata=metadata).lower()


def test_a_checkpoint_without_a_moving_average_is_not_that_of_a_training_with_one(tampered):
    message = tampered(recipe=Recipe(epochs=1.5))
    assert "this training has no 'average." in message


def test_files_that_are_cut_off_or_claim_too_much_are_refused(begun, tmp_path):
    content = begun.read_bytes()
    path = tmp_path / "c.safetensors"
    for changed in (content[:-1], content[:40], b"", (1 << 60).to_bytes(8, "little") + content[8:]):
        path.write_bytes(changed)
        refusal_of(path)


def test_state_of_other_optimizers_is_checked(tmp_path):
    recipe = Recipe(epochs=1.5, optimiser="adamw", learning_rate=0.01)
    path = tmp_path / "c.safetensors"
    running = trainer(recipe)
    for _ in running.steps(2):
        pass
    save_checkpoint(running, path, ABOUT)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for steps in (-1.0, -1e30, 3.0):
        save_file({**tensors, "optimiser.0.step": torch.tensor(steps)}, path, metadata)
        assert "'optimiser.0.step' is not a number of steps up to 2" in refusal_of(path, recipe)
    del tensors["optimiser.1.exp_avg"]
    save_file(tensors, path, metadata)
    assert "'optimiser.1.exp_avg' is missing" in refusal_of(path, recipe)
