import sys
from types import SimpleNamespace

import pytest

ray = pytest.importorskip("ray")

from nas.errors import MixnasError  # noqa: E402
from nas.executors import ray_cluster  # noqa: E402
from nas.latency import LocalDevice, MeasurementSettings  # noqa: E402
from nas.spec import load_network  # noqa: E402
from nas.testing.fakes import InstantDevice  # noqa: E402

SETTINGS = MeasurementSettings(threads=1)


def test_an_address_where_nothing_listens_is_told_with_what_to_do():
    with pytest.raises(MixnasError, match=r"there is no Ray cluster at '127.0.0.1:1' .*ray start"):
        ray_cluster.connect("127.0.0.1:1")


def test_whoever_names_a_cluster_is_told_of_its_token(monkeypatch):
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with pytest.raises(MixnasError, match="RAY_AUTH_MODE=token and RAY_AUTH_TOKEN here, too"):
        ray_cluster.connect("127.0.0.1:1")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    with pytest.raises(MixnasError, match=r"HOST:PORT$"):
        ray_cluster.connect("127.0.0.1:1")


def test_the_node_with_the_device_measures_if_there_is_one(monkeypatch):
    resources = {"CPU": 4.0}
    monkeypatch.setattr(ray, "cluster_resources", lambda: resources)
    assert ray_cluster.cluster_cpus() == 4
    assert isinstance(ray_cluster.cluster_device("onnxruntime:cpu", SETTINGS), LocalDevice)
    resources.clear()
    assert ray_cluster.cluster_cpus() == 1


@pytest.mark.parametrize(
    ("workers", "threads", "usable", "cpus"),
    [(4, 2, 16, 8), (8, 1, 2, 2), (8, 2, 1, 2), (1024, 1, 4, 4)],
)
def test_a_local_cluster_has_the_cores_that_this_process_may_use(
    monkeypatch, workers, threads, usable, cpus
):
    monkeypatch.setattr(ray_cluster, "usable_cores", lambda: usable)
    assert ray_cluster.local_cpus(workers, threads) == cpus


def test_a_local_cluster_has_the_memory_that_this_process_may_use(monkeypatch):
    started = {}
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **options: started.update(options))
    monkeypatch.setattr(ray_cluster, "usable_memory", lambda: 10 << 30)
    ray_cluster.connect("local", 3)
    assert started["num_cpus"] == 3
    assert started["_memory"] == 9 << 30
    assert started["object_store_memory"] == 1 << 30
    monkeypatch.setattr(ray_cluster, "usable_memory", lambda: 200 << 20)
    ray_cluster.connect("local", 1)
    assert started["object_store_memory"] == 80 << 20  # Ray refuses less
    ray_cluster.connect("auto", 3)
    assert started["num_cpus"] is None
    assert started["_memory"] is None
    assert started["object_store_memory"] is None


def test_what_the_users_modules_need_travels_to_the_nodes(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert ray_cluster._import_path() == str(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "/a:/b")
    assert ray_cluster._import_path() == f"{tmp_path}:/a:/b"


class Here:
    """Ray's actor, in this process."""

    def __init__(self, host):
        self.call = SimpleNamespace(remote=lambda what, *words: host.call(what, *words))


@pytest.fixture
def device(monkeypatch):
    """A device of a cluster whose node is this process."""
    made = []

    class Remote:
        def options(self, **options):
            made.append(options)
            return self

        def remote(self, name, settings):
            return Here(ray_cluster._DeviceHost(name, settings))

    monkeypatch.setattr(ray, "remote", lambda _: Remote())
    monkeypatch.setattr(ray, "get", lambda answer: answer)
    found = ray_cluster.RayDevice("nas.testing.fakes:InstantDevice", SETTINGS)
    assert made[0]["resources"] == {"mixnas_device": 0.01}
    return found


def test_a_device_of_a_cluster_answers_as_the_device_itself(device):
    spec = load_network("mixnet_s")
    assert device.conditions == InstantDevice.conditions
    assert device.measure(spec) == InstantDevice().measure(spec)
    assert device.profile == InstantDevice().profile
    assert device.form_choice() == device.profile
    assert not device.local


def test_errors_of_the_node_are_ours(device, monkeypatch):
    def broken(*_):
        raise MixnasError("the board is gone")

    monkeypatch.setattr(InstantDevice, "measure", broken)
    with pytest.raises(MixnasError, match="the board is gone"):
        device.measure(load_network("mixnet_s"))

    def lost(_):
        raise ray.exceptions.RayActorError

    monkeypatch.setattr(ray, "get", lost)
    with pytest.raises(MixnasError, match=r"the node with the resource 'mixnas_device' cannot"):
        device.measure(load_network("mixnet_s"))


def test_ray_is_imported_by_nobody_who_does_not_need_it():
    import subprocess

    code = "import sys, nas.search.loop; print('ray' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout.strip() == "False", found.stderr
