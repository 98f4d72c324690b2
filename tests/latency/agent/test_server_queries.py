"""The bounds of what the HTTP interface is asked, and how it describes itself."""

import json

import pytest

from nas.latency.agent.server import LONGEST_WAIT
from tests.latency.agent.answering import Agent, scenario


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
