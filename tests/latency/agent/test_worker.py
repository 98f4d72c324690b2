"""The process that runs a job."""

import dataclasses
import json
import os
import resource
import subprocess
import sys

import pytest

from nas.errors import MixnasError
from nas.latency.agent import worker
from nas.latency.agent.messages import MODEL, WORKER_INPUT, JobSpec, WorkerInput
from nas.latency.conditions import MeasurementSettings
from nas.latency.deployment import program_of
from nas.latency.profile import DeviceProfile
from nas.latency.protocol import Effort
from nas.latency.runtimes.models import serialized
from nas.latency.runtimes.onnxruntime_runtime import OnnxRuntime
from nas.spec import load_network
from tests.conftest import ROOT
from tests.latency.records import CONDITIONS, latency


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (MixnasError("no such device\nreally"), "no such device"),
        (MixnasError(""), "no reason given"),
        (RuntimeError("Bad node.\nTrace"), "the model cannot be run: Bad node."),
        (RuntimeError("x" * 600), "the model cannot be run: " + "x" * 500),
        (MemoryError(), "the model needs more memory than the agent allows"),
        (ModuleNotFoundError("No module named 'x'", name="x"), "No module named 'x'"),
        (
            ModuleNotFoundError(name="onnxruntime"),
            "the package 'onnxruntime' is not installed",
        ),
    ],
)
def test_errors_become_failures(monkeypatch, error, failure):
    def fail(job_spec):
        raise error

    monkeypatch.setattr(worker, "_answer", fail)
    result = worker._result(JobSpec("conditions", "onnxruntime:cpu"))
    assert result.answer is None
    if isinstance(error, ModuleNotFoundError):
        assert result.failure.startswith(failure)
    else:
        assert result.failure == failure


def test_a_device_that_takes_no_models_cannot_measure():
    settings = MeasurementSettings(threads=1, lowered=False)
    result = worker._result(JobSpec("measurement", "torch:cpu", settings))
    assert result.failure == "'torch:cpu' runs no models in a format that agents accept"


def test_the_answer_is_all_that_is_printed(tmp_path):
    job_spec = JobSpec("conditions", "onnxruntime:cpu", MeasurementSettings(threads=1, batch=3))
    given = WorkerInput(job_spec=job_spec, folder=str(tmp_path), seconds=60, memory_bytes=None)
    code = (
        "from nas.latency.agent import worker\n"
        "run = worker._result\n"
        "worker._result = lambda job_spec: (print('noise', flush=True), run(job_spec))[1]\n"
        "worker.main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], input=WORKER_INPUT.dump_json(given), capture_output=True
    )
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)["answer"]
    assert (answer["device"], answer["threads"], answer["batch"]) == ("onnxruntime:cpu", 1, 3)
    assert "noise" in result.stderr.decode()


# -- what a worker is limited to -----------------------------------------------------------------


@pytest.mark.parametrize("memory", [None, 10**9])
def test_limits_of_the_process(monkeypatch, memory):
    limits, alarms, written = [], [], []
    monkeypatch.setattr(resource, "setrlimit", lambda which, bounds: limits.append((which, bounds)))
    monkeypatch.setattr(worker.signal, "alarm", alarms.append)
    monkeypatch.setattr(
        worker.Path, "write_text", lambda self, text, **_: written.append((str(self), text))
    )
    spec = JobSpec("conditions", "onnxruntime:cpu")
    worker._apply_limits(WorkerInput(spec, folder="/", seconds=17, memory_bytes=memory))
    assert limits[0] == (resource.RLIMIT_CORE, (0, 0))
    expected = [] if memory is None else [(resource.RLIMIT_DATA, (memory, memory))]
    assert limits[1:] == (expected if sys.platform == "linux" else [])
    assert (alarms, written) == ([17], [("/proc/self/oom_score_adj", "1000")])


class Instant:
    """A device that answers at once."""

    def __init__(self, name, settings):
        self.name, self.settings, self.runtime = name, settings, OnnxRuntime("cpu", 1, 1)
        self.conditions = CONDITIONS
        self.profile = DeviceProfile(CONDITIONS, 2.5)

    def time(self, load, resolution, effort):
        load()
        return latency(resolution=resolution, n=effort.rounds)


def test_answers_by_kind(monkeypatch, tmp_path):
    monkeypatch.setattr(worker, "LocalDevice", Instant)
    loaded = []
    monkeypatch.setattr(OnnxRuntime, "load_model", lambda self, graph: loaded.append(graph))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").write_bytes(b"\x08\x09")  # a model of version 9 that is empty
    answers = {
        kind: worker._result(
            JobSpec(kind, "onnxruntime:cpu", effort=Effort(rounds=7), resolution=9)
        )
        for kind in ("conditions", "profile", "measurement")
    }
    assert answers["conditions"].answer == dataclasses.asdict(CONDITIONS)
    assert answers["profile"].answer["reference_ms"] == 2.5
    found = answers["measurement"].answer
    assert (found["resolution"], found["n"], loaded) == (9, 7, [b"\x08\x09"])
    assert [answer.failure for answer in answers.values()] == [None] * 3


def test_a_board_with_litert_alone_measures(tmp_path):
    """``mixnas[agent,litert]`` brings neither torch nor ONNX nor ONNX Runtime."""
    pytest.importorskip("ai_edge_litert")
    program = program_of(load_network("mixnet_s").at(32), None)
    (tmp_path / MODEL).write_bytes(serialized(program, "tflite", "fp32", 1))
    job_spec = JobSpec(
        "measurement",
        "litert:cpu",
        MeasurementSettings(threads=1, lowered=False),
        Effort(rounds=2, seconds=0.2, warm_seconds=0.05),
        resolution=32,
    )
    given = WorkerInput(job_spec=job_spec, folder=str(tmp_path), seconds=100, memory_bytes=None)
    code = (
        "import json, sys\n"
        "for name in ('torch', 'onnx', 'onnxruntime', 'optuna', 'pandas', 'matplotlib'):\n"
        "    sys.modules[name] = None\n"  # as if they were not installed
        "from nas.latency.agent import worker\n"
        "from nas.latency.agent.messages import WORKER_INPUT\n"
        "given = WORKER_INPUT.validate_json(sys.stdin.read())\n"
        "print(json.dumps(worker._answer(given.job_spec)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=WORKER_INPUT.dump_json(given),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    answer = json.loads(done.stdout)
    assert (answer["device"], answer["resolution"]) == ("litert:cpu", 32)
    assert 0 < answer["median_ms"] < 1000
