"""Searches on Ray, with real clusters on this machine; what is trained is a stand-in."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import optuna
import pytest
import yaml

from tests.conftest import ROOT

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow


def search(tmp_path, estimator, *words):
    command = [
        sys.executable, "-m", "nas.search", "--space", "mixnet", "--estimator",
        f"nas.testing.fakes:{estimator}", "--device", "nas.testing.fakes:InstantDevice",
        "--reference", "none", "--confirm", "1", "--retrain", "images=200",
        "--sampler", "random", "--out", "run", *words,
    ]  # fmt: skip
    return start(tmp_path, command)


def resume(tmp_path, *words):
    return start(
        tmp_path, [sys.executable, "-m", "nas.search", "--resume", "run", "--trust-config", *words]
    )


def start(tmp_path, command):
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "MIXNAS_CACHE": str(tmp_path / "cache"),
    }
    return subprocess.Popen(
        command, cwd=tmp_path, env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finish(process, code=0):
    out, errors = process.communicate(timeout=240)
    assert process.returncode == code, errors
    return out + errors


def trials(tmp_path):
    storage = optuna.storages.RDBStorage(  # which only reads: the search makes the tables
        f"sqlite:///{tmp_path / 'run' / 'study.db'}",
        skip_compatibility_check=True,
        skip_table_creation=True,
    )
    try:
        return optuna.load_study(study_name="search", storage=storage).trials
    finally:
        storage.engine.dispose()  # Python 3.13 warns of databases that are left open


def complete(tmp_path):
    if not (tmp_path / "run" / "study.db").exists():  # SQLite would make it, before the search does
        return []
    with contextlib.suppress(Exception):  # not made yet
        return [t for t in trials(tmp_path) if t.state.name == "COMPLETE"]
    return []


def wait_for(tmp_path, n, process):
    while len(complete(tmp_path)) < n:
        assert process.poll() is None, process.communicate()
        time.sleep(0.3)


def check(tmp_path, n):
    done = complete(tmp_path)
    assert len(done) == n
    assert len({t.user_attrs["spec_hash"] for t in done}) == n
    assert not [t for t in trials(tmp_path) if t.state.name == "RUNNING"]
    return done


def test_bad_networks_fail_with_their_reasons_and_the_search_goes_on(tmp_path):
    words = ("--trials", "8", "--ray", "local", "--workers", "2", "--trial-timeout", "3s")
    finish(search(tmp_path, "Moody", *words))
    check(tmp_path, 8)
    reasons = {t.user_attrs["reason"] for t in trials(tmp_path) if t.state.name == "FAIL"}
    known = ("the training loss is nan", "the worker process died: signal 9", "it took longer than")
    assert reasons
    assert all(reason.startswith(known) for reason in reasons), reasons


def test_an_estimator_with_stages_is_stopped_early_by_asha(tmp_path):
    finish(search(tmp_path, "Staged", "--trials", "10", "--ray", "local", "--workers", "2"))
    done = check(tmp_path, 10)
    assert all(t.user_attrs["estimate"]["accuracy"] > 0.8 for t in done)
    pruned = [t for t in trials(tmp_path) if t.state.name == "PRUNED"]
    assert pruned
    assert all("(ASHA)" in t.user_attrs["reason"] for t in pruned)


def test_what_an_estimator_rests_on_travels_to_the_nodes(tmp_path):
    finish(search(tmp_path, "Portable", "--trials", "3", "--ray", "local", "--workers", "1"))
    check(tmp_path, 3)
    assert (tmp_path / "cache" / "state").read_bytes() == b"weights"


def test_a_run_moves_from_here_to_ray_and_back(tmp_path):
    process = search(tmp_path, "Slow", "--trials", "60", "--workers", "2")
    wait_for(tmp_path, 3, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    here = {t.number: t.values for t in complete(tmp_path)}

    process = resume(tmp_path, "--ray", "local")
    wait_for(tmp_path, len(here) + 4, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    there = {t.number: t.values for t in complete(tmp_path)}
    assert here.items() <= there.items()

    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["ray"] == "local"
    finish(resume(tmp_path, "--ray", "none"))
    after = {t.number: t.values for t in check(tmp_path, 60)}
    assert there.items() <= after.items()


def test_tune_goes_on_with_what_it_ran_when_the_search_was_killed(tmp_path):
    words = ("--trials", "6", "--ray", "local", "--workers", "2")
    process = search(tmp_path, "Sluggish", *words)
    live = []
    while not live:  # Tune has written down what it runs
        assert process.poll() is None, process.communicate()
        live = [p for p in (tmp_path / "cache").rglob("live.json") if p.read_text() != "{}"]
        time.sleep(0.3)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    running = {t.number for t in trials(tmp_path) if t.state.name == "RUNNING"}
    assert running

    finish(resume(tmp_path))
    done = {t.number for t in check(tmp_path, 6)}
    kept = {int(n) for n in running} & done
    assert kept  # the very trials that were running, not new ones of the same networks


def test_a_search_that_ended_goes_on_with_more_trials(tmp_path):
    words = ("--trials", "3", "--ray", "local", "--workers", "1")
    finish(search(tmp_path, "Instant", *words))
    finish(resume(tmp_path, "--trials", "5"))
    check(tmp_path, 5)


def test_a_node_that_dies_in_the_middle_loses_nothing(tmp_path):
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        doomed = cluster.add_node(num_cpus=1)
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        words = ("--trials", "40", "--ray", cluster.address, "--workers", "3")
        process = search(tmp_path, "Slow", *words)
        wait_for(tmp_path, 8, process)
        before = {t.number: t.values for t in complete(tmp_path)}
        cluster.remove_node(doomed, allow_graceful=False)
        told = finish(process)
    finally:
        cluster.shutdown()
    after = {t.number: t.values for t in check(tmp_path, 40)}
    assert before.items() <= after.items()
    assert not [t.user_attrs["reason"] for t in trials(tmp_path) if t.state.name == "FAIL"]
    assert "Traceback" not in told
    assert "did not complete" not in told


def test_latency_is_measured_on_the_node_that_has_the_device(tmp_path):
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=0, resources={"mixnas_device": 1})
        cluster.wait_for_nodes()
        words = ("--trials", "4", "--ray", cluster.address, "--workers", "1")
        finish(search(tmp_path, "Instant", *words))
    finally:
        cluster.shutdown()
    done = check(tmp_path, 4)
    assert all(t.user_attrs["latency"]["device"] == "nas.testing.fakes:InstantDevice" for t in done)


def test_no_cluster_is_told_in_one_line(tmp_path):
    process = search(tmp_path, "Instant", "--trials", "2", "--ray", "127.0.0.1:1")
    message = finish(process, code=2)
    assert "error: there is no Ray cluster at '127.0.0.1:1'" in message
    assert not (tmp_path / "run").exists()
