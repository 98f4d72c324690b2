"""Which jobs the HTTP interface begins, keeps and forgets."""

import asyncio

from nas.latency.agent import jobs as jobs_module
from nas.latency.agent.messages import JobLimits, JobResult
from tests.latency.agent.answering import DEVICE, DIGEST, Agent, scenario


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
