"""Optuna's storages as populations: values, directions and constraints as the study has them."""

import hashlib
import sqlite3

import optuna
import pytest

from analysis.errors import AnalysisError
from analysis.read.population import ReadOptions, read_population
from analysis.statistics.comparison import compare
from analysis.statistics.fronts import pareto_front

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/study.db"


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


def test_a_storage_gives_its_completed_trials(url):
    study(url, "mine", ["maximize"], "madds")
    found = read_population(url)
    assert found.name == "mine"
    assert found.table["x.depth"].tolist() == [1, 2]
    assert found.errors.tolist() == [-0.5, -1.0]
    assert found.objectives == {"value": "max", "madds": "min"}
    assert (found.seen, found.known) == (3, 2)


def test_a_study_that_minimises_has_an_error(url):
    study(url, "mine", ["minimize"])
    assert read_population(url).errors.tolist() == [0.5, 1.0]


def test_several_studies_want_a_name(url):
    study(url, "one", ["maximize"])
    study(url, "two", ["maximize"])
    with pytest.raises(AnalysisError, match=r"--study; it has one, two"):
        read_population(url)
    assert read_population(url, ReadOptions(study="two")).name == "two"
    with pytest.raises(AnalysisError, match="no study 'three'"):
        read_population(url, ReadOptions(study="three"))


@pytest.mark.parametrize("directions", [["minimize", "maximize"], ["maximize", "minimize"]])
@pytest.mark.parametrize("names", [None, ["loss", "fps"], ["score", "latency_ms"]])
def test_the_front_is_optunas(url, directions, names):
    made = optuna.create_study(
        storage=url, directions=directions, sampler=optuna.samplers.RandomSampler(seed=0)
    )
    if names:
        made.set_metric_names(names)
    made.optimize(lambda t: (t.suggest_float("a", 0, 1), t.suggest_float("b", 0, 1)), 20)
    found = read_population(url)
    assert set(found.objectives.values()) == {"max", "min"}
    front = pareto_front(found.admitted, found.objectives)
    assert set(front.rows["number"]) == {trial.number for trial in made.best_trials}


def test_what_breaks_constraints_is_on_no_front(url):
    def objective(trial):
        a = trial.suggest_float("a", 0, 1)
        trial.set_constraint("small", a - 0.5)
        return 1 - a, trial.suggest_float("b", 0, 1)

    sampler = optuna.samplers.NSGAIISampler(seed=0)
    made = optuna.create_study(storage=url, directions=["minimize", "minimize"], sampler=sampler)
    made.optimize(objective, 25)
    (search,) = compare([read_population(url)]).searches
    assert set(search.front.rows["number"]) == {trial.number for trial in made.best_trials}
    assert search.population.table["within_limits"].nunique() == 2
    assert len(search.progress.table) == 25


def test_a_database_of_others_is_not_touched(tmp_path):
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE mine (a)")
    database.close()
    before = hashlib.sha256(file.read_bytes()).digest()
    for said, name in (("has no studies", "other.db"), ("no such file", "absent.db")):
        with pytest.raises(AnalysisError, match=said):
            read_population(f"sqlite:///{tmp_path}/{name}")
    assert hashlib.sha256(file.read_bytes()).digest() == before
    (tmp_path / "text.db").write_text("this is no database, but it is long enough " * 40)
    with pytest.raises(AnalysisError, match="is not an Optuna storage"):
        read_population(f"sqlite:///{tmp_path}/text.db")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.db", "text.db"]


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+pysqlite"])
def test_reading_a_study_changes_nothing(tmp_path, scheme):
    """Optuna adds the tables that a storage of another version lacks."""
    file = tmp_path / "study.db"
    study = optuna.create_study(storage=f"sqlite:///{file}", study_name="s")
    study.optimize(lambda trial: trial.suggest_int("x", 0, 9), 3)
    with sqlite3.connect(file) as database:
        database.execute("DROP TABLE trial_heartbeats")
    database.close()
    before = file.read_bytes()
    assert len(read_population(f"{scheme}:///{file}").table) == 3
    assert file.read_bytes() == before
    with pytest.raises(AnalysisError, match=r"typo\.db: no such file"):
        read_population(f"{scheme}:///{tmp_path}/typo.db")
    assert [path.name for path in tmp_path.iterdir()] == ["study.db"]


def test_a_storage_that_cannot_be_reached_keeps_its_password():
    with pytest.raises(AnalysisError, match="cannot be read") as caught:
        read_population("nosuchdb://me:secret@host/db")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("names", [None, ["accuracy", "latency_ms"], ["score", "error"]])
def test_swapped_objectives_have_the_same_front(url, names):
    points = [(0.5, 1.0), (0.4, 2.0), (0.9, 3.0), (0.9, 4.0)]
    fronts = []
    for swapped in (False, True):
        order = slice(None, None, -1 if swapped else 1)
        made = optuna.create_study(
            storage=url,
            study_name=f"swapped {swapped}",
            directions=["maximize", "minimize"][order],
        )
        if names:
            made.set_metric_names(names[order])
        for point in points:
            made.tell(made.ask(), point[order])
        found = read_population(url, ReadOptions(study=made.study_name))
        fronts.append(pareto_front(found.admitted, found.objectives).rows["number"].tolist())
    assert sorted(fronts[0]) == sorted(fronts[1]) == [0, 2]


def test_attributes_do_not_rename_trials(url):
    made = optuna.create_study(storage=url, direction="maximize")
    for value in (0.5, 0.6):
        trial = made.ask()
        trial.set_user_attr("number", 3.5)
        trial.set_user_attr("state", "odd")
        trial.set_user_attr("origin", {"seconds": "long", "name": "\x1b[2J"})
        trial.set_user_attr("late", None)
        made.tell(trial, value)
    found = read_population(url)
    assert found.table["number"].tolist() == [0, 1]
    assert set(found.table["state"]) == {"complete"}
    assert found.table["seconds"].dtype == "float64"
    assert found.table["name"].tolist() == ["\ufffd[2J"] * 2


def test_a_trial_without_constraints_is_within_limits(url):
    made = optuna.create_study(storage=url, direction="maximize")
    for kept in (True, False, None):
        trial = made.ask()
        if kept is not None:
            trial.set_user_attr("within_limits", kept)
        made.tell(trial, 0.5)
    assert read_population(url).admitted["number"].tolist() == [0, 2]
