import dataclasses
import io
import signal

import pandas as pd
import pytest
import torch
from rich.console import Console

from nas.accuracy.base import EstimateError
from nas.errors import MixnasError
from nas.search.components import SearchComponents
from nas.search.config import SearchConfig
from nas.search.directory import RunDirectory
from nas.search.loop import Search
from nas.space import load_space
from nas.spec import load_network
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
    own = "--estimator nas.testing.fakes:Instant --device nas.testing.fakes:InstantDevice"
    command = f"stopped; continue with: python -m nas.search --resume {path} "
    assert command in said.file.getvalue()
    assert own in said.file.getvalue()
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


def finished(config, path):
    """A search that has come to its end; its folder is free again."""
    search = Search.prepare(config, path, console())
    assert search.run(console())
    del search
    return RunDirectory.open(path)


def test_a_run_whose_space_was_edited_is_not_resumed(config, tmp_path):
    run = finished(config, tmp_path / "run")
    copy = run.path / "space.yaml"
    text = copy.read_text(encoding="utf-8")
    copy.write_text(text.replace("channels: 32", "channels: 64"), encoding="utf-8")
    with pytest.raises(MixnasError) as told:
        Search.resume(run, dataclasses.replace(config, trials=6), console())
    assert f"{copy} has changed since the run began" in str(told.value)
    assert "head.channels was 32, and is 64 now. Undo this" in str(told.value)
    del told
    copy.write_text(text, encoding="utf-8")
    run = RunDirectory.open(tmp_path / "run")
    assert Search.resume(run, dataclasses.replace(config, trials=6), console()).run(console())


def test_an_edited_original_of_the_space_is_told_and_changes_nothing(config, tmp_path):
    run = finished(config, tmp_path / "run")
    original = tmp_path / "small.yaml"
    original.write_text(original.read_text().replace("channels: 8", "channels: 16"))
    said = console()
    assert Search.resume(run, dataclasses.replace(config, trials=6), said).run(said)
    assert (
        "note: the space small.yaml has changed since the run began (stem.channels was 8, and is "
        "16 now); the run continues with its own copy, space.yaml"
    ) in said.file.getvalue()


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("full"), EstimateError("too small")])
def test_a_price_that_cannot_be_told_does_not_end_a_search(config, tmp_path, monkeypatch, error):
    """The training halves its batches, or says itself what is wrong."""

    def price(*_):
        raise error

    monkeypatch.setattr("nas.search.loop.expected_phases", price)
    assert Search.prepare(config, tmp_path / "run", console()).run(console())


def test_searches_that_begin_in_the_same_second_have_folders_of_their_own(config, tmp_path):
    held, taken = [], []

    def begin(_, *words):
        """Prepare a search while another one is being prepared."""
        if not taken:
            taken.append(True)
            held.append(Search.prepare(config, None, console()))
        return prepare(_, *words)

    prepare = SearchComponents.prepare
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nas.search.loop.SearchComponents.prepare", begin)
        held.append(Search.prepare(config, None, console()))
    paths = {search.tables.directory.path for search in held}
    assert len(paths) == 2
    assert all((path / "config.yaml").is_file() for path in paths)
    assert {path.parent.name for path in paths} == {"runs"}


def test_a_folder_is_taken_before_the_preparation(config, tmp_path, monkeypatch):
    def prepare(*_):
        with pytest.raises(MixnasError, match="another process is working in"):
            Search.prepare(config, tmp_path / "run", console())
        raise MixnasError("the device is gone")

    monkeypatch.setattr("nas.search.loop.SearchComponents.prepare", prepare)
    with pytest.raises(MixnasError, match="the device is gone"):
        Search.prepare(config, tmp_path / "run", console())
    assert not (tmp_path / "run").exists()


def test_sqlite_on_a_network_file_system_is_warned_of(config, tmp_path, monkeypatch):
    monkeypatch.setattr("nas.search.loop.network_file_system", lambda path: "nfs4")
    said = console()
    search = Search.prepare(config, tmp_path / "run", said)
    assert "is on a network file system (nfs4), where SQLite can lose" in said.file.getvalue()
    assert "--storage postgresql://user@host/database" in said.file.getvalue()
    del search


NETWORK = """
schema: mixnas.network/1
name: mine
input: {channels: 3, resolution: 32}
num_classes: 10
stem: {channels: 8}
stages: [[{op: conv, channels: 16, stride: 2}, {op: basic, channels: 16}]]
head: {channels: 32}
"""


def test_a_search_around_a_network_keeps_its_space(config, tmp_path):
    (tmp_path / "mine.yaml").write_text(NETWORK, encoding="utf-8")
    around = dataclasses.replace(config, space="around:mine.yaml")
    search = Search.prepare(around, None, console())
    path = search.tables.directory.path
    assert path.parent.name == "runs"
    assert path.name.startswith("around-mine-")
    assert search.run(console())
    del search
    assert RunDirectory.open(path).read_config().space == "around:mine.yaml"
    copy = load_space(str(path / "space.yaml"))
    assert copy.name == "around-mine"
    assert copy.contains(load_network("mine.yaml"))

    (tmp_path / "mine.yaml").write_text(NETWORK.replace("16", "24"), encoding="utf-8")
    said = console()
    more = dataclasses.replace(around, trials=7)
    assert Search.resume(RunDirectory.open(path), more, said).run(said)
    assert "the space around:mine.yaml has changed since the run began" in said.file.getvalue()
    assert len(pd.read_csv(path / "trials.csv")) == 7
