"""An agent in the tests' own process, whose workers answer at once as told."""

import asyncio
import hashlib

import httpx

from nas.latency.agent.jobs import JobQueue
from nas.latency.agent.messages import JobLimits, ServedRuntime
from nas.latency.agent.server import new_app

DEVICE, TOKEN = "onnxruntime:cpu", "a-token-of-the-tests"
SERVED = [
    ServedRuntime(DEVICE, "onnx", "onnxruntime 1", "a board", 4),
    ServedRuntime("litert:cpu", "tflite", "ai-edge-litert 2", "a board", 4),
]
MODEL = b"\x08\x09model"
TFLITE = b"\x1c\x00\x00\x00TFL3model"
DIGEST = hashlib.sha256(MODEL).hexdigest()
OCTETS = {"Content-Type": "application/octet-stream"}


class Agent:
    """An agent in this process; each of its jobs ends with the next of several results."""

    def __init__(self, limits=JobLimits()):  # noqa: B008
        self.queue = JobQueue(limits)
        transport = httpx.ASGITransport(new_app(SERVED, TOKEN, self.queue))
        headers = {"Authorization": f"Bearer {TOKEN}"}
        self.client = httpx.AsyncClient(
            transport=transport, base_url="http://agent", headers=headers
        )

    async def get(self, path, **params):
        return await self.client.get(path, params=params)

    async def post(self, content=MODEL, headers=OCTETS, **params):
        return await self.client.post(
            "/measurements", params={"resolution": 64, **params}, content=content, headers=headers
        )

    async def result(self, accepted):
        answer = await self.get(accepted.headers["location"], wait=20)
        if self.queue._work is not None:
            await self.queue._work
        return answer


def scenario(function):
    """Run a scenario in an event loop of its own."""
    asyncio.run(asyncio.wait_for(function(), 30))
