"""What a user may get wrong in a search, and what is said then."""

import pandas as pd
import pytest
import yaml
from filelock import FileLock

from tests.conftest import refusal
from tests.searching import SPACE, faked, search, write_space


@pytest.fixture
def space(tmp_path):
    return write_space(tmp_path)


def test_a_reward_wants_accuracies(refused, space):
    words = ("--estimator", "zero-cost", "--objective", "mnasnet", "--target", "8ms")
    said = refused(*search(*words, "--device", "nas.testing.fakes:InstantDevice"))
    assert (
        "combines accuracies between 0 and 1, which the estimator 'zero-cost' does not give" in said
    )


def test_a_latency_nothing_meets_ends_the_search(command, space, fakes, tmp_path):
    result = command(*faked("--limit", "latency=1us", "--out", "run", "--trials", "3"))
    assert result.returncode == 2
    assert "trials ended without a result" in result.stderr
    assert "latency <= 0.001ms" in result.stderr
    assert "Traceback" not in result.stderr
    trials = pd.read_csv(tmp_path / "run" / "trials.csv")
    assert set(trials["state"]) == {"pruned"}
    assert trials["accuracy"].isna().all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--budget", "1k"), "no network of 'small' has madds <= 1k; the nearest has madds = 147k"),
        (("--budget", "4x"), "'4x' is not a count; accepted forms"),
        (("--limit", "speed=4"), "unknown metric 'speed'"),
        (("--limit", "latency=8"), "accepted forms: 8ms"),
        (("--budget", "4M", "--limit", "madds=5M"), "two limits on madds"),
        (("--data", "digit"), "unknown data set 'digit' (did you mean 'digits'?)"),
        (("--device", "gpu"), "unknown device 'gpu'"),
        (("--device", "torch:cpu") * 2, "at least one device, and each only once"),
        (("--limit", "latency@litert:cpu=8ms"), "litert:cpu is not a device of the search; these"),
        (("--limit", "params@litert:cpu=3M"), "only latency is that of a device"),
        (("--estimator", "long"), "unknown estimator 'long'"),
        (("--retrain", "imags=3"), "unknown setting of --retrain 'imags'"),
        (("--sampler", "best"), "unknown sampler 'best'"),
        (("--trial-timeout", "10 parsecs"), "'10 parsecs'"),
        (("--interval", "1h"), "'1h' is not a time; accepted forms: 8ms"),
        (("--interval", "1000s"), "an interval of 1000s is too long; the longest is 10s"),
        (("--estimator", "tests.nothing:Here"), "estimator tests.nothing:Here: there is no module"),
        (("--reference", "mixnet_q"), "unknown network 'mixnet_q'"),
        (("--space", "missing.yaml"), "missing.yaml: no such file"),
        (("--space", "mixnat"), "unknown space 'mixnat' (did you mean 'mixnet'?)"),
        (("--config", "missing.yaml"), "missing.yaml: no such file"),
        (("--resume", "missing"), "missing is not a run directory"),
        (("--quick", "--thorough"), "--quick and --thorough exclude each other; give one"),
        (("--resume", "missing", "--quick"), "--quick chooses the settings of a new search"),
    ],
)
def test_mistakes_are_told_in_one_line_and_nothing_is_made(
    refused, space, tmp_path, words, message
):
    words = ("nas.search", *(() if "--space" in words or "--resume" in words or "--config" in words
                             else ("--space", "small.yaml")), *words)  # fmt: skip
    assert message in refused(*words, *(() if "--resume" in words else ("--out", "run")))
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("depth:", "depht:", "bad.yaml:9: stages.a.depht: unknown key 'depht' (did you mean"),
        (
            "[3, 5, 7]",
            "[3, 4, 7]",
            "bad.yaml:11: stages.a.kernels.of[1]: kernel size 4 is not supported",
        ),
        ("[1, 3]", "[1, 6]", "groups from 1 to 6; allowed: 1 to 5 groups"),
        ("stem: {", "stem: {{", "not valid YAML"),
    ],
)
def test_mistakes_in_a_space_name_the_line(refused, tmp_path, old, new, message):
    (tmp_path / "bad.yaml").write_text(SPACE.replace(old, new, 1), encoding="utf-8")
    assert message in refused("nas.search", "--space", "bad.yaml", "--out", "run")
    assert message in refused("nas.space", "validate", "bad.yaml")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("workers", 0, "workers: input should be greater than or equal to 1; found 0"),
        ("trials", -3, "greater than or equal to 1; found -3"),
        ("threads", 0, "greater than or equal to 1; found 0"),
        ("seed", 10**30, "seed: input should be"),
        ("trails", 7, "unknown key 'trails' (did you mean 'trials'?)"),
        ("space", "gone.yaml", "gone.yaml: no such file"),
    ],
)
def test_a_config_is_checked(refused, tmp_path, key, value, message):
    config = {
        "space": "mixnet", "limits": {}, "data": "digits", "estimator": "short", "trials": 2,
        "device": "onnxruntime:cpu", "sampler": "random", "references": [], "seed": 0,
        "workers": 1, "threads": 1, key: value,
    }  # fmt: skip
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    assert message in refused("nas.search", "--config", "config.yaml", "--out", "run")
    assert not (tmp_path / "run").exists()


def test_damaged_runs_are_refused(command, space, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "space.yaml").write_text(SPACE, encoding="utf-8")
    config = {
        "space": "small.yaml", "limits": {}, "data": "digits", "estimator": "short", "trials": 2,
        "device": "onnxruntime:cpu", "sampler": "random", "references": [], "seed": 0,
        "workers": 1, "threads": 1,
    }  # fmt: skip
    (run / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (run / "study.db").write_bytes(b"no database at all" * 100)
    resume = ("nas.search", "--resume", "run")  # each in a process that lets go of the folder
    assert "cannot be used" in refusal(command(*resume))
    (run / "study.db").unlink()
    (run / "trials.csv").write_text("number\n0\n")
    assert "has trials.csv, but no study in its study.db" in refusal(command(*resume))
    assert (run / "trials.csv").read_text() == "number\n0\n"


def test_one_process_at_a_time_works_in_a_run(refused, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump({
        "space": "mixnet", "limits": {}, "data": "digits", "estimator": "short", "trials": 2,
        "device": "onnxruntime:cpu", "sampler": "random", "references": [], "seed": 0,
        "workers": 1, "threads": 1,
    }), encoding="utf-8")  # fmt: skip
    with FileLock(tmp_path / "run" / ".lock"):
        before = (tmp_path / "run" / "config.yaml").read_text()
        told = refused("nas.search", "--resume", "run", "--trials", "5")
        assert "another process is working" in told
        assert (tmp_path / "run" / "config.yaml").read_text() == before


def test_resume_takes_no_other_settings(refused, tmp_path):
    message = refused("nas.search", "--resume", "run", "--seed", "3", "--space", "mixnet")
    assert message.startswith("--resume continues a run with its own settings; only --")
    assert message.endswith("may be given with it, not seed, space")
    message = refused("nas.search", "--resume", "run", "--limit", "latency=8ms")
    assert message.endswith("may be given with it, not limits")


def test_objectives_that_make_no_sense_are_refused(refused, space):
    words = search("--objective", "mnasnet", "--out", "run")
    assert "needs a target latency, such as --target 8ms" in refused(*words)
    words = search("--target", "8ms", "--out", "run")
    assert "objective 'pareto' has no target latency" in refused(*words)
    told = refused(*search("--latency", "guessed", "--out", "run"))
    assert "unknown value 'guessed'; allowed: auto, measured, predicted" in told
