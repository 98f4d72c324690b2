"""Commands that the benchmark programs run."""

import pytest

from experiments.benchmarks import common


@pytest.fixture
def words(monkeypatch):
    """The words of the commands that were run."""
    ran = []
    monkeypatch.setattr(common, "run", lambda *words: ran.append([*map(str, words)]))
    return ran


@pytest.mark.parametrize(
    ("module", "name"), [("nas.search", "config.yaml"), ("nas.train", "training.yaml")]
)
def test_what_was_begun_is_resumed(tmp_path, words, module, name):
    always = ("--device", "none")
    common.run_or_resume(module, tmp_path, "--data", "pets", always=always)
    (tmp_path / name).touch()
    common.run_or_resume(module, tmp_path, "--data", "pets", always=always)
    assert words == [
        [module, "--data", "pets", "--out", str(tmp_path), *always],
        [module, "--resume", str(tmp_path), *always],
    ]


def test_a_search_for_devices_names_each(tmp_path, words):
    common.search_devices(tmp_path, ["a:cpu", "b:cpu"], 4, 1, "400M", None)
    common.search_devices(tmp_path, ["a:cpu"], 4, 1, "400M", "pets")
    (both, one) = words
    assert " ".join(both).count("--device ") == 2
    assert "--data" not in both
    assert one[-2:] == ["--data", "pets"]
