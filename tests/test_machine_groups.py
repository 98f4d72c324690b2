"""Limits of control groups, read from files as Linux has them."""

import pytest

from nas.machine import cpu_quota, memory_limit, throttled_seconds


@pytest.fixture
def system(tmp_path):
    """Write the files of a system; return the folder that holds them."""

    def make(groups, **files):
        process = tmp_path / "proc" / "self"
        process.mkdir(parents=True, exist_ok=True)
        (process / "cgroup").write_text(groups)
        for name, content in files.items():
            path = tmp_path / "sys" / "fs" / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return tmp_path

    return make


def test_version_2(system):
    files = {
        "cpu.max": "max 100000\n",
        "job/cpu.max": "350000 100000\n",
        "job/step/cpu.max": "max 100000\n",
        "job/memory.max": "8000000000\n",
        "job/step/memory.max": "max\n",
        "job/cpu.stat": "usage_usec 5000000\nnr_throttled 4\nthrottled_usec 250000\n",
        "job/step/cpu.stat": "usage_usec 5000000\nnr_throttled 3\nthrottled_usec 500000\n",
        "other/cpu.max": "10000 100000\n",
    }
    root = system("0::/job/step\n", **files)
    assert cpu_quota(root) == 3.5
    assert memory_limit(root) == 8_000_000_000
    assert throttled_seconds(root) == 0.75


def test_the_smallest_limit_of_the_groups_holds(system):
    files = {"a/cpu.max": "100000 50000", "a/b/cpu.max": "400000 100000", "a/memory.max": "7"}
    root = system("0::/a/b\n", **files, **{"a/b/memory.max": "5"})
    assert (cpu_quota(root), memory_limit(root)) == (2.0, 5)


@pytest.mark.parametrize("mount", ["cpu,cpuacct", "cpu"])
def test_version_1(system, mount):
    groups = (
        "5:cpuset:/x\n4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n1:name=systemd:/y\n0::/\n"
    )
    files = {
        f"{mount}/docker/abc/cpu.cfs_quota_us": "150000\n",
        f"{mount}/docker/abc/cpu.cfs_period_us": "100000\n",
        f"{mount}/cpu.cfs_quota_us": "-1\n",
        f"{mount}/cpu.cfs_period_us": "100000\n",
        f"{mount}/docker/abc/cpu.stat": "nr_periods 9\nnr_throttled 2\nthrottled_time 3000000000\n",
        "memory/docker/abc/memory.limit_in_bytes": "512000000\n",
        "memory/memory.limit_in_bytes": "9223372036854771712\n",
        "cpuset/x/cpu.cfs_quota_us": "1000\n",
        "cpuset/x/cpu.cfs_period_us": "1000\n",
    }
    root = system(groups, **files)
    assert (cpu_quota(root), memory_limit(root)) == (1.5, 512_000_000)
    assert throttled_seconds(root) == 3.0


def test_in_a_container_the_own_group_may_be_at_the_top(system):
    root = system("0::/docker/of-the-host\n", **{"cpu.max": "50000 100000", "memory.max": "9"})
    assert (cpu_quota(root), memory_limit(root)) == (0.5, 9)


@pytest.mark.parametrize("content", ["", "max", "a b", "100000", "1 2 3", "-1 100000"])
def test_what_is_no_limit(system, content):
    root = system("nonsense\n0::/\n", **{"cpu.max": content, "memory.max": "max"})
    assert (cpu_quota(root), memory_limit(root), throttled_seconds(root)) == (None, None, 0.0)


def test_other_systems_have_no_groups(tmp_path):
    assert (cpu_quota(tmp_path), memory_limit(tmp_path)) == (None, None)
    assert throttled_seconds(tmp_path) == 0.0
