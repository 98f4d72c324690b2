"""What the HTTP interface makes of the bodies that it is sent."""

import asyncio

import pytest

from nas.latency.agent.messages import JobLimits
from tests.latency.agent.answering import MODEL, OCTETS, TFLITE, Agent, scenario


@pytest.mark.parametrize(
    ("content", "headers", "status", "reason"),
    [
        (b"", OCTETS, 400, "the body is empty; send an ONNX model"),
        (b"{}", OCTETS, 415, "the body does not begin like an ONNX model"),
        (MODEL, {"Content-Type": "text/html"}, 415, "send an ONNX model as Content-Type: "),
        (b"\x08" * 11, OCTETS, 413, "models may have at most 10 bytes"),
        ([b"\x08" * 6, b"\x08" * 5], OCTETS, 413, "models may have at most 10 bytes"),
        ([b"\x08" * 5, b"{" * 5], OCTETS, 202, None),
        (MODEL, {"Content-Type": "Application/ONNX; x=y"}, 202, None),
        (MODEL, {}, 202, None),
    ],
)
def test_bodies(workers, content, headers, status, reason):
    async def chunks():
        for chunk in content:
            yield chunk

    async def ask():
        agent = Agent(JobLimits(body_bytes=10))
        body = content if isinstance(content, bytes) else chunks()
        answer = await agent.post(body, headers)
        assert answer.status_code == status, answer.text
        if reason is not None:
            assert answer.json()["detail"].startswith(reason)
            assert not agent.queue.busy
            assert not workers[1]

    scenario(ask)


def test_a_body_that_is_too_slow(workers):
    async def slowly():
        yield MODEL
        await asyncio.sleep(5)

    async def ask():
        agent = Agent(JobLimits(receive_seconds=0.05))
        answer = await agent.post(slowly())
        assert (answer.status_code, answer.headers["connection"]) == (408, "close")
        assert answer.json()["detail"] == "the model did not arrive within 0.05 s"
        assert not agent.queue.busy

    scenario(ask)


@pytest.mark.parametrize(
    ("device", "body", "status"),
    [
        ("litert:cpu", MODEL, 415),
        ("litert:cpu", b"\x1c\x00\x00\x00TFL", 415),  # too short to tell
        ("litert:cpu", [b"\x1c\x00", b"\x00\x00TF", b"L3", b"model"], 202),
        ("litert:cpu", [b"\x1c\x00", b"\x00\x00TF", b"L2", b"model"], 415),
        ("litert:cpu", b"", 400),
        ("onnxruntime:cpu", TFLITE, 415),
        ("onnxruntime:cpu", MODEL, 202),
    ],
)
def test_a_body_begins_like_the_format_of_its_runtime(workers, device, body, status):
    async def chunks():
        for chunk in body:
            yield chunk

    async def ask():
        agent = Agent()
        answer = await agent.post(body if isinstance(body, bytes) else chunks(), device=device)
        assert answer.status_code == status, answer.text
        title = "a TensorFlow Lite model" if device == "litert:cpu" else "an ONNX model"
        if status == 202:
            await agent.result(answer)
        elif status == 415:
            assert answer.json()["detail"] == f"the body does not begin like {title}"
        else:
            assert answer.json()["detail"] == f"the body is empty; send {title}"

    scenario(ask)
