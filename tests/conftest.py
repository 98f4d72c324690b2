"""What tests share."""

from __future__ import annotations

import contextlib
import gc
import os
import runpy
import signal
import sys
import warnings
from pathlib import Path
from subprocess import CompletedProcess, run

import pytest
from hypothesis import HealthCheck, settings

from tests.browser import chromium as chromium
from tests.postgresql import postgresql as postgresql

if "PYTEST_XDIST_WORKER" in os.environ:  # tests run side by side, each on a core of its own
    os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile(
    "mixnas",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("mixnas")

ROOT = Path(__file__).parent.parent
EXAMINED = ("examining ", "note: the examination of the device was disturbed")
FOUND = " images: "


def pytest_collection_modifyitems(items):
    """Mark the tests that look at timm itself, so that they can be run where it is installed."""
    for item in items:
        if "timm" in item.fixturenames:
            item.add_marker("timm")


@pytest.fixture(scope="module", autouse=True)
def own_handler_of_ended_processes():
    """Take back torch's handler of SIGCHLD, which crashes a process that has run NNCF and ncnn.

    Its data loader leaves the handler behind; the next loader sets it again.
    """
    before = signal.getsignal(signal.SIGCHLD)
    yield
    if signal.getsignal(signal.SIGCHLD) is not before:
        signal.signal(signal.SIGCHLD, before)
        sys.modules["torch.utils.data._utils.signal_handling"]._SIGCHLD_handler_set = False


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory):
    """Keep what is learned about this machine apart from what its user has learned.

    Processes that run tests side by side share it: a device is examined once for all of them.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIXNAS_CACHE", str(folder / "cache"))
        yield


@pytest.fixture(scope="session")
def declared_operators():
    """Declare what torchvision imports, beside a CPU build of torch; nothing runs it."""
    torch = pytest.importorskip("torch")
    declared = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        with contextlib.suppress(RuntimeError):  # a whole torchvision has them already
            declared.define(f"{name}(Tensor d, Tensor s, float t) -> Tensor")
    yield
    del declared


@pytest.fixture(scope="session")
def timm(declared_operators):
    """timm itself."""
    return pytest.importorskip("timm", reason="timm is not installed", exc_type=ImportError)


@pytest.fixture
def stand_in_for_timm(monkeypatch):
    """A few networks in place of timm, whether it is installed or not."""
    pytest.importorskip("torch")
    from tests.timm_stand_in import stand_in

    fake = stand_in()
    monkeypatch.setitem(sys.modules, "timm", fake)
    return fake


@pytest.fixture
def fakes(monkeypatch):
    """Let commands find `nas.testing.fakes`, wherever they run."""
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


@pytest.fixture(scope="session")
def collect():
    """Collect garbage, but not among what modules consist of, which would take 0.2 seconds."""
    modules = 0

    def call() -> None:
        nonlocal modules
        gc.collect()
        if len(sys.modules) > modules:
            gc.freeze()
            modules = len(sys.modules)

    return call


@pytest.fixture
def here(tmp_path, monkeypatch, capfd, collect):
    """Run ``python -m ...`` in an empty folder, in this process, which has imported everything."""

    def call(*words: str) -> CompletedProcess[str]:
        capfd.readouterr()
        with monkeypatch.context() as patch, warnings.catch_warnings():
            warnings.filterwarnings("ignore", r".* found in sys\.modules", RuntimeWarning)
            patch.chdir(tmp_path)
            patch.setattr(sys, "argv", list(map(str, words)))
            with pytest.raises(SystemExit) as ended:
                runpy.run_module(words[0], run_name="__main__", alter_sys=True)
        code = ended.value.code
        del ended
        collect()  # lets go of locks, as the end of a process does
        out, errors = capfd.readouterr()
        return CompletedProcess(words, code, out, errors)

    return call


@pytest.fixture
def refused(here):
    """Run a command that must end with one clear line on standard error and exit code 2."""

    def call(*words: str) -> str:
        return refusal(here(*words))

    return call


def refusal(result: CompletedProcess[str]) -> str:
    """Return what a command said that ended with one clear line and exit code 2."""
    assert result.returncode == 2, result
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    *before, line = result.stderr.strip().splitlines()
    for told in before:  # what was found in a data set, and a device that was not known yet
        assert FOUND in told or told.startswith(EXAMINED), result.stderr
    assert line.startswith("error: ")
    return line.removeprefix("error: ")
