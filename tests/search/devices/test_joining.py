"""A device that comes later: scores stay, only latencies are measured."""

import dataclasses
import io

import pandas as pd
import pytest
import yaml
from rich.console import Console

from analysis.read.runs import GUESSED, SCALE
from nas.errors import MixnasError, UnrunnableError
from nas.latency.profile import DeviceProfile
from nas.search.config import SearchConfig, resumed_config
from nas.search.directory import RunDirectory
from nas.search.loop import Search
from nas.testing.fakes import InstantDevice, SecondDevice
from tests.search.conftest import Here
from tests.searching import write_space

FIRST, SECOND = InstantDevice.name, SecondDevice.name


class Choosy(SecondDevice):
    """Runs only networks with few activations."""

    name = f"{__name__}:Choosy"
    most = 1.0
    measured = 0

    def measure(self, spec, effort=None):
        Choosy.measured += 1
        found = super().measure(spec, effort)
        if found.steady_ms > self.most:
            raise UnrunnableError("it does not fit")
        return found


def console():
    return Console(file=io.StringIO(), force_terminal=False)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of six trials on one device that has come to its end; it has a limit on latency."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("nas.search.loop.open_executor", Here)
    write_space(tmp_path)
    config = SearchConfig(
        space="small.yaml",
        estimator="nas.testing.fakes:Instant",
        device=FIRST,
        sampler="random",
        references=["mixnet_s"],
        limits={"latency": "9s"},
        trials=6,
        workers=1,
        threads=1,
    )
    search = Search.prepare(config, tmp_path / "run", console())
    assert search.run(console())
    del search
    return tmp_path / "run"


def resume(run, device=SECOND, said=None, **given):
    directory = RunDirectory.open(run)
    given = {"device": device, **given}
    config = resumed_config(directory.read_config(), given, run, trusted=True)
    said = said or console()
    search = Search.resume(directory, config, said)
    assert search.run(said)
    return search


def no_training(monkeypatch):
    def refuse(*_):
        raise AssertionError("nothing is to be trained")

    monkeypatch.setattr("nas.search.queue.TrialRunner.begin", refuse)
    monkeypatch.setattr("nas.search.components.prepare_estimator", refuse)
    monkeypatch.setattr("nas.search.loop.RetrainingRun.run", refuse)


def test_a_device_joins_without_any_training(run, monkeypatch):
    before = pd.read_csv(run / "trials.csv")
    best = (run / "best.yaml").read_text()
    no_training(monkeypatch)
    said = console()
    resume(run, said=said)
    assert f"{SECOND} joins the run: the latency of 6 networks is measured" in said.file.getvalue()
    after = pd.read_csv(run / "trials.csv")
    pd.testing.assert_frame_equal(after[list(before.columns)], before)
    assert (after[f"latency_ms@{FIRST}"] == before["latency_ms"]).all()
    assert (after[f"latency_ms@{SECOND}"] != before["latency_ms"]).all()
    assert after[f"within_limits@{SECOND}"].all()
    assert (run / "best.yaml").read_text() == best
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["device"] == [FIRST, SECOND]
    assert config["limits"] == {f"latency@{FIRST}": "9s"}
    references = pd.read_csv(run / "references.csv")
    assert references[f"latency_ms@{SECOND}"].notna().all()
    assert len(references) == 1
    conditions = yaml.safe_load((run / "conditions.yaml").read_text())
    assert conditions["scores"] == {"estimator": "Instant"}
    assert conditions["devices"][SECOND]["latencies"]["device"] == SECOND


def test_a_device_joins_where_the_supernet_is_in_the_run_directory_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("nas.search.loop.open_executor", Here)
    monkeypatch.setattr("nas.accuracy.supernet.paths.SCANNED", 60)
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path / "cache"))
    write_space(tmp_path)
    config = SearchConfig(
        space="small.yaml",
        estimator="supernet:images=800,resolution=16,validation=100,calibration=128",
        device=FIRST,
        sampler="random",
        references=[],
        trials=2,
        confirm=0,
        workers=1,
        threads=1,
    )
    search = Search.prepare(config, tmp_path / "run", console())
    assert search.run(console())
    del search
    kept = (tmp_path / "run" / "supernet.safetensors").read_bytes()

    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path / "another-cache"))  # nothing is trained anew
    resume(tmp_path / "run")
    assert (tmp_path / "run" / "supernet.safetensors").read_bytes() == kept
    table = pd.read_csv(tmp_path / "run" / "trials.csv")
    assert table[f"latency_ms@{SECOND}"].notna().all()

    def train(*_):
        raise AssertionError("the supernet is trained again")

    monkeypatch.setattr("nas.accuracy.supernet.training.SupernetTraining.run", train)
    resume(tmp_path / "run", trials=3)  # which are scored with the weights of the run
    table = pd.read_csv(tmp_path / "run" / "trials.csv")
    assert table["score"].notna().sum() == 3

    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path / "a-third-cache"))
    other = bytes(reversed(kept))
    (tmp_path / "run" / "supernet.safetensors").write_bytes(other)  # of another supernet
    with pytest.raises(AssertionError, match="trained again"):
        resume(tmp_path / "run", trials=4)


def test_what_guessing_would_reach_stays_known_where_the_images_are_gone(run, monkeypatch):
    path = run / "conditions.yaml"
    recorded = yaml.safe_load(path.read_text())
    recorded[SCALE][GUESSED] = {"right": 20, "images": 40}
    path.write_text(yaml.safe_dump(recorded))
    no_training(monkeypatch)
    resume(run)
    assert yaml.safe_load(path.read_text())[SCALE] == recorded[SCALE]


def test_the_sampler_goes_on_for_both_devices(run):
    resume(run, trials=9)
    table = pd.read_csv(run / "trials.csv")
    assert list(table["state"]) == ["complete"] * 9
    assert table[f"latency_ms@{SECOND}"].notna().all()
    study = resume(run, device=[FIRST, SECOND], trials=10).runner.study
    assert len(study.optuna_study.directions) == 3
    assert all(len(trial.values) == 3 for trial in study.optuna_study.get_trials())
    assert study.completed() == 10


def test_what_was_measured_when_it_was_interrupted_is_kept(run, monkeypatch):
    monkeypatch.setattr(Choosy, "most", 1e9)
    monkeypatch.setattr(Choosy, "measured", 0)
    confirm = "nas.study.SearchStudy.confirm"
    kept = []

    def interrupt(study, number, latency, device):
        kept.append(number)
        if len(kept) == 4:
            raise KeyboardInterrupt
        return original(study, number, latency, device)

    from nas.study import SearchStudy

    original = SearchStudy.confirm
    monkeypatch.setattr(confirm, interrupt)
    with pytest.raises(KeyboardInterrupt):
        resume(run, device=Choosy.name)
    assert RunDirectory.open(run).read_config().devices == [FIRST]
    monkeypatch.setattr(confirm, original)
    monkeypatch.setattr(Choosy, "measured", 0)
    resume(run, device=Choosy.name)
    assert Choosy.measured == 3 + 1  # the rest of the trials, and the reference
    assert pd.read_csv(run / "trials.csv")[f"latency_ms@{Choosy.name}"].notna().all()


def test_a_second_attempt_measures_under_the_same_conditions(run, monkeypatch):
    from nas.study import SearchStudy

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SearchStudy, "confirm", interrupt)
        with pytest.raises(KeyboardInterrupt):
            resume(run)
    examined = property(lambda self: DeviceProfile(self.conditions, 2.0, ()))
    monkeypatch.setattr(SecondDevice, "profile", examined)
    with pytest.raises(MixnasError, match=r"cannot be compared .*profile changed"):
        resume(run)


def test_other_settings_of_the_retraining_retrain(run, monkeypatch):
    retrained = []
    monkeypatch.setattr(
        "nas.search.loop.RetrainingRun.run", lambda *_: retrained.append(True) or []
    )
    resume(run, retrain="images=64,resolution=8")
    assert retrained


def test_a_network_that_the_device_cannot_run_keeps_its_score(run, monkeypatch):
    table = pd.read_csv(run / "trials.csv")
    resume(run)
    times = pd.read_csv(run / "trials.csv")[f"latency_ms@{SECOND}"]
    monkeypatch.setattr(Choosy, "most", float(times.median()))
    said = console()
    search = resume(run, device=Choosy.name, said=said)
    assert "cannot run 3 networks, which have no latency there: it does not fit" in (
        said.file.getvalue()
    )
    after = pd.read_csv(run / "trials.csv")
    assert after[f"latency_ms@{Choosy.name}"].isna().sum() == 3
    assert after[f"within_limits@{Choosy.name}"].sum() == 3
    assert (after["score"] == table["score"]).all()
    values = [trial.values[3] for trial in search.runner.study.optuna_study.get_trials()]
    assert values.count(10 * after[f"latency_ms@{Choosy.name}"].max()) == 3


def test_a_device_that_runs_nothing_does_not_join(run, monkeypatch):
    monkeypatch.setattr(Choosy, "most", 0.0)
    with pytest.raises(MixnasError, match="runs none of the run's networks: it does not fit"):
        resume(run, device=Choosy.name)
    assert RunDirectory.open(run).read_config().devices == [FIRST]


def test_its_limit_is_about_its_own_front(run):
    times = sorted(SecondDevice().measure(t.spec).steady_ms for t in opened(run))
    between = f"{(times[2] + times[3]) / 2}ms"
    front = pd.read_csv(run / "pareto.csv")
    resume(run, limits={f"latency@{SECOND}": between})
    table = pd.read_csv(run / "trials.csv")
    assert table["within_limits"].all()
    assert table[f"within_limits@{SECOND}"].sum() == 3
    assert (pd.read_csv(run / "pareto.csv")["number"] == front["number"]).all()
    second = pd.read_csv(run / "pareto@nas.testing.fakes-SecondDevice.csv")
    assert second["latency_ms"].max() <= float(between.removesuffix("ms"))
    assert (run / "best@nas.testing.fakes-SecondDevice.yaml").is_file()
    assert (run / "best@all.yaml").is_file()
    report = (run / "trials.csv").read_text()
    assert report


def opened(run):
    """The networks of a run's trials."""
    from types import SimpleNamespace

    from nas.space import load_space
    from nas.space.rows import genotype_of_row

    space = load_space(str(run / "space.yaml"))
    rows = pd.read_csv(run / "trials.csv").to_dict("records")
    return [SimpleNamespace(spec=space.decode(genotype_of_row(row, space))) for row in rows]


def test_more_devices_may_join_one_after_the_other(run):
    resume(run)
    again = dataclasses.replace(RunDirectory.open(run).read_config())
    assert again.study == "search-2"
    resume(run, device=SECOND)  # repeated, nothing joins
    assert RunDirectory.open(run).read_config().study == "search-2"
