"""ncnn models sent to a real agent."""

import pytest

from nas.formats.ncnn import to_ncnn
from nas.latency.weights import realistic_weights
from tests.latency.agent.test_ncnn_checks import INPUT, packed
from tests.latency.agent.test_server import finish, send

pytest.importorskip("ncnn")


@pytest.fixture(scope="module")
def ncnn_agent(start_agent):
    return start_agent("--device", "ncnn:cpu")


def test_a_network_is_measured_and_a_layer_of_its_own_refused(ncnn_agent, small):
    tree = small.tree()
    model = to_ncnn(tree, small.in_shape, realistic_weights(tree)).packed()
    found = finish(ncnn_agent, send(ncnn_agent, model)).json()
    assert (found["device"], found["source"]) == ("ncnn:cpu", "measured")
    assert 0 < found["p10_ms"] <= found["median_ms"] <= found["p90_ms"]

    hostile = packed(INPUT, "OpenFile f 1 1 images out")
    answer = finish(ncnn_agent, send(ncnn_agent, hostile))
    assert answer.status_code == 422
    assert answer.json()["detail"] == (
        "the model has a layer of its own (OpenFile); the agent only runs models of built-in layers"
    )
    assert send(ncnn_agent, b"7767517\n2 2\n").status_code == 415
