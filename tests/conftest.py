"""What tests share."""

from __future__ import annotations

import sys
from pathlib import Path
from subprocess import CompletedProcess, run

import pytest
from hypothesis import HealthCheck, settings

from tests.postgresql import postgresql as postgresql

settings.register_profile(
    "mixnas",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("mixnas")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory):
    """Keep what is learned about this machine apart from what its user has learned."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIXNAS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def fakes(monkeypatch):
    """Let commands find `tests.fakes`, wherever they run."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def command(tmp_path):
    """Run ``python -m ...`` in an empty folder, as a user would."""

    def call(*words: str, timeout: float = 120) -> CompletedProcess[str]:
        return run(
            [sys.executable, "-m", *map(str, words)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return call


@pytest.fixture
def refused(command):
    """Run a command that must end with one clear line on standard error and exit code 2."""

    def call(*words: str) -> str:
        result = command(*words)
        assert result.returncode == 2, result
        assert "Traceback" not in result.stderr
        assert result.stdout == ""
        lines = result.stderr.strip().splitlines()
        assert len(lines) == 1, result.stderr
        assert lines[0].startswith("error: ")
        return lines[0].removeprefix("error: ")

    return call
