import dataclasses
import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from nas.errors import MixnasError, OtherVersionError
from nas.executors.local import LocalExecutor
from nas.samplers.random import RandomSampler
from nas.search import components
from nas.search.components import open_components, open_executor
from nas.search.config import SearchConfig
from nas.search.placements import SearchPlacements
from nas.space import load_space, space_from_yaml
from nas.testing.fakes import Instant
from nas.train.settings import ON_THE_CPU
from tests.searching import SPACE, write_space

HERE = SearchPlacements(ON_THE_CPU, ON_THE_CPU, gpus=None, cluster=False)
CONFIG = SearchConfig(
    space="small",
    limits={"madds": "3M", "latency": "8ms"},
    estimator="nas.testing.fakes:Instant",
    device="nas.testing.fakes:InstantDevice",
    sampler="random",
    references=["mixnet_s"],
    workers=3,
    threads=2,
    trial_timeout=7.0,
)


@pytest.fixture
def space(tmp_path):
    return load_space(str(write_space(tmp_path)))


def test_everything_that_a_configuration_names_is_opened(space):
    found = open_components(CONFIG, space)
    assert found.space.num_classes == found.references["mixnet_s"].num_classes == 10
    assert [str(limit) for limit in found.limits] == ["madds <= 3M", "latency <= 8ms"]
    assert [str(limit) for limit in found.devices[0].limits] == ["latency <= 8ms"]
    assert isinstance(found.estimator, Instant)
    assert found.retraining is None
    devices, sampler = found.prepare(CONFIG, Console(file=io.StringIO()))
    assert [each.predictor for each in devices] == [None]
    assert isinstance(sampler, RandomSampler)


def test_latency_is_measured_with_the_pauses_of_the_configuration(space):
    asked = {"interval": 200.0, "device_threads": 3, "device_batch": 4}
    found = open_components(dataclasses.replace(CONFIG, **asked), space)
    conditions = found.devices[0].device.conditions
    assert (conditions.interval_ms, conditions.threads, conditions.batch) == (200.0, 3, 4)


def test_networks_are_retrained_if_somebody_asks(space):
    found = open_components(dataclasses.replace(CONFIG, retrain="images=640"), space)
    assert found.retraining is not None
    assert found.retraining.short.images == 640


def test_a_predictor_that_is_demanded_must_be_there(space):
    config = dataclasses.replace(CONFIG, latency="predicted")
    found = open_components(config, space)
    with pytest.raises(MixnasError, match="there is no latency predictor for 'small'"):
        found.prepare(config, Console(file=io.StringIO()))


def test_a_predictor_of_another_version_is_not_passed_over_in_silence(space, monkeypatch):
    def load(*words):
        raise OtherVersionError("the predictor was made by another version; make it again: COMMAND")

    monkeypatch.setattr(components, "load_predictor", load)
    found = open_components(CONFIG, space)
    said = io.StringIO()
    devices, _ = found.prepare(CONFIG, Console(file=said))
    assert devices[0].predictor is None
    assert said.getvalue().splitlines()[-1] == (
        "note: latencies are measured, not predicted: the predictor was made by another version; "
        "make it again: COMMAND"
    )
    demanded = dataclasses.replace(CONFIG, latency="predicted")
    with pytest.raises(OtherVersionError):
        open_components(demanded, space).prepare(demanded, Console(file=io.StringIO()))


def test_spaces_of_gray_images_are_refused(space):
    gray = space_from_yaml(SPACE.replace("{resolution: 32}", "{resolution: 32, channels: 1}"))
    with pytest.raises(
        MixnasError, match=r"takes images of \(1,\) channels, but the data set has 3"
    ):
        open_components(CONFIG, gray)


def test_rewards_need_accuracies(space):
    config = dataclasses.replace(
        CONFIG, estimator="zero-cost:params", objective="mnasnet", target="8ms"
    )
    with pytest.raises(MixnasError, match="combines accuracies between 0 and 1, which the"):
        open_components(config, space)


def test_trials_run_in_worker_processes_unless_a_cluster_is_named(tmp_path):
    executor = open_executor(CONFIG, Instant(), HERE, tmp_path)
    assert isinstance(executor, LocalExecutor)
    resources = executor.resources
    assert (resources.workers, resources.threads, resources.seconds) == (3, 2, 7.0)


@pytest.mark.slow
def test_runs_of_the_same_name_have_states_of_their_own_on_a_cluster(tmp_path):
    config = dataclasses.replace(CONFIG, ray="local")
    one, two, again = (
        open_executor(config, Instant(), HERE, tmp_path / name / "run") for name in ("a", "b", "a")
    )
    assert one._folder == again._folder != two._folder
    elsewhere = dataclasses.replace(config, study="../../../outside/x")
    folder = open_executor(elsewhere, Instant(), HERE, tmp_path)._folder
    assert folder.parent == one._folder.parent  # what is in it is unpickled
    assert folder.name.startswith(".._.._.._outside_x-")


def test_images_per_class_reach_everything_that_trains(space):
    config = dataclasses.replace(
        CONFIG, estimator="short", images_per_class=10, retrain="images=640"
    )
    found = open_components(config, space)
    assert found.estimator.shown.source().count("train") == 100
    assert found.retraining.short.shown.source().count("train") == 100


def test_what_was_chosen_is_recorded(space):
    config = dataclasses.replace(CONFIG, estimator="short:images=640")
    found = open_components(config, space)
    assert found.recorded(config) == dataclasses.replace(config, on="cpu")
    assert open_components(CONFIG, space).recorded(CONFIG) == CONFIG
    several = dataclasses.replace(found, estimator=SimpleNamespace(trained_by=4, processes=None))
    assert several.recorded(config).estimator == "short:images=640,processes=4"
    assert several.recorded(CONFIG).estimator == f"{CONFIG.estimator},processes=4"


SECOND = "nas.testing.fakes:SecondDevice"


def test_every_device_has_its_limits_and_its_own_latency(space):
    limits = {"latency": "8ms", f"latency@{SECOND}": "3ms"}
    config = dataclasses.replace(CONFIG, device=[CONFIG.device, SECOND], limits=limits)
    found = open_components(config, space)
    assert [[str(limit) for limit in each.limits] for each in found.devices] == [
        ["latency <= 8ms"],
        [f"latency@{SECOND} <= 3ms"],
    ]
    assert found.objective.directions == ["maximize", "minimize", "minimize"]
    devices, _ = found.prepare(config, Console(file=io.StringIO()))
    assert [each.name for each in devices] == config.devices


def test_devices_are_named_once_and_limits_name_them(space):
    for device in ([], [SECOND, SECOND]):
        with pytest.raises(MixnasError, match="at least one device, and each only once"):
            open_components(dataclasses.replace(CONFIG, device=device), space)
    config = dataclasses.replace(CONFIG, limits={"latency@litert:cpu": "8ms"})
    with pytest.raises(MixnasError, match="litert:cpu is not a device of the search; these are"):
        open_components(config, space)
