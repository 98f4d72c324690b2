"""A small network that has been trained on digits, and one that int8 ruins."""

from functools import cache

import torch
import yaml
from safetensors.torch import save_file

from nas.data import load_data
from nas.formats.metadata import ModelMetadata, Preprocessing
from nas.spec import Input
from nas.torch_model import build
from nas.train.recipe import Recipe
from tests.networks import TINY, train

SPEC = TINY.replace(input=Input(resolution=16))


@cache
def digits():
    return load_data("digits")


@cache
def trained():
    """The state dict of a trained network, and its accuracy on the validation images, 0..1."""
    torch.set_num_threads(1)
    model = build(SPEC, 0)
    found = train(model, digits().at(16), Recipe(epochs=5, batch_size=32), 0)
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    return state, found.accuracy


def fragile():
    """The same function, but one channel has values ten thousand times as large as the others.

    ReLU lets the factor pass, and the convolution behind it divides by it.
    """
    state = {name: value.clone() for name, value in trained()[0].items()}
    for part in ("weight", "bias"):
        state[f"stages.0.0.expand.norm.{part}"][0] *= 1e4
    state["stages.0.0.depthwise.conv.0.weight"][0] /= 1e4
    return state


def metadata():
    mean, std = (tuple(values.tolist()) for values in digits().at(16).statistics())
    return ModelMetadata(
        classes=tuple(digits().classes),
        preprocessing=Preprocessing(16, mean, std),
        data="digits",
        data_fingerprint=digits().fingerprint(),
        spec=SPEC.to_dict(),
    )


def write_run(folder, state=None, about=None, data="digits"):
    """Write the folder of the training."""
    folder.mkdir()
    SPEC.save(folder / "network.yaml")
    properties = (about or metadata()).to_properties()
    save_file(state or trained()[0], folder / "weights.safetensors", properties)
    settings = {"network": "tiny", "data": data, "recipe": {}}
    (folder / "training.yaml").write_text(yaml.safe_dump(settings))
    return folder
