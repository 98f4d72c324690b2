import io
import json

import pandas as pd
from rich.console import Console

from nas.accuracy import Estimate
from nas.limits import parse_limit
from nas.search.devices import SearchDevice
from nas.testing.fakes import InstantDevice, SecondDevice

FIRST, SECOND = InstantDevice.name, SecondDevice.name
FILE = "nas.testing.fakes-SecondDevice"


def two(limits=((), ())):
    return [
        SearchDevice(device.name, device, list(bounds))
        for device, bounds in zip((InstantDevice(), SecondDevice()), limits, strict=True)
    ]


def searched(bench, scores=(0.5, 0.9, 0.7), limits=((), ()), **options):
    """A search on two devices with a trial for each score; and its trials."""
    search = bench(devices=two(limits), **options)
    search.runner.begin_references()
    for name in search.references.specs:
        search.runner.end(name, Estimate(0.95, 0.1, 1.0, 5))
    trials = [search.runner.running[number] for number in search.runner.begin(len(scores))]
    for trial, score in zip(trials, scores, strict=True):
        search.runner.end(trial.number, Estimate(score, 0.1, 1.0, 5))
    search.tables.save()
    return search, trials


def test_a_trial_has_a_latency_on_every_device(bench):
    search, trials = searched(bench, references=["mixnet_s"])
    table = search.study.table()
    for trial in trials:
        assert list(trial.latencies) == [FIRST, SECOND]
        row = table.set_index("number").loc[trial.number]
        assert row["latency_ms"] == row[f"latency_ms@{FIRST}"] == trial.latency.steady_ms
        assert row[f"latency_ms@{SECOND}"] == trial.latencies[SECOND].steady_ms
    values = search.study.optuna_study.get_trials()[0].values
    assert values == [0.5, *(latency.steady_ms for latency in trials[0].latencies.values())]
    (reference,) = search.references.rows
    assert reference[f"latency_ms@{SECOND}"] == SecondDevice().measure(
        search.references.specs["mixnet_s"]
    ).steady_ms  # fmt: skip
    assert search.study.reopen(0) is None


def test_fronts_and_best_networks_are_written_for_each_device_and_for_all(bench):
    search, _ = searched(bench)
    path = search.directory.path
    for name in ("", f"@{FILE}", "@nas.testing.fakes-InstantDevice", "@all"):
        assert (path / f"best{name}.yaml").is_file()
        assert 1 in set(pd.read_csv(path / f"pareto{name}.csv")["number"])
    second = pd.read_csv(path / f"pareto@{FILE}.csv")
    assert (second["latency_ms"] == second[f"latency_ms@{SECOND}"]).all()


def test_a_trial_goes_on_if_one_device_admits_it(bench):
    limit = [parse_limit(f"latency@{SECOND}", "1us")]
    search, trials = searched(bench, limits=((), limit))
    assert len(trials) == 3
    table = pd.read_csv(search.directory.path / "trials.csv")
    assert table["within_limits"].all()
    assert not table[f"within_limits@{SECOND}"].any()
    assert not (search.directory.path / f"best@{FILE}.yaml").exists()
    assert not (search.directory.path / "best@all.yaml").exists()
    assert (search.directory.path / "best.yaml").is_file()


def test_a_trial_that_no_device_admits_ends(bench):
    limits = [[parse_limit(f"latency@{name}", "1us")] for name in (FIRST, SECOND)]
    search = bench(devices=two(limits))
    assert search.runner.begin(1) == {}
    reason = search.study.table()["reason"][0]
    assert reason.endswith(f" ms break latency@{FIRST} <= 0.001ms and latency@{SECOND} <= 0.001ms")


def test_the_results_are_printed_by_device(bench, capsys):
    search, _ = searched(bench, references=["mixnet_s"])
    search.tables.report(json=False)
    shown = capsys.readouterr().out
    for name in (FIRST, SECOND):
        assert f"Pareto front on {name}" in shown
    assert "Front of the score and the latencies on all devices" in shown
    assert "What the choice for one device loses on another" in shown
    assert f"best for {SECOND}: {search.directory.path}/best@{FILE}.yaml (trial_1)" in shown


def test_json_holds_the_same(bench, capsys):
    search, _ = searched(bench)
    search.tables.report(json=True)
    shown = json.loads(capsys.readouterr().out)
    assert [each["device"] for each in shown["devices"]] == [FIRST, SECOND]
    assert {each["winner"] for each in shown["devices"]} == {"trial_1"}
    assert f"latency_ms@{SECOND}" in shown["joint"]["pareto"][0]
    assert [(loss["device"], loss["other"]) for loss in shown["losses"]] == [
        (FIRST, SECOND),
        (SECOND, FIRST),
    ]
    assert (search.directory.path / "report.html").is_file()


def test_the_best_networks_of_every_device_are_retrained(bench):
    search, trials = searched(bench)
    by_latency = sorted(trials, key=lambda t: t.latencies[SECOND].steady_ms)
    bound = by_latency[0].latencies[SECOND].steady_ms
    search.devices[1].limits.append(parse_limit(f"latency@{SECOND}", f"{bound}ms"))
    assert list(search.tables.best_networks(1)) == list(
        dict.fromkeys(["trial_1", f"trial_{by_latency[0].number}"])
    )


def test_the_monitor_tells_both_latencies(bench):
    from nas.search.monitor import SearchMonitor

    search, trials = searched(bench)
    said = Console(file=io.StringIO(), force_terminal=False)
    SearchMonitor(search.study, 3, said).trial_ended(trials[0], Estimate(0.5, 0.1, 1.0, 5))
    times = [latency.steady_ms for latency in trials[0].latencies.values()]
    assert f"50.0%, {times[0]:.2f} / {times[1]:.2f} ms" in said.file.getvalue()
