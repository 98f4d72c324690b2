"""The main job end to end: real images, training and latency, on a space of small networks."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys

import onnx
import optuna
import pandas as pd
import pytest
import yaml

from nas.spec import load_network
from tests.conftest import refusal
from tests.data.writing import write_folder
from tests.searching import FAKES, SPACE, complete, faked, search, trials_of, write_space

FILES = {
    ".lock",
    "conditions.yaml",
    "config.yaml",
    "space.yaml",
    "supernet.safetensors",
    "study.db",
    "trials.csv",
    "references.csv",
    "pareto.csv",
    "best.yaml",
    "report.html",
    "test_hits.json",
    "figures",
    "networks",
    "references",
}
PROFILE = "operators.csv"  # of runtimes that have a profiler


@pytest.fixture
def space(tmp_path):
    return write_space(tmp_path)


def test_scores_that_are_no_accuracies_are_told_apart(here, space, tmp_path):
    words = ("--estimator", "zero-cost:naswot", "--device", "nas.testing.fakes:InstantDevice")
    result = here(*search(*words, "--trials", "6", "--out", "run", "--workers", "1"))
    assert result.returncode == 0, result.stderr
    assert "naswot" in result.stdout
    trials = pd.read_csv(tmp_path / "run" / "trials.csv")
    assert trials["accuracy"].isna().all()
    assert (trials["score"] > 1).all()
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "score of zero-cost:naswot" in page
    table = here("analysis", "pareto", "run").stdout
    assert f"{trials['score'].max():.4g}" in table


def test_a_table_tells_accuracies(here, space, tmp_path):
    """A run's own trials are a table: every network of a second search is found in it, or fails."""
    first = (*faked("--trials", "8", "--out", "one"), "--sampler", "random")
    assert here(*first).returncode == 0
    words = ("--estimator", "table:one/trials.csv", "--sampler", "random", *FAKES)
    again = here(
        "nas.search", "--space", "small.yaml", "--workers", "2", *words,
        "--trials", "8", "--out", "two",
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    one, two = (pd.read_csv(tmp_path / name / "trials.csv") for name in ("one", "two"))
    assert one["spec_hash"].tolist() == two["spec_hash"].tolist()
    assert one["accuracy"].tolist() == two["accuracy"].tolist()


def test_a_supernet_is_trained_before_the_search(here, space, tmp_path):
    estimator = "supernet:images=2000,resolution=16,validation=100,calibration=128"
    words = (
        "--estimator",
        estimator,
        "--device",
        "nas.testing.fakes:InstantDevice",
        "--workers",
        "1",
    )
    result = here(*search(*words, "--trials", "3", "--out", "run"))
    assert result.returncode == 0, result.stderr
    assert "accuracy with shared weights and naswot" in result.stdout
    found, _, prepared = result.stderr.partition("preparing supernet")
    assert "digits: 10 classes (0, 1, 2, 3, 4, 5, 6, 7, 8, 9), 1,797 images: 1,077" in found
    assert prepared
    assert pd.read_csv(tmp_path / "run" / "trials.csv")["score"].between(0, 1).all()
    kept = hashlib.sha256((tmp_path / "run" / "supernet.safetensors").read_bytes()).hexdigest()
    conditions = yaml.safe_load((tmp_path / "run" / "conditions.yaml").read_text(encoding="utf-8"))
    assert kept.startswith(conditions["scores"]["weights"])
    exported = here("nas.export", "run/best.yaml", "--weights", "supernet:run", "--json")
    assert exported.returncode == 0, exported.stderr
    accuracy = json.loads(exported.stdout)["accuracy"]
    assert accuracy["validation"]["top1"] == accuracy["in_search"]


@pytest.mark.slow
def test_a_search_leaves_a_complete_run_directory(command, space, tmp_path):
    result = command(
        "nas.search", "--space", "small.yaml", "--reference", "mixnet_s", "--workers", "2",
        "--budget", "3M", "--trials", "5", "--out", "run", "--retrain", "images=10000",
        "--estimator", "supernet:images=25000", timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    run = tmp_path / "run"
    assert {path.name for path in run.iterdir()} == FILES | {"confirmed.csv", PROFILE}
    assert "Pareto front of 5 networks" in result.stdout
    assert "mixnet_s" in result.stdout
    assert "[5/5] trial" in result.stderr

    trials = pd.read_csv(run / "trials.csv")
    done = trials[trials["state"] == "complete"]
    assert len(done) == 5
    assert (done["madds"] <= 3_000_000).all()
    assert done["score"].between(0.2, 1).all()  # ten classes: chance is 0.1
    assert (done["latency_ms"] > 0).all()
    assert done["spec_hash"].is_unique
    columns = ["score", "loss", "latency_ms", "latency_p10_ms", "latency_p90_ms", "seed"]
    assert done[columns].notna().all().all()
    assert "x.a.kernels" in trials.columns
    assert done["architecture"].str.match(r"ir_k[0-9.]+_s[12]_e").all()
    known = yaml.safe_load((run / "conditions.yaml").read_text())
    assert known["versions"]["optuna"] == optuna.__version__
    assert known["scores"]["estimator"] == "supernet"
    assert known["latencies"]["device"] == "onnxruntime:cpu"

    front = pd.read_csv(run / "pareto.csv")
    best = load_network(str(run / "best.yaml"))
    confirmed = pd.read_csv(run / "confirmed.csv")
    means = confirmed[confirmed["kind"] == "front"].groupby("name")["validation"].mean()
    numbers = front.set_index("number")["spec_hash"]
    assert best.digest() == numbers[int(means.idxmax().removeprefix("trial_"))]
    assert confirmed.groupby(["kind", "name"]).size().tolist() == [3] * len(means) + [3]
    assert confirmed["test"].between(0.2, 1).all()
    assert set(confirmed["test_images"]) == {360}
    assert "best minus this one" in result.stdout
    assert best.num_classes == 10
    references = pd.read_csv(run / "references.csv")
    assert list(references["name"]) == ["mixnet_s"]
    assert references["reason"].str.contains("of its weights are not in the supernet").all()
    assert (references["latency_ms"] > 0).all()

    assert len(trials_of(f"sqlite:///{run / 'study.db'}")) == 5
    assert yaml.safe_load((run / "config.yaml").read_text())["limits"] == {"madds": "3M"}

    exported = command("nas.export", "run/best.yaml", "--format", "onnx")
    assert exported.returncode == 0, exported.stderr
    onnx.checker.check_model(onnx.load(run / "best.onnx"))
    assert "yes" in command("nas.space", "contains", "small.yaml", "run/best.yaml").stdout

    refused = command(*search("--trials", "1", "--out", "run"))
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: run already exists; continue it with --resume run")
    assert len(pd.read_csv(run / "trials.csv")) == 5


@pytest.mark.slow
def test_a_users_own_images_are_searched_with(command, space, tmp_path):
    root = write_folder(tmp_path / "pets", ("train", "test"), n=60)
    (root / "train" / "bee" / "001.png").write_bytes(b"broken")
    words = ("--data", "pets", "--trials", "2", "--out", "run", "--sampler", "random", "--quick")
    result = command(*search(*words), timeout=300)
    assert result.returncode == 0, result.stderr
    assert "pets: 3 classes (ant, bee, cat), 120 images: 51 for training, 9 for" in result.stderr
    assert "1 of 120 images cannot be read and are left out: " in result.stderr
    assert "pets/train/bee/001.png: UnidentifiedImageError" in result.stderr
    best = load_network(str(tmp_path / "run" / "best.yaml"))
    assert best.num_classes == 3
    (tmp_path / "elsewhere").mkdir()
    more = command("nas.search", "--resume", "run", "--trials", "3", timeout=300)
    assert more.returncode == 0, more.stderr
    for path in (root / "train" / "ant").iterdir():
        path.unlink()
    (root / "train" / "ant" / "000.png").write_bytes(b"another")
    told = refusal(command("nas.search", "--resume", "run", "--trials", "4"))
    assert "at least 5 training images, but ant has 1" in told


@pytest.mark.slow
def test_a_seed_repeats_a_run_and_a_config_repeats_it_elsewhere(command, space, fakes, tmp_path):
    words = ("--trials", "6", "--seed", "5", "--sampler", "random")
    one = command(*faked(*words, "--out", "one"))
    assert one.returncode == 0, one.stderr
    two = command("nas.search", "--config", "one/config.yaml", "--trust-config", "--out", "two")
    assert two.returncode == 0, two.stderr
    tables = [pd.read_csv(tmp_path / name / "trials.csv") for name in ("one", "two")]
    repeated = ["number", "spec_hash", "params", "madds", "accuracy", "loss", "latency_ms"]
    pd.testing.assert_frame_equal(tables[0][repeated], tables[1][repeated])
    other = command(*faked("--trials", "6", "--seed", "6", "--sampler", "random", "--out", "three"))
    assert other.returncode == 0, other.stderr
    third = pd.read_csv(tmp_path / "three" / "trials.csv")
    assert set(third["spec_hash"]) != set(tables[0]["spec_hash"])


def interrupted(words, folder, number, beginning):
    """Interrupt a search when it says a line that begins so; return what else it says."""
    process = subprocess.Popen(
        [sys.executable, "-m", *words], cwd=folder, stderr=subprocess.PIPE, text=True,
        stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    for line in process.stderr:
        if line.startswith(beginning):
            break
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    output, rest = process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL), rest
    return output, rest


@pytest.mark.slow
def test_an_interrupted_run_of_real_trainings_is_continued(command, space, fakes, tmp_path):
    words = ("--estimator", "short:images=3200", "--trials", "6", "--out", "run", *FAKES[:2])
    interrupted(search(*words), tmp_path, signal.SIGKILL, "[2/6]")
    before = completed(tmp_path)
    assert 2 <= len(before) < 6

    result = command("nas.search", "--resume", "run", "--trust-config", timeout=300)
    assert result.returncode == 0, result.stderr
    after = completed(tmp_path)
    assert len(after) == len(set(after)) == 6
    assert set(before) <= set(after)


@pytest.mark.slow
def test_ctrl_c_leaves_a_report_of_what_there_is_and_the_run_goes_on(
    command, space, fakes, tmp_path
):
    words = faked("--trials", "30", "--out", "run", estimator="Slow")
    output, rest = interrupted(words, tmp_path, signal.SIGINT, "[4/30]")
    assert "stopped; continue with: python -m nas.search --resume run" in rest
    assert "Traceback" not in rest
    run = tmp_path / "run"
    before = completed(tmp_path)
    assert 4 <= len(before) < 30
    assert f"Pareto front of {len(before)} networks" in output
    trials = pd.read_csv(run / "trials.csv")
    assert set(trials[trials["state"] == "complete"]["spec_hash"]) == set(before)
    assert "<svg" in (run / "report.html").read_text()
    assert (run / "best.yaml").exists()

    result = command("nas.search", "--resume", "run", "--trust-config")
    assert result.returncode == 0, result.stderr
    after = completed(tmp_path)
    assert len(after) == len(set(after)) == 30
    assert set(before) <= set(after)

    own = ("--estimator", "nas.testing.fakes:Slow", "--device", "nas.testing.fakes:InstantDevice")
    more = command("nas.search", "--resume", "run", *own, "--trials", "31", "--json")
    assert more.returncode == 0, more.stderr
    assert json.loads(more.stdout)["completed"] == 31


def completed(folder):
    return [
        trial.user_attrs["spec_hash"]
        for trial in complete(trials_of(f"sqlite:///{folder}/run/study.db"))
    ]


@pytest.mark.slow
def test_a_search_goes_on_past_networks_that_fail_die_and_hang(command, space, fakes, tmp_path):
    words = ("--trials", "6", "--sampler", "random", "--trial-timeout", "2s", "--out", "run")
    result = command(*faked(*words, estimator="Moody"))
    assert result.returncode == 0, result.stderr
    trials = pd.read_csv(tmp_path / "run" / "trials.csv")
    done = trials[trials["state"] == "complete"]
    assert len(done) == 6
    assert done["accuracy"].notna().all()
    failed = trials[trials["state"] == "fail"]
    assert set(failed["reason"]) == {
        "the training loss is nan in epoch 1",
        "the worker process died: signal 9 (as when memory runs out)",
        "it took longer than 2 s (--trial-timeout)",
    }
    assert failed["accuracy"].isna().all()
    assert set(trials["state"]) == {"complete", "fail"}
    for row in failed.to_dict("records"):
        assert f"trial {row['number']} failed: {row['reason']}" in result.stderr


@pytest.mark.slow
def test_a_search_in_which_everything_fails_ends_with_the_reason(command, space, fakes, tmp_path):
    words = ("--trials", "50", "--sampler", "random", "--out", "run")
    result = command(*faked(*words, estimator="Hopeless"))
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert "trials ended without a result and 0 with one" in last
    assert "times): the data cannot be learned. Remove the cause, then continue with" in last
    assert "--resume run; or start again with other limits: --config run/config.yaml" in last
    trials = pd.read_csv(tmp_path / "run" / "trials.csv")
    assert set(trials["state"]) == {"fail"}
    assert len(trials) < 20
    again = command(
        "nas.search", "--resume", "run", "--trust-config"
    )  # who resumes may have mended the cause
    assert again.returncode == 2
    assert len(pd.read_csv(tmp_path / "run" / "trials.csv")) == 2 * len(trials)


@pytest.mark.slow
def test_known_cost_keeps_a_latency_limit_once_it_knows_latency(command, fakes, tmp_path):
    words = (
        "--space",
        "mixnet",
        "--estimator",
        "nas.testing.fakes:Instant",
        *FAKES,
        "--workers",
        "1",
    )
    limit = ("--limit", "latency=2.5ms", "--trials", "24", "--out", "run")
    result = command("nas.search", *words, *limit)
    assert result.returncode == 0, result.stderr
    trials = pd.read_csv(tmp_path / "run" / "trials.csv")
    done = trials[trials["state"] == "complete"]
    assert len(done) == 24
    assert (done["latency_ms"] <= 2.5).all()
    # Two of three networks of the space are slower, so random ones would be pruned 48 times.
    assert (trials["state"] == "pruned").sum() <= 16


@pytest.mark.slow
def test_a_small_space_ends_the_search_when_it_is_used_up(command, fakes, tmp_path):
    text = SPACE.replace("{groups: [1, 3], of: [3, 5, 7]}", "3").replace("[2, 3]}\n", "[2]}\n")
    (tmp_path / "small.yaml").write_text(text.replace("[1, 2]", "[1]"), encoding="utf-8")
    result = command(*faked("--trials", "5", "--out", "run"))
    assert result.returncode == 0, result.stderr
    words = r"every network of '\w+' within the limits was tried, 2 in all"
    assert re.search(words, result.stderr)
    trials = pd.read_csv(tmp_path / "run" / "trials.csv")
    assert list(trials["state"]).count("complete") == 2
    again = command("nas.search", "--resume", "run", "--trust-config")
    assert again.returncode == 0, again.stderr
    assert len(completed(tmp_path)) == 2


@pytest.mark.slow
def test_latency_is_predicted_in_the_loop_and_measured_on_the_front(
    command, refused, space, fakes, tmp_path
):
    instant = ("--estimator", "nas.testing.fakes:Instant")
    words = search("--latency", "predicted", "--trials", "6", "--out", "run", *instant)
    told = refused(*words)
    assert not (tmp_path / "run").exists()
    assert "there is no latency predictor for 'small' on onnxruntime:cpu" in told
    assert "python -m nas.device fit --space small.yaml --device" in told

    fitted = command("nas.device", "fit", "--space", "small.yaml", "--networks", "20",
                     "--checks", "8", "--json", timeout=300)  # fmt: skip
    assert fitted.returncode == 0, fitted.stderr
    card = json.loads(fitted.stdout)
    assert (card["networks"], card["n"], len(card["errors"])) == (20, 8, 8)
    assert card["within_5"] <= card["within_10"] <= 1

    reward = ("--objective", "absolute", "--target", "1ms")
    words = ("--sampler", "random", "--trials", "16", "--out", "run2", "--json")
    words = search(*words, *reward, *instant)
    result = command(*words, timeout=300)
    assert result.returncode == 0, result.stderr
    trials = pd.read_csv(tmp_path / "run2" / "trials.csv")
    told = trials_of(f"sqlite:///{tmp_path}/run2/study.db")
    # Networks that are too unlike the predictor's 20 are measured in the loop, too.
    sources = {trial.user_attrs["latency"]["source"] for trial in told}
    assert "predicted" in sources <= {"predicted", "measured"}
    # A predictor of 20 networks may be so far off that all of them are measured in the end.
    assert "measured" in set(trials["latency_source"]) <= {"predicted", "measured"}
    front = {row["name"] for row in json.loads(result.stdout)["pareto"]}
    measured = trials[trials["latency_source"] == "measured"]
    assert front <= {f"trial_{number}" for number in measured["number"]}
    assert (measured["latency_n"] > 0).all()
    predicted = trials[trials["latency_source"] == "predicted"]
    assert (predicted["latency_n"] == 0).all()
    expected = trials["score"] - 0.07 * (trials["latency_ms"] / 1.0 - 1).abs()
    assert (trials["reward"] - expected).abs().max() < 1e-9
    best = yaml.safe_load((tmp_path / "run2" / "best.yaml").read_text())
    top = trials.sort_values("reward", ascending=False).iloc[0]["number"]
    assert best["name"] == f"small_trial_{top}"
