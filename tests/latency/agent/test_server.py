"""The HTTP interface of a real agent, and what it survives."""

import hashlib
import json
import signal
import socket
import time
from contextlib import suppress

import httpx
import numpy as np
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper

ONNX = {"Content-Type": "application/octet-stream"}
QUERY = {
    "threads": 1,
    "lowered": "false",
    "resolution": 64,
    "rounds": 2,
    "seconds": 0.2,
    "warm_seconds": 0.2,
}


def send(agent, model, **query):
    with agent.client() as client:
        return client.post("/measurements", params={**QUERY, **query}, content=model, headers=ONNX)


def finish(agent, accepted):
    assert accepted.status_code == 202, accepted.text
    with agent.client() as client:
        path = accepted.headers["location"]
        while (answer := client.get(path, params={"wait": 20})).status_code == 202:
            pass
    agent.idle()
    return answer


def raw(agent, text, patience=15.0):
    """Send bytes, close the sending side, and return everything that is received."""
    with socket.create_connection(("127.0.0.1", agent.port), timeout=patience) as line:
        line.sendall(text)
        line.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := line.recv(65536):
            answer += chunk
    return answer


def graph(nodes, constants=()):
    """Return a model of 8-pixel images that is made of some nodes."""
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 8, 8])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    made = helper.make_graph(nodes, "hostile", [image], [out], list(constants))
    opset = [helper.make_opsetid("", 20)]
    return helper.make_model(made, opset_imports=opset, ir_version=9).SerializeToString()


def endless():
    """Return a model that runs for years."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Sigmoid", ["x"], ["y"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, None),
        ],
    )
    constants = [
        numpy_helper.from_array(np.array(2**60, dtype=np.int64), "trips"),
        numpy_helper.from_array(np.array(True), "yes"),
    ]
    loop = helper.make_node("Loop", ["trips", "yes", "images"], ["out"], body=body)
    return graph([loop], constants)


def greedy():
    """Return a model that needs 4 TB."""
    shape = numpy_helper.from_array(np.array([1_000_000, 1_000_000], dtype=np.int64), "shape")
    sum_of_image = helper.make_node("ReduceSum", ["images"], ["sum"], keepdims=0)
    wide = helper.make_node("Expand", ["sum", "shape"], ["wide"])
    return graph([sum_of_image, wide, helper.make_node("Sigmoid", ["wide"], ["out"])], [shape])


# -- measurements ------------------------------------------------------------------------------


def test_a_model_is_measured_once_and_found_again(agent, model):
    accepted = send(agent, model)
    latency = finish(agent, accepted)
    assert latency.status_code == 200, latency.text
    found = latency.json()
    assert 0 < found["p10_ms"] <= found["median_ms"] <= found["p90_ms"]
    assert (found["threads"], found["lowered"], found["resolution"]) == (1, False, 64)
    assert (found["device"], found["source"]) == ("onnxruntime:cpu", "measured")

    again = send(agent, model)
    assert again.json() == {"id": accepted.json()["id"], "state": "done"}
    assert finish(agent, again).json() == found  # not measured again
    assert send(agent, model, take="2").json()["id"] != again.json()["id"]
    agent.idle()


def test_a_measurement_that_runs_is_not_begun_again_and_others_wait(agent, model):
    first = send(agent, model, take="runs")
    digest = hashlib.sha256(model).hexdigest()
    # Named by its digest, the model need not even be sent again.
    again = send(agent, b"", take="runs", sha256=digest)
    assert again.json() == {"id": first.json()["id"], "state": "running"}
    other = send(agent, model, take="other")
    assert other.status_code == 429
    assert int(other.headers["retry-after"]) >= 1
    assert httpx.get(f"{agent.url}/health").json()["busy"] is True
    assert finish(agent, first).status_code == 200
    wrong = send(agent, model, sha256="0" * 64)
    assert (wrong.status_code, "SHA-256" in wrong.text) == (400, True)


def test_conditions_and_documentation(agent):
    with agent.client() as client:
        conditions = client.get("/conditions", params={"threads": 1, "batch": 2, "wait": 20}).json()
    assert (conditions["threads"], conditions["batch"]) == (1, 2)
    assert conditions["runtime"].startswith("onnxruntime ")
    page = httpx.get(f"{agent.url}/openapi.json").json()
    assert {"/health", "/conditions", "/profile", "/measurements"} <= set(page["paths"])
    assert "security" in page["paths"]["/measurements"]["post"]
    assert httpx.get(f"{agent.url}/docs").status_code == 200


# -- the token -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/conditions", "/profile", "/measurements/x", "/", "/health/", "/nothing", "/docs/"]
)
@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", "Basic {}", "Bearer {}x", "Bearer é"]
)
def test_requests_without_the_token_are_refused(agent, path, header):
    headers = {} if header is None else {"Authorization": header.format(agent.token).encode()}
    answer = httpx.get(f"{agent.url}{path}", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["detail"].startswith("this request needs the agent's token")


def test_without_a_token_no_body_is_read(agent):
    head = b"POST /measurements HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n"
    with socket.create_connection(("127.0.0.1", agent.port), timeout=5) as line:
        line.sendall(head + b"Expect: 100-continue\r\n\r\n")
        assert line.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_the_token_stays_with_the_agent(agent, model):
    accepted = send(agent, model, take="secret")
    worker = agent.worker()
    texts = [*worker.cmdline(), *worker.environ().values()]
    assert not [text for text in texts if agent.token in text]
    assert "MIXNAS_TOKEN" not in worker.environ()
    finish(agent, accepted)
    assert agent.token not in agent.messages


# -- invalid requests --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"threads": 0}, "threads: "),
        ({"batch": "many"}, "batch: "),
        ({"precision": "fp4"}, "precision: "),
        ({"resolution": -1}, "resolution: "),
        ({"seconds": "nan"}, "seconds: "),
        ({"take": "x" * 65}, "take: "),
        ({"bogus": 1}, "bogus: "),
    ],
)
def test_queries_are_checked(agent, model, query, reason):
    answer = send(agent, model, **query)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(reason)


def test_bodies_are_checked(agent, start_agent):
    assert (send(agent, b"").status_code, send(agent, b"{}").status_code) == (400, 415)
    with agent.client() as client:
        kind = {"Content-Type": "text/html"}
        answer = client.post("/measurements", params=QUERY, content=b"\x08", headers=kind)
        assert answer.status_code == 415
    garbage = finish(agent, send(agent, b"\x08" + b"garbage" * 1000))
    assert garbage.status_code == 422
    assert garbage.json()["detail"] == "the body is not an ONNX model"


def test_malformed_http_is_refused(agent):
    for text in (b"\0\xff" * 50 + b"\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"):
        assert raw(agent, text).startswith(b"HTTP/1.1 400 ")
    long = b"GET /health HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 100_000
    assert raw(agent, long).startswith(b"HTTP/1.1 400 ")
    bad = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    assert b" 40" in raw(agent, bad)[:14]
    assert httpx.get(f"{agent.url}/health").status_code == 200
    assert "Traceback" not in agent.messages


def authorized(agent, headers):
    head = (
        f"POST /measurements?resolution=64&threads=1&lowered=false HTTP/1.1\r\nHost: a\r\n{headers}"
    )
    kind = "Content-Type: application/octet-stream"
    return f"{head}\r\n{kind}\r\nAuthorization: Bearer {agent.token}\r\n\r\n".encode()


def test_a_body_cut_short_leaves_nothing_behind(agent, model):
    assert raw(agent, authorized(agent, "Content-Length: 100000") + model[:5000]) == b""
    agent.idle()
    assert not agent.children()


@pytest.fixture(scope="module")
def strict(start_agent):
    return start_agent("--max-megabytes", "0.5", "--max-seconds", "4", "--max-memory", "2000")


def test_a_model_whose_header_says_that_it_is_too_large(strict):
    answer = raw(strict, authorized(strict, "Content-Length: 500001"))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"at most 500,000 bytes" in answer


def test_a_model_that_turns_out_to_be_too_large(strict):
    chunks = (b"\x08" * 50_000 for _ in range(11))  # of unknown length
    answer = send(strict, chunks)
    assert answer.status_code == 413
    strict.idle()


def test_a_model_that_arrives_too_slowly(strict):
    with socket.create_connection(("127.0.0.1", strict.port), timeout=15) as line:
        line.sendall(authorized(strict, "Content-Length: 1000") + b"\x08")
        assert line.recv(65536).startswith(b"HTTP/1.1 408 ")
    strict.idle()


def test_idle_connections_without_the_token_lock_nobody_out(agent):
    idle = [socket.create_connection(("127.0.0.1", agent.port), timeout=5) for _ in range(80)]
    try:
        with agent.client() as client:
            for _ in range(3):
                answer = client.get("/conditions", params={"threads": 1, "wait": 20})
                assert answer.status_code == 200
        assert httpx.get(f"{agent.url}/health").status_code == 200
        assert idle[0].recv(10) == b""  # the oldest were closed
    finally:
        for line in idle:
            line.close()


def test_a_connection_without_the_token_ends_with_the_first_answer(agent):
    request = b"GET /profile HTTP/1.1\r\nHost: a\r\n\r\n"
    with socket.create_connection(("127.0.0.1", agent.port), timeout=5) as line:
        line.sendall(request * 3)
        answer = b""
        with suppress(ConnectionResetError):
            while chunk := line.recv(65536):
                answer += chunk
    assert answer.count(b"HTTP/1.1 401 ") == 1
    assert b"\r\nconnection: close\r\n" in answer.lower()
    # With the token, a connection goes on.
    kept = request.replace(b"\r\n\r\n", f"\r\nAuthorization: Bearer {agent.token}\r\n\r\n".encode())
    with socket.create_connection(("127.0.0.1", agent.port), timeout=5) as line:
        for _ in range(2):
            line.sendall(kept.replace(b"/profile", b"/nothing"))
            answer = b""
            while not answer.endswith(b"}"):
                answer += line.recv(65536)
            assert answer.startswith(b"HTTP/1.1 404 ")


@pytest.mark.slow
def test_patience_with_idle_connections_ends(agent):
    def connect():
        return socket.create_connection(("127.0.0.1", agent.port), timeout=20)

    with connect() as silent, connect() as slow, connect() as refused:
        slow.sendall(b"GET /health HT")
        refused.sendall(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
        assert refused.recv(65536).startswith(b"HTTP/1.1 401 ")
        began = time.monotonic()
        with suppress(ConnectionError):  # its body is read for some seconds more, not for ever
            while time.monotonic() < began + 15:
                refused.sendall(b"x" * 1000)
                time.sleep(0.1)
        assert time.monotonic() < began + 13
        assert silent.recv(65536) == b""
        assert slow.recv(65536).startswith(b"HTTP/1.1 408 ")


# -- harmful models -----------------------------------------------------------------------------


def test_a_model_that_crashes_the_runtime_costs_one_request(agent, model):
    accepted = send(agent, model, take="crash")
    agent.worker().send_signal(signal.SIGSEGV)
    answer = finish(agent, accepted)
    assert answer.status_code == 422
    assert answer.json()["detail"] == "the runtime crashed (signal 11, SIGSEGV)"
    assert finish(agent, send(agent, model, take="next")).status_code == 200
    # Sent again, it is tried again.
    assert finish(agent, send(agent, model, take="crash")).status_code == 200


def test_a_model_whose_weights_are_in_another_file_is_refused(agent, tmp_path):
    (tmp_path / "secret").write_bytes(b"\0" * 16)
    weights = numpy_helper.from_array(np.zeros((1, 1, 1, 4), dtype=np.float32), "w")
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=str(tmp_path / "secret"))
    hostile = graph([helper.make_node("Add", ["images", "w"], ["out"])], [weights])
    answer = finish(agent, send(agent, hostile, resolution=8))
    assert answer.status_code == 422
    assert answer.json()["detail"] == (
        "the model keeps the data of 'w' in another file, which the agent does not read; save the "
        "model with all its weights inside"
    )


def test_a_model_that_hangs_is_ended(strict):
    accepted = send(strict, endless(), resolution=8)
    assert accepted.status_code == 202, accepted.text
    answer = finish(strict, accepted)
    assert (answer.status_code, answer.json()["detail"][:22]) == (422, "no result within 4 s")
    assert not strict.children()


def test_a_model_that_wants_too_much_memory_is_refused(strict):
    answer = finish(strict, send(strict, greedy(), resolution=8))
    assert answer.status_code == 422
    assert "cannot be run" in answer.json()["detail"]


# -- stopping ----------------------------------------------------------------------------------


def test_stopping_the_agent_ends_its_processes(start_agent, model):
    agent = start_agent()
    assert send(agent, model).status_code == 202
    worker = agent.worker()
    began = time.monotonic()
    agent.stop()
    assert time.monotonic() - began < 10
    assert not psutil.pid_exists(worker.pid)
    assert "Traceback" not in agent.messages


def test_answers_are_json(agent):
    assert json.loads(raw(agent, b"x\r\n\r\n").partition(b"\r\n\r\n")[2])["detail"]
