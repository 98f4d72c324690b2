"""ncnn models that are damaged, or have layers of their own."""

import pytest

from nas.errors import UnrunnableError
from nas.formats.ncnn_graph import NcnnModel
from nas.latency.agent import ncnn_checks
from nas.latency.agent.ncnn_checks import check_model

INPUT = "Input images 0 1 images 0=8 1=8 2=3"


def packed(*layers):
    text = "\n".join(["7767517", f"{len(layers)} {len(layers)}", *layers, ""])
    return NcnnModel(text, b"weights").packed()


def test_models_of_built_in_layers_pass():
    check_model(packed(INPUT, "ReLU relu 1 1 images logits"))


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (packed(INPUT, "OpenFile f 1 1 images out"), r"has a layer of its own \(OpenFile\); the "),
        (packed(INPUT, f"{'x' * 200} f 1 1 images out"), r"of its own \(x{80}\); the agent only"),
        (packed("ReLU relu 1 1 images logits"), "one input with fixed channels, height and width"),
        (packed("Input images 0 1 images 0=8"), "one input with fixed channels, height and width"),
        # ncnn reads words, not lines: what follows a layer on its line would be another layer.
        (
            packed(f"{INPUT} OpenFile f 1 1 images a", "ReLU r 1 1 a out"),
            "has other words than parameters after them",
        ),
        (
            packed(f"{INPUT} Split s 1 999999999 images", "ReLU r 1 1 a out"),
            "has other words than parameters after them",
        ),
        (packed(f"{INPUT}\x1cReLU r 1 1 images a"), "its layers are not ASCII text"),
        (packed(INPUT.replace("8", "\u0668")), "its layers are not ASCII text"),
        (packed(INPUT.replace("0=8", "0=" + "8" * 5000)), "one input with fixed channels"),
        (packed(INPUT)[:-1], "the ncnn model is damaged: it has "),
        (packed(INPUT) + b"more", "the ncnn model is damaged: it has "),
        (b"mixncnn1" + b"\xff" * 16, "the ncnn model is damaged: it has "),
        (b"mixncnn1", "is no ncnn model: it is too short"),
        (NcnnModel("7767517\n99999999 99999999\n", b"").packed(), "claims 99999999 layers"),
    ],
)
def test_damaged_models_and_layers_of_their_own_are_refused(model, reason):
    with pytest.raises(UnrunnableError, match=reason):
        check_model(model)


def test_the_number_of_layers_is_bounded(monkeypatch):
    monkeypatch.setattr(ncnn_checks, "MOST_LAYERS", 2)
    layers = [INPUT, "ReLU a 1 1 images a", "ReLU b 1 1 a b"]
    check_model(packed(*layers[:2]))
    with pytest.raises(UnrunnableError, match="the model has 3 layers; 2 are allowed"):
        check_model(packed(*layers))
