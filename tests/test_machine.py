"""Cores, load and the lock of this machine."""

import os
import subprocess
import sys
from collections import namedtuple

import psutil
import pytest

from nas import machine as machine_module
from nas.machine import (
    MachineLoad,
    accelerator_identifier,
    bind_gpu,
    machine_for,
    name_here,
    other_cores,
    pinned,
    thread_remarks,
    usable_cores,
    usable_memory,
)

Times = namedtuple("Times", "user idle iowait steal guest", defaults=(0.0,) * 5)
Clock = namedtuple("Clock", "current max")
needs_affinity = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="this system cannot pin threads"
)


@pytest.fixture
def four_cores(monkeypatch):
    monkeypatch.setattr(machine_module, "_affinity", lambda: [0, 2, 3, 5])


@pytest.fixture
def load(monkeypatch):
    """Return the remarks for the seconds that were spent since the observation began."""

    def remarks(own=0.0, clock=None, throttled=0.0, **spent):
        monkeypatch.setattr(machine_module, "throttled_seconds", lambda: 7.0)
        monkeypatch.setattr(psutil, "cpu_count", lambda: 4)
        monkeypatch.setattr(psutil, "cpu_freq", lambda: clock)
        monkeypatch.setattr(psutil, "cpu_times", lambda: Times(100.0, 200.0))
        monkeypatch.setattr(MachineLoad, "_process_seconds", staticmethod(lambda: 50.0))
        observed = MachineLoad()
        now = Times(100.0, 200.0)
        now = now._replace(**{name: getattr(now, name) + s for name, s in spent.items()})
        monkeypatch.setattr(psutil, "cpu_times", lambda: now)
        monkeypatch.setattr(MachineLoad, "_process_seconds", staticmethod(lambda: 50.0 + own))
        monkeypatch.setattr(machine_module, "throttled_seconds", lambda: 7.0 + throttled)
        return observed.remarks()

    return remarks


def test_other_processes_are_reported_above_a_quarter_of_a_core(load):
    # 40 core seconds; a quarter of one of four cores is 2.5 of them.
    assert load(own=10.0, user=12.4, idle=27.6) == []
    assert load(own=10.0, user=12.8, idle=27.2) == ["other processes used 7% of the processor"]
    assert load(own=10.0, user=30.0, idle=6.0, iowait=4.0) == [
        "other processes used 50% of the processor"
    ]


def test_time_of_virtual_machines_is_counted_once(load):
    assert load(user=20.0, idle=20.0, guest=20.0) == ["other processes used 50% of the processor"]


def test_stolen_time_is_reported(load):
    assert load(own=10.0, user=10.0, idle=28.0, steal=2.0) == []
    assert load(own=10.0, user=10.0, idle=26.0, steal=4.0) == ["the host took 10% of the processor"]


def test_a_low_clock_is_reported(load):
    assert load(idle=40.0, clock=Clock(1600.0, 2000.0)) == []
    assert load(idle=40.0, clock=Clock(1599.0, 2000.0)) == ["the clock ran at 1599 of 2000 MHz"]
    assert load(idle=40.0, clock=Clock(1600.0, 0.0)) == []  # the maximum is unknown


def test_other_cores_are_all_but_the_first(four_cores):
    assert usable_cores() == 4
    # ONNX Runtime counts cores from 1.
    assert other_cores(3) == "3;4"
    assert other_cores(4) == "3;4;6"
    assert other_cores(1) == ""
    assert other_cores(5) == ""


def test_threads_are_pinned_to_the_first_cores(four_cores, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cores: calls.append(cores))
    for threads, alone in ((2, True), (2, False), (4, False), (5, False)):
        with pinned(threads, alone):
            calls.append("block")
    everything = {0, 2, 3, 5}
    assert calls == [
        *({0}, "block", everything),
        *({0, 2}, "block", everything),
        *(everything, "block", everything),
        "block",  # more threads than cores: nothing is pinned
    ]


@needs_affinity
def test_the_calling_thread_is_pinned_and_released():
    before = os.sched_getaffinity(0)
    with pinned(usable_cores(), alone=True):
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before
    with pytest.raises(KeyError), pinned(1, alone=True):
        raise KeyError
    assert os.sched_getaffinity(0) == before


WAIT = """
import sys, time
from nas.machine import machine_for
with machine_for(sys.argv[1], sys.argv[2]):
    print("in", flush=True)
    time.sleep(float(sys.argv[3]))
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Start a process that uses a device of this machine for some seconds."""
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    started = []

    def start(use, seconds, device="cpu", **environment):
        words = [sys.executable, "-c", WAIT, use, device, str(seconds)]
        environment = {**os.environ, **environment}
        started.append(subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_process_that_measures_has_the_machine_to_itself(start, capfd):
    trains = [start("training", 60), start("training", 60)]
    assert [process.stdout.readline() for process in trains] == ["in\n", "in\n"]
    measures = start("measuring", 0)
    with pytest.raises(subprocess.TimeoutExpired):
        measures.wait(3)
    for process in trains:
        process.kill()  # the lock of a killed process is released
        process.wait()
    assert measures.stdout.readline() == "in\n"
    assert measures.wait(10) == 0
    assert "waiting: another mixnas process is measuring or training" in capfd.readouterr().err
    with machine_for("measuring"):
        pass


@pytest.mark.parametrize(
    ("holder", "other", "together"),
    [
        (("training", "cuda:1"), ("training", "cuda:1"), True),
        (("training", "cuda:1"), ("training", "cpu"), True),
        (("training", "cuda:1"), ("measuring", "cpu"), False),
        (("training", "cuda:1"), ("measuring", "cuda:1"), False),
        (("training", "cuda:1"), ("measuring", "cuda:0"), True),
        (("training", "cpu"), ("measuring", "cuda:0"), False),
        (("measuring", "cuda"), ("training", "cuda:0"), False),
        (("measuring", "cpu"), ("training", "cuda:0"), False),
    ],
)
def test_a_device_is_not_trained_on_while_it_is_measured(start, holder, other, together):
    first = start(holder[0], 60, holder[1])
    assert first.stdout.readline() == "in\n"
    second = start(other[0], 0, other[1])
    if together:
        assert second.wait(30) == 0
        return
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(2)
    first.kill()
    assert second.wait(30) == 0


def test_a_bound_process_knows_its_gpu_as_the_only_one(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("MIXNAS_GPU", raising=False)
    assert accelerator_identifier("cuda") == accelerator_identifier("cuda:0") == "cuda-0"
    assert accelerator_identifier("cuda:3") == "cuda-3"
    assert accelerator_identifier("mps") == "mps-0"
    assert name_here("cuda:3") == "cuda:3"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, GPU-8a2f")
    assert accelerator_identifier("cuda") == "cuda-4"
    assert accelerator_identifier("cuda:1") == "cuda-GPU-8a2f"
    monkeypatch.setenv("MIXNAS_GPU", "")
    bind_gpu("GPU-8a2f")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-8a2f"
    assert (name_here("cuda:1"), name_here("cpu"), name_here("mps")) == ("cuda", "cpu", "mps")
    assert accelerator_identifier(name_here("cuda:1")) == "cuda-GPU-8a2f"


# -- what a process may use ----------------------------------------------------------------------


@pytest.fixture
def allowed(monkeypatch):
    """Let this process have so many cores, a quota and an allotment; return its cores."""

    def cores(bound, quota=None, allotted=None):
        monkeypatch.setattr(machine_module, "_affinity", lambda: list(range(bound)))
        monkeypatch.setattr(machine_module, "cpu_quota", lambda: quota)
        monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
        if allotted is not None:
            monkeypatch.setenv("SLURM_CPUS_PER_TASK", allotted)
        return usable_cores()

    return cores


@pytest.mark.parametrize(
    ("bound", "quota", "allotted", "cores"),
    [
        (8, None, None, 8),
        (1, None, None, 1),
        (8, 2.0, None, 2),
        (8, 2.9, None, 2),
        (8, 0.5, None, 1),
        (2, 16.0, None, 2),
        (8, None, "4", 4),
        (8, 3.0, "4", 3),
        (8, None, "", 8),
        (8, None, "4(x2)", 8),
        (8, None, "0", 1),
    ],
)
def test_cores_that_a_process_may_use(allowed, bound, quota, allotted, cores):
    assert allowed(bound, quota, allotted) == cores


def test_without_affinity_the_cores_are_those_of_the_machine(allowed, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert allowed(0) == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert allowed(0) == 1


@needs_affinity
def test_a_process_that_is_bound_to_one_core_uses_one():
    core = min(os.sched_getaffinity(0))
    code = (
        f"import os; os.sched_setaffinity(0, {{{core}}})\n"
        "from nas.latency import LocalDevice, MeasurementSettings\n"
        "print(LocalDevice('onnxruntime:cpu', MeasurementSettings()).conditions.threads)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout == "1\n", found.stderr


def test_more_threads_than_cores_are_reported(allowed):
    allowed(8, 2.0)
    assert thread_remarks(2) == []
    assert thread_remarks(3) == ["3 threads shared the 2 cores that this process may use"]
    allowed(8, 1.0)
    assert thread_remarks(2) == ["2 threads shared the only core that this process may use"]


def test_memory_is_that_of_the_machine_or_the_container(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: namedtuple("Memory", "total")(1000))
    for limit, usable in ((None, 1000), (400, 400), (2**63, 1000)):
        monkeypatch.setattr(machine_module, "memory_limit", lambda limit=limit: limit)
        assert usable_memory() == usable


def test_a_quota_that_stops_the_process_is_reported(load):
    # 40 core seconds on four cores are ten seconds.
    assert load(idle=40.0, throttled=0.09) == []
    assert load(idle=40.0, throttled=1.2) == [
        "a CPU quota stopped this process for 12% of the time"
    ]
