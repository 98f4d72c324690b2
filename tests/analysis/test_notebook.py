"""A run in a notebook."""

import json

import pytest
import yaml
from matplotlib.figure import Figure

from analysis.errors import AnalysisError
from analysis.notebook import RunView
from tests.analysis.searches import trials
from tests.conftest import ROOT

NOTEBOOK = ROOT / "experiments" / "notebooks" / "a_run.ipynb"


@pytest.fixture
def run(tmp_path):
    """The run directory ``first_run`` of three trials, of which two are on the front."""
    folder = tmp_path / "first_run"
    folder.mkdir()
    config = {"space": "mixnet", "data": "<b>pets</b>", "device": "onnxruntime:cpu", "command": "x"}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "conditions.yaml").write_text(
        yaml.safe_dump({"score_scale": {"label": "validation accuracy", "is_accuracy": True}})
    )
    trials(score=[0.95, 0.97, 0.90]).to_csv(folder / "trials.csv", index=False)
    reference = trials(score=[0.93] * 3).head(1).drop(columns="number")
    reference.assign(name="mixnet_s").to_csv(folder / "references.csv", index=False)
    return folder


def test_the_front_and_the_references_are_shown(run):
    view = RunView(run)
    table = view.table
    assert list(table["network"]) == ["trial_0", "mixnet_s", "trial_1"]
    assert list(table["score"]) == ["95.0%", "93.0%", "97.0%"]
    assert list(table["MAdds (M)"]) == [100.0] * 3
    assert list(view.front["number"]) == [0, 1]
    assert len(view.trials) == 3
    assert repr(view).startswith(f"{run}\n3 networks of the space mixnet")
    assert "trial_1" in repr(view)


def test_a_notebook_is_shown_a_page_that_a_run_cannot_write_into(run):
    shown = RunView(run)._repr_html_()
    assert "<table" in shown
    assert "data:image/png;base64," in shown
    assert "trial_2" not in shown
    assert "&lt;b&gt;pets" in shown
    assert "<b>pets" not in shown


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(AnalysisError, match="not a finished run directory"):
        RunView(tmp_path)


def test_the_notebook_runs(run, monkeypatch):
    monkeypatch.chdir(run.parent)
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert sources[0].startswith("!mixnas search ")
    assert "--out first_run" in sources[0]
    names, shown = {}, []
    for source in sources[1:]:
        *statements, last = source.splitlines()
        exec("\n".join(statements), names)  # noqa: S102
        shown.append(eval(last, names))  # noqa: S307
    assert isinstance(shown[0], RunView)
    assert isinstance(shown[-1], Figure)
