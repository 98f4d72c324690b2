"""Receiving models within limits."""

import asyncio
import hashlib

import pytest
from fastapi import HTTPException
from starlette.requests import Request

from nas.latency.agent.accepted import ACCEPTED
from nas.latency.agent.messages import JobLimits
from nas.latency.agent.upload import receive

HEAD = b"\x1c\0\0\0TFL3"


def received(folder, chunks, limits=JobLimits(), delay=0.0, **headers):  # noqa: B008
    """Receive a TensorFlow Lite model that arrives in chunks."""
    left = list(chunks)

    async def message():
        await asyncio.sleep(delay)
        body = left.pop(0) if left else b""
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    request = Request({"type": "http", "headers": sent}, message)
    return asyncio.run(receive(request, folder / "model", limits, ACCEPTED["tflite"]))


def refusal(*arguments, **options):
    with pytest.raises(HTTPException) as caught:
        received(*arguments, **options)
    return caught.value.status_code, caught.value.detail


def test_a_model_is_written_and_its_digest_returned(tmp_path):
    digest = received(
        tmp_path, [HEAD[:3], HEAD[3:], b"weights"], content_type="application/x-tflite"
    )
    assert digest == hashlib.sha256(HEAD + b"weights").hexdigest()
    assert (tmp_path / "model").read_bytes() == HEAD + b"weights"


def test_other_bodies_are_refused(tmp_path):
    wrong = "the body does not begin like a TensorFlow Lite model"
    assert refusal(tmp_path, [b"\x08\x09", b"onnx model"]) == (415, wrong)
    assert refusal(tmp_path, [HEAD[:7]]) == (415, wrong)
    assert refusal(tmp_path, [b""]) == (400, "the body is empty; send a TensorFlow Lite model")
    assert refusal(tmp_path, [HEAD], content_type="text/html") == (
        415,
        "send a TensorFlow Lite model as Content-Type: application/octet-stream",
    )


def test_size_and_time_are_limited(tmp_path):
    small = JobLimits(body_bytes=10)
    assert received(tmp_path, [HEAD, b"ab"], small)
    too_large = (413, "models may have at most 10 bytes")
    assert refusal(tmp_path, [HEAD, b"abc"], small) == too_large
    assert refusal(tmp_path, [HEAD], small, content_length="11") == too_large
    slow = JobLimits(receive_seconds=0.05)
    assert refusal(tmp_path, [HEAD] * 9, slow, delay=0.02) == (
        408,
        "the model did not arrive within 0.05 s",
    )
