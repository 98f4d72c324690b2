import dataclasses
import io
import signal

import pandas as pd
import pytest
from rich.console import Console

from nas.errors import MixnasError
from nas.search.config import SearchConfig
from nas.search.directory import RunDirectory
from nas.search.loop import Search
from tests.searching import check_nothing_lost_or_double, trials_of, write_space


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_space(tmp_path)
    return SearchConfig(
        space="small.yaml",
        estimator="nas.testing.fakes:Instant",
        device="nas.testing.fakes:InstantDevice",
        sampler="random",
        references=[],
        trials=5,
        workers=2,
        threads=1,
    )


def console():
    return Console(file=io.StringIO(), force_terminal=False)


def trials(tmp_path):
    return trials_of(f"sqlite:///{tmp_path}/run/study.db")


def test_a_search_runs_to_its_end_and_goes_on_for_more(config, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    search = Search.prepare(config, tmp_path / "run", console())
    assert search.run(console())
    assert signal.getsignal(signal.SIGINT) is before
    check_nothing_lost_or_double(trials(tmp_path), 5)
    table = pd.read_csv(tmp_path / "run" / "trials.csv")
    assert list(table["state"]) == ["complete"] * 5
    del search

    more = dataclasses.replace(config, trials=7)
    resumed = Search.resume(RunDirectory.open(tmp_path / "run"), more, console())
    assert resumed.run(console())
    check_nothing_lost_or_double(trials(tmp_path), 7)


def test_nothing_is_created_when_a_setting_is_not_possible(config, tmp_path):
    impossible = dataclasses.replace(config, limits={"madds": "1k"})
    with pytest.raises(MixnasError, match="no network of 'small'"):
        Search.prepare(impossible, tmp_path / "run", console())
    assert not (tmp_path / "run").exists()


def test_ctrl_c_ends_a_search_with_how_to_continue(config, tmp_path, monkeypatch):
    search = Search.prepare(config, tmp_path / "run", console())
    ended = []

    def interrupt(trial, result):
        ended.append(trial)
        if len(ended) == 2:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(
        "nas.search.monitor.SearchMonitor.trial_ended", lambda _, t, r: interrupt(t, r)
    )
    said = console()
    assert not search.run(said)
    path = tmp_path / "run"
    assert f"stopped; continue with: python -m nas.search --resume {path}" in said.file.getvalue()
    states = pd.read_csv(path / "trials.csv")["state"].tolist()
    assert states.count("complete") >= 2
    assert len(states) <= 5
    del search
    monkeypatch.undo()
    resumed = Search.resume(RunDirectory.open(path), config, console())
    assert resumed.run(console())
    check_nothing_lost_or_double(trials(tmp_path), 5)


def test_a_run_whose_estimator_changed_is_not_resumed(config, tmp_path):
    search = Search.prepare(config, tmp_path / "run", console())
    assert search.run(console())
    del search
    other = dataclasses.replace(config, estimator="nas.testing.fakes:Slow")
    with pytest.raises(MixnasError, match=r"accuracies of this run .* compared"):
        Search.resume(RunDirectory.open(tmp_path / "run"), other, console())
