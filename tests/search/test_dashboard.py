"""A run in optuna-dashboard, by which a search can be followed."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.searching import faked, write_space

pytest.importorskip("optuna_dashboard")
PROGRAM = Path(sys.executable).with_name("optuna-dashboard")


@pytest.fixture
def dashboard(here, fakes, tmp_path):
    """Search, and serve the run as the guide says; yield the address."""
    write_space(tmp_path)
    words = ("--trials", "6", "--sampler", "random", "--limit", "madds=9M", "--out", "run")
    assert here(*faked(*words)).returncode == 0
    shutil.copy(tmp_path / "run" / "study.db", tmp_path / "before.db")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [PROGRAM, "sqlite:///run/study.db", "--port", str(port)],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield _answering(f"http://127.0.0.1:{port}", server)
    finally:
        server.kill()
        server.wait()


def _answering(url, server):
    stop = time.monotonic() + 60
    while time.monotonic() < stop:
        try:
            httpx.get(f"{url}/api/meta", timeout=30, trust_env=False).raise_for_status()
            return url
        except httpx.TransportError:
            assert server.poll() is None, "the dashboard has ended"
            time.sleep(0.2)
    raise AssertionError("the dashboard does not answer")


def test_a_run_is_shown_with_readable_names(dashboard, tmp_path):
    ask = httpx.Client(base_url=dashboard, timeout=60, trust_env=False)
    (summary,) = ask.get("/api/studies").json()["study_summaries"]
    assert (summary["study_name"], summary["directions"]) == ("search", ["maximize", "minimize"])
    study = ask.get(f"/api/studies/{summary['study_id']}").json()
    ask.close()
    assert study["objective_names"] == ["score", "latency (ms)"]
    assert len(study["trials"]) == 6
    for trial in study["trials"]:
        parameters = {each["name"]: each["param_external_value"] for each in trial["params"]}
        assert {"a.depth", "a.channels", "a.expansion", "a.kernels"} >= parameters.keys()
        assert parameters["a.channels"] in {"16", "24"}
        told = {each["key"]: each["value"] for each in trial["user_attrs"]}
        assert told["architecture"].startswith("ir_k")
        assert {"cost", "latency", "estimate", "spec_hash"} <= told.keys()
    assert (tmp_path / "run" / "study.db").read_bytes() == (tmp_path / "before.db").read_bytes()


def test_a_browser_shows_what_a_trial_is_made_of(dashboard, chromium):
    page = chromium.new_page()
    page.goto(f"{dashboard}/dashboard/studies/1/trials")
    for told in ("6 Trials", "a.channels", "architecture ir_k", '"madds"'):
        page.get_by_text(told).first.wait_for(timeout=60_000)
    page.goto(f"{dashboard}/dashboard/studies/1")
    page.get_by_text("latency (ms)").first.wait_for(timeout=60_000)
    page.close()
