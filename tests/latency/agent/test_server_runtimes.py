"""Which of several runtimes the HTTP interface takes a request for."""

from nas.latency.agent.messages import JobLimits
from tests.latency.agent.answering import DEVICE, TFLITE, Agent, scenario


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
