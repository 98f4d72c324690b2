import json

import optuna
import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.tables import Reading, read_population

ROWS = pd.DataFrame(
    {
        "x.kernels": ["3", "3.5", "5"],
        "x.depth": [1, 2, 3],
        "accuracy": [0.5, 0.75, 0.6],
        "madds": [10, 20, 30],
    }
)


@pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
def test_files_give_the_same_population(tmp_path, kind):
    path = tmp_path / f"networks.{kind}"
    if kind == "json":
        path.write_text(json.dumps(ROWS.to_dict("records")), encoding="utf-8")
    else:
        getattr(ROWS, f"to_{kind}")(path, index=False)
    found = read_population(str(path))
    assert found.name == "networks"
    assert found.label == "error"
    assert found.errors.tolist() == pytest.approx([0.5, 0.25, 0.4])
    assert found.variables == ("x.mean_kernel", "x.kernel_groups", "x.depth")
    assert found.table["x.mean_kernel"].tolist() == [3, 4, 5]
    assert found.table["x.kernel_groups"].tolist() == [1, 2, 1]
    assert found.objectives == {"accuracy": "max", "madds": "min"}
    assert found.table["x.kernels"].tolist() == ["3", "3.5", "5"]


def test_mixes_of_kernels_are_no_numbers(tmp_path):
    path = tmp_path / "networks.csv"
    ROWS.iloc[:2].to_csv(path, index=False)
    assert read_population(str(path)).table["x.kernels"].tolist() == ["3", "3.5"]


def test_columns_can_be_named(tmp_path):
    path = tmp_path / "networks.csv"
    ROWS.assign(top5_error=[30.0, 20.0, 10.0]).to_csv(path, index=False)
    found = read_population(
        str(path), Reading(error="top5_error", variables=("x.depth",), costs=("x.depth",))
    )
    assert found.errors.tolist() == [30, 20, 10]
    assert found.label == "top5_error"
    assert found.variables == ("x.depth",)
    assert found.objectives == {"top5_error": "min", "x.depth": "min"}


def test_scores_that_are_no_shares_are_turned_round(tmp_path):
    path = tmp_path / "networks.csv"
    ROWS.assign(reward=[7.0, -1.0, 2.0]).to_csv(path, index=False)
    found = read_population(str(path), Reading(score="reward"))
    assert found.errors.tolist() == [-7, 1, -2]
    assert found.label == "less reward"


def study(url, name, directions, attribute=None):
    made = optuna.create_study(storage=url, study_name=name, directions=directions)
    for depth in (1, 2):
        trial = made.ask()
        trial.suggest_int("depth", depth, depth)
        if attribute:
            trial.set_user_attr(attribute, 100 * depth)
        made.tell(trial, [0.5 * depth] * len(directions))
    made.tell(made.ask(), state=optuna.trial.TrialState.FAIL)
    return made


def test_a_storage_gives_its_completed_trials(tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    study(url, "mine", ["maximize"], "madds")
    found = read_population(url)
    assert found.name == "mine"
    assert found.table["x.depth"].tolist() == [1, 2]
    assert found.errors.tolist() == [-0.5, -1.0]
    assert found.objectives == {"score": "max", "madds": "min"}


def test_a_study_that_minimises_has_an_error(tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    study(url, "mine", ["minimize"])
    assert read_population(url).errors.tolist() == [0.5, 1.0]


def test_several_studies_want_a_name(tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    study(url, "one", ["maximize"])
    study(url, "two", ["maximize"])
    with pytest.raises(AnalysisError, match=r"--study; it has one, two"):
        read_population(url)
    assert read_population(url, Reading(study="two")).name == "two"
    with pytest.raises(AnalysisError, match="no study 'three'"):
        read_population(url, Reading(study="three"))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", "x", "give a run directory"),
        ("absent.csv", None, "no such file"),
        ("empty.csv", "", "cannot be read"),
        ("rows.csv", "accuracy\n", "no rows"),
        ("text.csv", "accuracy\nhigh\n", "holds text"),
        ("none.csv", "depth\n3\n", "--error COLUMN or --score"),
        ("broken.json", "{", "cannot be read"),
        ("number.json", "3", "cannot be read"),
        ("broken.parquet", "PAR", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, text, said):
    path = tmp_path / name
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(AnalysisError, match=said):
        read_population(str(path))


def test_a_storage_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(AnalysisError, match="no such file"):
        read_population(f"sqlite:///{tmp_path}/absent.db")
    assert not list(tmp_path.iterdir())


def test_a_storage_that_cannot_be_reached_keeps_its_password():
    with pytest.raises(AnalysisError, match="cannot be read") as caught:
        read_population("nosuchdb://me:secret@host/db")
    assert "secret" not in str(caught.value)


def test_both_directions_are_refused(tmp_path):
    path = tmp_path / "networks.csv"
    ROWS.to_csv(path, index=False)
    with pytest.raises(AnalysisError, match="not both"):
        read_population(str(path), Reading(error="madds", score="accuracy"))
