"""The sampler as a package of OptunaHub."""

import re
import runpy

import optuna
import pytest
import yaml

from tests.conftest import ROOT

optunahub = pytest.importorskip("optunahub")

REGISTRY = ROOT / "experiments" / "optunahub" / "package"
PACKAGE = REGISTRY / "samplers" / "known_cost"


@pytest.fixture
def loaded(monkeypatch):
    """The package, loaded from here wherever its texts load it from the registry."""

    def load(package):
        return optunahub.load_local_module(package, registry_root=str(REGISTRY))

    monkeypatch.setattr(optunahub, "load_module", load)
    return load("samplers/known_cost")


def test_the_package_offers_the_sampler(loaded):
    assert loaded.__all__ == ["KnownCostSampler"]
    assert issubclass(loaded.KnownCostSampler, optuna.samplers.BaseSampler)


def test_the_example_finds_a_front(loaded, capsys):
    example = runpy.run_path(str(PACKAGE / "example.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 5
    assert "'depth'" in lines[0]
    assert example["PARAMETERS"].keys() == {"depth", "width", "block"}


def test_the_readme_has_what_the_registry_asks_for(loaded):
    text = (PACKAGE / "README.md").read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    facts = yaml.safe_load(front)
    assert facts.keys() == {
        "author", "title", "description", "tags", "optuna_versions", "license",
    }  # fmt: skip
    assert "sampler" in facts["tags"]
    assert [line for line in body.splitlines() if line.startswith("## ")] == [
        "## Abstract", "## APIs", "## Installation", "## Example", "## Others",
    ]  # fmt: skip
    code = re.search(r"```python\n(.*?)```", body, re.DOTALL)[1]
    names = {}
    exec(code.replace("n_trials=40", "n_trials=12"), names)  # noqa: S102
    assert len(names["study"].trials) == 12
