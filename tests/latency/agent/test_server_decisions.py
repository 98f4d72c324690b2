"""The decisions of the HTTP interface, with workers that answer at once as told."""

import asyncio
import hashlib
import json

import httpx
import pytest

from nas.latency.agent import jobs as jobs_module
from nas.latency.agent.jobs import JobQueue
from nas.latency.agent.messages import JobLimits, JobResult, ServedRuntime
from nas.latency.agent.server import LONGEST_WAIT, new_app

DEVICE, TOKEN = "onnxruntime:cpu", "a-token-of-the-tests"
SERVED = [
    ServedRuntime(DEVICE, "onnx", "onnxruntime 1", "a board", 4),
    ServedRuntime("litert:cpu", "tflite", "ai-edge-litert 2", "a board", 4),
]
MODEL = b"\x08\x09model"
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


@pytest.fixture
def workers(monkeypatch):
    """Let workers return certain results; return those left, and the jobs so far."""
    results, jobs = [], []

    async def worker(job_spec, folder, limits):
        jobs.append((job_spec, (folder / "model").exists()))
        result = results.pop(0) if results else JobResult(answer={"kind": job_spec.kind})
        await asyncio.sleep(0)
        return result

    monkeypatch.setattr(jobs_module, "run_worker", worker)
    return results, jobs


def scenario(function):
    """Run a scenario in an event loop of its own."""
    asyncio.run(asyncio.wait_for(function(), 30))


def test_a_failure_that_passes_is_forgotten(workers):
    results, jobs = workers
    results += [JobResult(failure="the disk is full"), JobResult(answer={"threads": 2})]

    async def ask():
        agent = Agent()
        first = await agent.get("/conditions", threads=2, wait=5)
        assert (first.status_code, first.json()) == (422, {"detail": "the disk is full"})
        second = await agent.get("/conditions", threads=2, wait=5)
        assert (second.status_code, second.json()) == (200, {"threads": 2})
        third = await agent.get("/conditions", threads=2)
        assert third.json() == second.json()
        assert len(jobs) == 2  # an answer is kept
        spec, _ = jobs[0]
        assert (spec.kind, spec.device, spec.settings.threads) == ("conditions", DEVICE, 2)
        other = await agent.get("/conditions", threads=3, wait=5)
        assert other.status_code == 200
        assert len(jobs) == 3

    scenario(ask)


def test_of_three_results_with_room_for_two_the_oldest_goes(workers):
    async def ask():
        agent = Agent(JobLimits(kept_results=2))
        for batch in (1, 2, 3):
            assert (await agent.get("/conditions", batch=batch, wait=5)).status_code == 200
            await agent.queue._work
        assert len(workers[1]) == 3
        for batch, asked in ((3, 3), (2, 3), (1, 4)):
            await agent.get("/conditions", batch=batch, wait=5)
            await agent.queue._work
            assert len(workers[1]) == asked

    scenario(ask)


def test_a_measurement_needs_the_profile_first(workers):
    async def ask():
        agent = Agent()
        accepted = await agent.post(
            batch=4, precision="int8", lowered="false", rounds=5, take="a", interval_ms=5
        )
        assert accepted.status_code == 202
        identity = accepted.json()["id"]
        assert accepted.json() == {"id": identity, "state": "running"}
        assert accepted.headers["location"] == f"/measurements/{identity}"
        assert accepted.headers["retry-after"] == "1"
        answer = await agent.result(accepted)
        assert (answer.status_code, answer.json()) == (200, {"kind": "measurement"})
        (profile, there), (measurement, there_too) = workers[1]
        assert (profile.kind, measurement.kind, there, there_too) == (
            "profile",
            "measurement",
            True,
            True,
        )
        settings = measurement.settings
        assert profile.settings == settings
        assert (settings.batch, settings.precision, settings.lowered) == (4, "int8", False)
        assert settings.interval_ms == 5.0
        assert (measurement.resolution, measurement.effort.rounds, measurement.take) == (64, 5, "a")
        assert (measurement.effort.seconds, measurement.effort.warm_seconds) == (2.0, 1.0)
        # The profile is known by now, and is an answer of its own.
        again = await agent.get(
            "/profile", batch=4, precision="int8", lowered="false", interval_ms=5
        )
        assert (again.json(), len(workers[1])) == ({"kind": "profile"}, 2)

    scenario(ask)


def test_measurements_are_made_once_unless_they_failed(workers):
    results, jobs = workers
    profile = JobResult(answer={})
    results += [profile, JobResult(failure="it crashed"), JobResult(answer={"n": 1})]

    async def ask():
        agent = Agent()
        failed = await agent.result(await agent.post())
        assert (failed.status_code, failed.json()["detail"]) == (422, "it crashed")
        again = await agent.post()
        assert again.json()["state"] == "running"
        assert (await agent.result(again)).json() == {"n": 1}
        assert [spec.kind for spec, _ in jobs] == ["profile", "measurement", "measurement"]
        # Found by its digest before the body is sent, or after it was received.
        for known in (await agent.post(b"", sha256=DIGEST), await agent.post()):
            assert (known.status_code, known.json()) == (
                202,
                {"id": again.json()["id"], "state": "done"},
            )
        assert len(jobs) == 3
        assert not agent.queue.busy

    scenario(ask)


def test_the_digest_of_the_body_is_checked(workers):
    async def ask():
        agent = Agent()
        answer = await agent.post(sha256="0" * 64)
        assert (answer.status_code, answer.json()["detail"]) == (
            400,
            f"the SHA-256 digest of the body is {DIGEST}, not {'0' * 64}",
        )
        assert not agent.queue.busy
        assert (await agent.post(sha256=DIGEST)).status_code == 202

    scenario(ask)


def test_one_job_at_a_time(monkeypatch):
    release = asyncio.Event()

    async def worker(job_spec, folder, limits):
        await release.wait()
        return JobResult(answer={"kind": job_spec.kind})

    monkeypatch.setattr(jobs_module, "run_worker", worker)

    async def ask():
        agent = Agent()
        running = await agent.get("/conditions")
        assert (running.status_code, running.json()["state"]) == (202, "running")
        assert running.headers["retry-after"] == "1"
        for answer in (await agent.get("/conditions", batch=2), await agent.post()):
            assert answer.status_code == 429
            assert answer.headers["retry-after"] == "2"
            assert "is busy with another job; try again in a few seconds" in answer.json()["detail"]
        health = (await agent.get("/health")).json()
        assert (health["status"], health["busy"]) == ("serving", True)
        waited = asyncio.get_running_loop().time()
        assert (await agent.get("/conditions", wait=0.2)).status_code == 202
        assert asyncio.get_running_loop().time() - waited >= 0.19
        release.set()
        assert (await agent.get("/conditions", wait=5)).json() == {"kind": "conditions"}
        assert (await agent.get("/health")).json()["busy"] is False

    scenario(ask)


def test_unknown_measurements(workers):
    async def ask():
        agent = Agent()
        assert (await agent.get("/conditions", wait=5)).status_code == 200
        for path in ("/measurements/x", f"/measurements/{next(iter(agent.queue._jobs))}"):
            answer = await agent.get(path)
            assert answer.status_code == 404
            assert "the agent was restarted, or the result has expired" in answer.json()["detail"]

    scenario(ask)


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


def test_a_full_disk(workers, monkeypatch):
    async def ask():
        agent = Agent()

        def full(*_, **__):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(jobs_module, "JobSlot", full)
        answer = await agent.post()
        assert (answer.status_code, answer.json()["detail"]) == (
            507,
            "the agent cannot store the model: No space left on device",
        )

    scenario(ask)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"wait": LONGEST_WAIT}, 200),
        ({"wait": LONGEST_WAIT + 0.1}, 400),
        ({"wait": -0.1}, 400),
        ({"threads": 1024, "wait": 5}, 200),
        ({"threads": 1025}, 400),
        ({"threads": 0}, 400),
        ({"batch": 4096, "wait": 5}, 200),
        ({"batch": 4097}, 400),
        ({"batch": 0}, 400),
        ({"interval_ms": 10_000, "wait": 5}, 200),
        ({"interval_ms": 10_001}, 400),
        ({"interval_ms": -1}, 400),
    ],
)
def test_bounds_of_queries(workers, query, status):
    async def ask():
        answer = await Agent().get("/conditions", **query)
        assert answer.status_code == status, answer.text
        if status == 400:
            assert answer.json()["detail"].startswith(f"{next(iter(query))}: ")

    scenario(ask)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"resolution": 1}, 202),
        ({"resolution": 8192}, 202),
        ({"resolution": 8193}, 400),
        ({"resolution": 0}, 400),
        ({"rounds": 1}, 202),
        ({"rounds": 1000}, 202),
        ({"rounds": 1001}, 400),
        ({"rounds": 0}, 400),
        ({"seconds": 60}, 202),
        ({"seconds": 60.1}, 400),
        ({"seconds": 0}, 400),
        ({"warm_seconds": 60.1}, 400),
        ({"precision_of_ratio": 1}, 202),
        ({"precision_of_ratio": 1.01}, 400),
        ({"precision_of_ratio": 0}, 400),
        ({"take": "x" * 64}, 202),
        ({"take": "x" * 65}, 400),
        ({"sha256": "0" * 63}, 400),
        ({"sha256": "G" * 64}, 400),
        ({"wait": 1}, 400),
    ],
)
def test_bounds_of_measurements(workers, query, status):
    async def ask():
        assert (await Agent().post(**query)).status_code == status

    scenario(ask)


def test_several_mistakes_are_told_at_once(workers):
    async def ask():
        answer = await Agent().get("/conditions", threads=0, batch=0)
        first, second = answer.json()["detail"].split("; ")
        assert first.startswith("threads: ")
        assert second.startswith("batch: ")

    scenario(ask)


def test_the_description_of_the_interface(workers):
    async def ask():
        page = (await Agent().get("/openapi.json")).json()
        operation = page["paths"]["/measurements"]["post"]
        assert {"202", "400", "401", "408", "413", "415", "422", "429"} <= set(
            operation["responses"]
        )
        assert "application/octet-stream" in operation["requestBody"]["content"]
        assert operation["security"] == [{"HTTPBearer": []}]
        assert json.dumps(page)
        assert (await Agent().get("/redoc")).status_code == 404

    scenario(ask)


# -- several runtimes ------------------------------------------------------------------------------

TFLITE = b"\x1c\x00\x00\x00TFL3model"


def test_what_is_served_can_be_asked_for(workers):
    async def ask():
        agent = Agent(JobLimits(body_bytes=1000, seconds=7.0, memory_bytes=10**9))
        answer = await agent.get("/runtimes")
        assert answer.json() == {
            "runtimes": [
                {
                    "device": "onnxruntime:cpu",
                    "model_format": "onnx",
                    "version": "onnxruntime 1",
                    "machine": "a board",
                    "threads": 4,
                },
                {
                    "device": "litert:cpu",
                    "model_format": "tflite",
                    "version": "ai-edge-litert 2",
                    "machine": "a board",
                    "threads": 4,
                },
            ],
            "body_bytes": 1000,
            "seconds": 7.0,
            "profile_seconds": 1800.0,
            "memory_bytes": 1_000_000_000,
        }
        agent.client.headers.pop("Authorization")
        assert (await agent.get("/runtimes")).status_code == 401

    scenario(ask)


def test_a_request_names_a_runtime_or_is_for_the_first(workers):
    async def ask():
        agent = Agent()
        await agent.get("/conditions", wait=5)
        await agent.get("/profile", wait=5, device="litert:cpu")
        accepted = await agent.post(TFLITE, device="litert:cpu")
        assert accepted.status_code == 202, accepted.text
        await agent.result(accepted)
        asked = [(spec.kind, spec.device) for spec, _ in workers[1]]
        assert asked == [
            ("conditions", DEVICE),
            ("profile", "litert:cpu"),
            ("measurement", "litert:cpu"),
        ]

    scenario(ask)


def test_a_runtime_that_is_not_served_is_refused_with_those_that_are(workers):
    async def ask():
        agent = Agent()
        for answer in (
            await agent.get("/conditions", device="ncnn:cpu"),
            await agent.get("/profile", device="ncnn:cpu"),
            await agent.post(device="ncnn:cpu"),
        ):
            assert answer.status_code == 404
            assert answer.json()["detail"] == (
                "this agent does not serve 'ncnn:cpu'; it serves onnxruntime:cpu, litert:cpu"
            )
        assert workers[1] == []
        assert (await agent.get("/profile", device="x" * 65)).status_code == 400

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
