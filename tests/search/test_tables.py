import dataclasses

import numpy as np
import pandas as pd
import pytest

from nas.accuracy import Estimate
from nas.cost import count
from nas.errors import MixnasError, UnrunnableError
from nas.limits import parse_limit
from nas.search.retraining import CONFIRMED_COLUMNS
from nas.spec import load_network
from nas.testing.fakes import InstantDevice
from tests.search.conftest import NoisyDevice


def complete(search, scores):
    """Complete a trial for every score; returns the trials."""
    trials = [search.runner.running[number] for number in search.runner.begin(len(scores))]
    for trial, score in zip(trials, scores, strict=True):
        search.runner.end(trial.number, Estimate(score, 0.1, 1.0, 5))
    return trials


def test_the_front_and_the_best_network_are_kept(bench):
    search = bench()
    trials = complete(search, [0.5, 0.9, 0.7])
    search.tables.save()
    front = pd.read_csv(search.directory.path / "pareto.csv")
    assert 1 in set(front["number"])
    faster = [t.number for t in trials if t.latency.steady_ms < trials[1].latency.steady_ms]
    assert set(front["number"]) - {1} <= set(faster)
    best = load_network(str(search.directory.path / "best.yaml"))
    assert best.digest() == trials[1].spec.digest()
    assert best.name == "small_trial_1"
    assert not (search.directory.path / "references.csv").exists()


def test_the_networks_of_the_front_are_kept_as_specs_and_stay(bench):
    search = bench(wanted=8)
    first = complete(search, [0.5, 0.9])
    search.tables.save()
    folder = search.directory.path / "networks"
    kept = {path.stem for path in folder.iterdir()}
    front = pd.read_csv(search.directory.path / "pareto.csv")
    assert kept == {f"trial_{number}" for number in front["number"]}
    spec = load_network(str(folder / "trial_1.yaml"))
    assert spec.digest() == first[1].spec.digest()
    assert spec.name == "small_trial_1"
    complete(search, [0.99, 0.98])
    search.tables.save()
    assert kept <= {path.stem for path in folder.iterdir()}


def test_networks_beyond_a_latency_limit_are_marked_and_not_best(bench):
    search = bench()
    trials = complete(search, [0.5, 0.9])
    slow, fast = sorted(trials, key=lambda t: -t.latency.steady_ms)
    between = (slow.latency.steady_ms + fast.latency.steady_ms) / 2
    search.devices[0].limits.append(parse_limit("latency", f"{between}ms"))
    search.tables.save()
    table = pd.read_csv(search.directory.path / "trials.csv").set_index("number")
    assert table["within_limits"].to_dict() == {slow.number: False, fast.number: True}
    best = load_network(str(search.directory.path / "best.yaml"))
    assert best.digest() == fast.spec.digest()
    search.devices[0].limits.append(parse_limit("latency", "1us"))
    search.tables.save()
    assert not (search.directory.path / "best.yaml").exists()


def test_what_all_scores_suggest_decides(bench, monkeypatch):
    search = bench(wanted=4)
    trials = complete(search, [0.5, 0.9, 0.7, 0.6])
    believed = {0.5: 0.5, 0.9: 0.65, 0.7: 0.7, 0.6: 0.6}
    monkeypatch.setattr(
        "nas.study.beliefs.believed_accuracies",
        lambda encoded, costs, accuracies: np.array([believed[a] for a in accuracies]),
    )
    search.tables.save()
    table = pd.read_csv(search.directory.path / "trials.csv")
    assert table["raw_score"].tolist() == table["accuracy"].tolist() == [0.5, 0.9, 0.7, 0.6]
    assert table["score"].tolist() == [0.5, 0.65, 0.7, 0.6]
    best = load_network(str(search.directory.path / "best.yaml"))
    assert best.digest() == trials[2].spec.digest()
    assert list(search.tables.best_networks(1)) == ["trial_2"]
    front = pd.read_csv(search.directory.path / "pareto.csv").sort_values("latency_ms")
    assert front["score"].is_monotonic_increasing
    assert front["score"].iloc[-1] == 0.7


def test_a_reward_decides_where_there_is_one(bench):
    search = bench(reward="0.5ms")
    trials = complete(search, [0.5, 0.52, 0.51, 0.50])
    rewards = search.study.table()["reward"]
    search.tables.save()
    best = load_network(str(search.directory.path / "best.yaml"))
    assert best.digest() == trials[int(rewards.idxmax())].spec.digest()
    assert list(search.tables.best_networks(2)) == [
        f"trial_{number}" for number in rewards.sort_values(ascending=False).index[:2]
    ]


def test_retrainings_decide_which_network_of_the_front_is_best(bench):
    search = bench()
    trials = sorted(complete(search, [0.5, 0.5, 0.5]), key=lambda t: t.latency.steady_ms)
    # The slowest scores best, so both ends are on the front.
    extra = search.study
    assert extra.completed() == 3
    fast = trials[0]
    rows = [(f"trial_{fast.number}", "front", seed, 0.8, 0.8, 100, 1.0, "rx") for seed in (6, 7)]
    table = pd.DataFrame(rows, columns=CONFIRMED_COLUMNS)
    search.directory.write_table("confirmed", table)
    search.tables.save()
    best = load_network(str(search.directory.path / "best.yaml"))
    assert best.digest() == fast.spec.digest()


def test_noisy_members_of_the_front_are_measured_again(bench):
    search = bench(device=NoisyDevice(times=4))  # two attempts for each of two trials
    complete(search, [0.5, 0.9])
    assert set(search.study.table()["latency_noise"]) == {"a neighbour"}
    rounds = []
    search.tables.measure_front(lambda: rounds.append(1))
    table = search.study.table().set_index("number")
    assert rounds
    assert table["latency_noise"][1] == ""


def test_noisy_references_are_measured_again_with_the_front(bench):
    search = bench(device=NoisyDevice(times=3), references=["mixnet_s"])
    search.runner.begin_references()
    search.runner.end("mixnet_s", Estimate(0.95, 0.1, 1.0, 5))
    complete(search, [0.5, 0.9])
    assert search.references.rows[0]["latency_noise"] == "a neighbour"
    rounds = []
    search.tables.measure_front(lambda: rounds.append(1))
    assert search.references.rows[0]["latency_noise"] == ""
    assert rounds == [1]  # the trials were quiet


def test_a_machine_that_stays_noisy_is_not_measured_for_ever(bench):
    search = bench(device=NoisyDevice(times=10_000))
    complete(search, [0.5, 0.9, 0.7])
    rounds = []
    search.tables.measure_front(lambda: rounds.append(1))
    assert len(rounds) <= 3


class ProfiledDevice(InstantDevice):
    """Tells what the time of networks consists of."""

    def operator_ms(self, spec):
        return {"convolution 1x1": 2.0, "Mul": len(spec.name) / 100}


def test_the_best_network_is_profiled_where_a_device_can(bench):
    search = bench()
    complete(search, [0.5, 0.9])
    search.tables.profile_best()
    assert not (search.directory.path / "operators.csv").exists()


def test_what_the_time_of_the_best_network_consists_of_is_kept(bench):
    search = bench(device=ProfiledDevice())
    search.tables.profile_best()  # there is no network yet
    complete(search, [0.5, 0.9])
    search.tables.profile_best()
    table = search.directory.read_table("operators")
    name = ProfiledDevice().name
    assert table.to_numpy().tolist() == [
        [name, "trial_1", "convolution 1x1", 2.0],
        [name, "trial_1", "Mul", len("small_trial_1") / 100],
    ]


def test_a_network_is_profiled_once(bench, monkeypatch):
    search = bench(device=ProfiledDevice())
    complete(search, [0.5, 0.9])
    search.tables.profile_best()
    path = search.directory.path / "operators.csv"
    before = path.read_text()
    asked = []
    tell = ProfiledDevice.operator_ms
    monkeypatch.setattr(
        ProfiledDevice, "operator_ms", lambda self, spec: asked.append(spec) or tell(self, spec)
    )
    search.tables.profile_best()
    assert (asked, path.read_text()) == ([], before)
    path.write_text("device,network\n")  # damaged, and written anew
    search.tables.profile_best()
    assert (len(asked), path.read_text()) == (1, before)
    complete(search, [0.95])
    search.tables.profile_best()
    assert len(asked) == 2
    assert "trial_2" in path.read_text()


def test_a_device_that_cannot_profile_a_network_does_not_end_the_search(bench):
    class Broken(ProfiledDevice):
        def operator_ms(self, spec):
            raise UnrunnableError("too large")

    search = bench(device=Broken())
    complete(search, [0.5])
    search.tables.profile_best()
    assert not (search.directory.path / "operators.csv").exists()


def test_a_network_of_the_front_that_the_device_cannot_run_is_taken_from_it(bench, capsys):
    """Its latency was predicted; what the front and best.yaml hold is measured in the end."""

    class Choosy(InstantDevice):
        def measure(self, spec, effort=None):
            if count(spec).madds == largest:
                raise UnrunnableError("it does not fit")
            return super().measure(spec, effort)

    largest = 0
    search = bench(device=Choosy())
    trials = complete(search, [0.5, 0.6, 0.9])
    best = trials[2].number
    largest = count(trials[2].spec).madds
    predicted = dataclasses.replace(trials[2].latency, source="predicted")
    search.study.confirm(best, predicted)
    search.tables.measure_front(lambda: None)
    assert f"trial_{best} cannot run on" in capsys.readouterr().err
    search.tables.save()
    table = pd.read_csv(search.directory.path / "trials.csv").set_index("number")
    assert np.isnan(table["latency_ms"][best])
    assert best not in set(pd.read_csv(search.directory.path / "pareto.csv")["number"])
    kept = load_network(str(search.directory.path / "best.yaml"))
    assert kept.digest() != trials[2].spec.digest()
    assert table["score"][best] == 0.9


def test_tables_that_cannot_be_written_are_told_with_what_to_do(bench, monkeypatch):
    search = bench()
    complete(search, [0.5])

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nas.search.directory.write_atomic", full)
    with pytest.raises(MixnasError, match=r"cannot be written: .*No space.* --resume"):
        search.tables.save()


def test_the_report_prints_the_front_as_json(bench, capsys):
    import json

    search = bench(references=["mixnet_s"])
    tasks = search.runner.begin_references()
    assert set(tasks) == {"mixnet_s"}
    search.runner.end("mixnet_s", Estimate(0.95, 0.1, 1.0, 5))
    complete(search, [0.5, 0.9])
    search.tables.save()
    search.tables.report(json=True)
    shown = json.loads(capsys.readouterr().out)
    assert shown["completed"] == 2
    assert "trial_1" in {row["name"] for row in shown["pareto"]}
    assert [row["name"] for row in shown["references"]] == ["mixnet_s"]
    assert shown["confirmed"] == shown["differences"] == []
    assert "Most networks are equally good on digits, which is easy." in shown["remark"]
    assert (search.directory.path / "report.html").is_file()
