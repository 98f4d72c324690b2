"""TensorFlow Lite models sent to a real agent, and what it survives."""

import pytest

from nas.formats.tflite import to_tflite
from nas.latency.weights import realistic_weights
from tests.latency.agent.test_server import finish, send
from tests.latency.agent.tflite_models import changed, endless, greedy, negation, with_own_operator

LITERT = {"device": "litert:cpu", "resolution": 8}


@pytest.fixture(scope="module")
def strict(start_agent):
    return start_agent(
        "--device", "litert:cpu", "--max-megabytes", "0.1", "--max-seconds", "4",
        "--max-memory", "2000",
    )  # fmt: skip


def test_a_network_is_measured_in_the_runtime_that_is_named(litert_agent, small):
    tree = small.tree()
    model = to_tflite(tree, small.in_shape, realistic_weights(tree))
    accepted = send(litert_agent, model, device="litert:cpu")
    found = finish(litert_agent, accepted).json()
    assert 0 < found["p10_ms"] <= found["median_ms"] <= found["p90_ms"]
    assert (found["device"], found["source"]) == ("litert:cpu", "measured")
    assert found["runtime"].startswith("ai-edge-litert ")


def test_a_model_is_for_the_runtime_that_is_named(litert_agent, model):
    for body, device in ((model, "litert:cpu"), (negation(), "onnxruntime:cpu")):
        answer = send(litert_agent, body, device=device)
        assert answer.status_code == 415
        assert "does not begin like " in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (changed(with_own_operator), "the model has an operator of its own (OpenFile); the agent"),
        (negation((2, 8, 8, 3)), "the model's batch size is fixed at 2; it must be 1"),
        (negation((1, 64)), "it must have one float32 input (batch, H, W, C)"),
        (negation()[:200], "the body is a damaged TensorFlow Lite model"),
    ],
)
def test_models_that_are_not_of_images_or_reach_further_are_refused(litert_agent, body, reason):
    answer = finish(litert_agent, send(litert_agent, body, **LITERT))
    assert answer.status_code == 422
    assert reason in answer.json()["detail"]


def test_a_model_that_hangs_is_ended(strict):
    accepted = send(strict, endless(), **LITERT)
    assert accepted.status_code == 202, accepted.text
    answer = finish(strict, accepted)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("no result within 4 s")
    assert not strict.children()


def test_a_model_that_wants_too_much_memory_or_is_too_large_is_refused(strict):
    answer = finish(strict, send(strict, greedy(), **LITERT))
    assert answer.status_code == 422, answer.text
    assert send(strict, negation() + b"\0" * 100_000, **LITERT).status_code == 413
    assert finish(strict, send(strict, negation(), **LITERT)).status_code == 200  # still serves
