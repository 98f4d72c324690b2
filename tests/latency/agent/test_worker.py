"""The process that runs a job."""

import json
import subprocess
import sys

import pytest

from nas.errors import MixnasError
from nas.latency.agent import worker
from nas.latency.agent.messages import WORKER_INPUT, JobSpec, WorkerInput
from nas.latency.conditions import MeasurementSettings


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


def test_a_device_that_runs_no_onnx_models_cannot_measure():
    settings = MeasurementSettings(threads=1, lowered=False)
    result = worker._result(JobSpec("measurement", "torch:cpu", settings))
    assert result.failure == "'torch:cpu' does not run ONNX models"


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
