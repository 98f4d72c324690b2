import json

import numpy as np
import onnxruntime
import pytest
import torch

from nas.data import load_data
from nas.export.accuracy import accuracy_facts, accuracy_remarks, accuracy_sentence
from nas.export.trained import TrainedModel, normalised
from nas.torch_model import TrainedWeights
from tests.accuracy.supernet.running import write_run
from tests.networks import TINY

JUDGED = {
    "weights": "supernet:runs/a",
    "data": "digits",
    "test": {"top1": 0.5, "top5": 0.9, "loss": 1.0},
    "validation": {"top1": 0.625, "loss": 1.0},
    "in_search": 0.625,
}


def test_weights_that_a_training_has_told_of_are_not_judged_again():
    assert accuracy_facts(TrainedModel(TINY)) == {}
    assert accuracy_facts(TrainedModel(TINY, TrainedWeights("w.safetensors", {}))) == {}
    assert (accuracy_sentence({}), accuracy_remarks({})) == ("", [])


def test_accuracies_are_told_and_what_the_search_found_if_it_differs():
    weights = TrainedWeights("supernet:runs/a", {}, judge=lambda: JUDGED)
    facts = accuracy_facts(TrainedModel(TINY, weights))
    assert facts == {"accuracy": JUDGED}
    assert accuracy_sentence(facts) == (
        "accuracy without any training, weights of supernet:runs/a: 50.00% top-1 on the test "
        "images of digits, 62.50% on those of the search's validation"
    )
    assert accuracy_remarks(facts) == []
    assert accuracy_remarks({"accuracy": {**JUDGED, "in_search": None}}) == []
    (remark,) = accuracy_remarks({"accuracy": {**JUDGED, "in_search": 0.75}})
    assert remark.startswith("the search found 75.00% with the same weights and images: ")


def test_a_slice_is_exported_with_the_accuracy_that_the_file_has(
    here, refused, tmp_path, monkeypatch
):
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path / "cache"))
    write_run(tmp_path / "run", monkeypatch)
    words = ("nas.export", "run/best.yaml", "--weights", "supernet:run")
    result = here(*words, "--lowered")
    assert result.returncode == 0, result.stderr
    assert "accuracy without any training, weights of supernet:run: " in result.stdout
    assert "exported as it was trained: 10 classes, 16 px" in result.stderr
    assert "the search found" not in result.stderr
    about = json.loads((tmp_path / "run" / "best.onnx.json").read_text(encoding="utf-8"))
    digits = load_data("digits").at(16)
    prepared = about["preprocessing"]
    images = normalised(
        digits.images["test"], torch.tensor(prepared["mean"]), torch.tensor(prepared["std"])
    )
    session = onnxruntime.InferenceSession(tmp_path / "run" / "best.onnx")
    (outputs,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    right = np.mean(outputs.argmax(1) == digits.labels["test"].numpy())
    assert about["accuracy"]["test"]["top1"] == pytest.approx(right, abs=1.5 / len(images))
    assert about["accuracy"]["validation"]["top1"] == about["accuracy"]["in_search"]
    assert refused(*words[:3], "timm:mixnet_s", "--force").startswith("--weights timm:mixnet_s: ")
    assert "no config.yaml" in refused(*words[:3], "supernet:elsewhere", "--force")
