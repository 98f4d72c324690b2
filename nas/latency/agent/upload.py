"""Receiving a model within limits on its size and on time."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect

from nas.latency.agent.accepted import AcceptedFormat
from nas.latency.agent.messages import JobLimits

_TYPES = (
    "",
    "application/octet-stream",
    "application/onnx",
    "application/x-onnx",
    "application/x-tflite",
)


async def receive(request: Request, path: Path, limits: JobLimits, accepted: AcceptedFormat) -> str:
    """Write the body of a request to a file and return its SHA-256 digest.

    Raises:
        HTTPException: If the body is too large, too slow, incomplete, or in another format.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _TYPES:
        raise HTTPException(415, f"send {accepted.title} as Content-Type: application/octet-stream")
    unlike = HTTPException(415, f"the body does not begin like {accepted.title}")
    too_large = HTTPException(413, f"models may have at most {limits.body_bytes:,} bytes")
    if int(request.headers.get("content-length", 0)) > limits.body_bytes:
        raise too_large
    digest, size, head = hashlib.sha256(), 0, b""
    try:
        async with asyncio.timeout(limits.receive_seconds):
            with path.open("wb") as file:
                async for chunk in request.stream():
                    if len(head) < accepted.head and chunk:
                        head += chunk[: accepted.head - len(head)]
                        if len(head) == accepted.head and not accepted.begins(head):
                            raise unlike
                    size += len(chunk)
                    if size > limits.body_bytes:
                        raise too_large
                    digest.update(chunk)
                    file.write(chunk)
    except TimeoutError:
        reason = f"the model did not arrive within {limits.receive_seconds:g} s"
        raise HTTPException(408, reason, {"Connection": "close"}) from None
    except ClientDisconnect:  # nobody receives this answer
        raise HTTPException(400, "the connection closed before the model was complete") from None
    if not size:
        raise HTTPException(400, f"the body is empty; send {accepted.title}")
    if size < accepted.head:
        raise unlike
    return digest.hexdigest()
