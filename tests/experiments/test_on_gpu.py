"""The program for GPUs runs on the CPU, too, with little work."""

import json
import subprocess
import sys

import pytest
import torch

from tests.conftest import ROOT


@pytest.mark.slow
def test_every_part_gives_its_figures_on_the_cpu(tmp_path):
    words = [
        sys.executable,
        "-m",
        "experiments.benchmarks.on_gpu",
        "--tiny",
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    parts = json.loads((tmp_path / "on_gpu.json").read_text())["parts"]
    assert set(parts) == {"tests", "training", "supernet", "latency", "search", "kills"}
    (row,) = parts["tests"]["rows"]
    assert row["failures"] == ""
    assert row["skipped" if not torch.cuda.is_available() else "passed"] > 5
    (row,) = parts["supernet"]["rows"]
    assert min(row["steps/s"], row["img/s"], row["seconds a score"]) > 0
    found = {row["phase"]: row["seconds"] for row in parts["search"]["rows"]}
    assert found["trials"] > 0
    assert list(found)[-1] == "report"
    assert all(row["mixnas img/s"] > 0 for row in parts["training"]["rows"])
    assert all(row["trained ms"] > 0 for row in parts["latency"]["rows"])
    (row,) = parts["kills"]["rows"]
    assert row["equal"] == row["tensors"] > 100
    assert "mobilenet_v2" in done.stdout


def test_rows_that_came_before_an_error_are_kept(monkeypatch, tmp_path):
    from experiments.benchmarks import on_gpu

    program = (
        "import json, sys\nprint(json.dumps({'n': 1}), flush=True)\nsys.exit('out of memory')\n"
    )
    (tmp_path / "part.py").write_text(program)
    real = subprocess.Popen

    def start(words, **options):
        return real([sys.executable, str(tmp_path / "part.py")], **options)

    monkeypatch.setattr(on_gpu.subprocess, "Popen", start)
    found = on_gpu.run_part("training", tiny=True)
    assert found["rows"] == [{"n": 1}]
    assert found["error"] == "out of memory\n"
