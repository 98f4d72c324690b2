"""What the page says about supernets, their slices, and the winners of many trials."""

import pytest

from experiments import accuracy_benchmarks, benchmark_page, device_benchmarks
from experiments.accuracy_benchmarks import slices, supernet_settings, winners
from experiments.device_benchmarks import joint_search
from tests.experiments.test_deployment_benchmarks import ORIGIN


@pytest.fixture
def recorded_as(monkeypatch):
    def put(module, result):
        monkeypatch.setattr(module, "all_recorded", lambda _: {"record": {**ORIGIN, **result}})

    return put


def test_settings_are_told_by_table(recorded_as):
    def row(table, settings, *taus):
        supernets = [
            {
                "n": 64, "tau": interval(tau), "band": interval(tau / 2),
                "shares": [
                    {"share": share, "tau": interval(tau - 0.3 * abs(share - 0.5))}
                    for share in (0, 1 / 3, 2 / 3, 1)
                ],
            }
            for tau in taus
        ]  # fmt: skip
        return {
            "table": table, "settings": settings, "core_seconds": 300,
            "seconds_per_network": 2.41, "supernets": supernets,
        }  # fmt: skip

    def interval(value):
        return {"value": value, "low": value - 0.1, "high": value + 0.1}

    table = [row("mixnet", "", 0.6, 0.5), row("macro", "ema=0.99", 0.7)]
    recorded_as(accuracy_benchmarks, {"tolerance": 0.1, "rows": table})
    text = "\n".join(supernet_settings())
    assert "differ by less than 10%" in text
    assert "**Networks of `mixnet`, 64 networks**" in text
    taus = "0.60 (0.50 to 0.70); 0.50 (0.40 to 0.60) | 0.30 (0.20 to 0.40); 0.25 (0.15 to 0.35)"
    others = "0.45; 0.35 | 0.55; 0.45 | 0.55; 0.45 | 0.45; 0.35"
    assert f"| the default | 5 | 2.4 | {taus} | {others} |" in text
    assert "| `ema=0.99` | 5 | 2.4 | 0.70 (0.60 to 0.80) | 0.35 (0.25 to 0.45) | 0.55 | " in text
    assert "at similar MAdds | 0% others | 33% others | 67% others | 100% others |" in text


def test_winners_are_told_with_what_they_were_promised(recorded_as):
    leads = {
        "scores": {"promised": 0.05, "kept": 0.01, "kept_standard_error": 0.002},
        "beliefs": {"promised": 0.02, "kept": 0.015, "kept_standard_error": 0.001},
    }
    rows = [
        {"from_ms": 2.0, "to_ms": 2.5, "chosen_by": "scores", "trial": 3,
         "scores": 0.7, "beliefs": 0.6, "accuracies": [0.61, 0.63]},
    ]  # fmt: skip
    result = {
        "trials": 2000,
        "seconds": 4800.0,
        "supernet_trained": True,
        "fitting_seconds": 420.0,
        "images": 60_000,
        "score_sd": 0.0123,
    }
    recorded_as(accuracy_benchmarks, {**result, "leads": leads, "rows": rows})
    text = "\n".join(winners())
    assert (
        "with 2,000 trials, by one command in 80 minutes with the training of the supernet, after "
        "a latency predictor was fitted in 7 minutes." in text
    )
    assert "standard deviation of scores is 1.23 percentage points" in text
    assert "| scores | +5.00 | +1.00 ± 0.20 |" in text
    assert "| beliefs | +2.00 | +1.50 ± 0.10 |" in text
    assert "| 2.00 to 2.50 ms | scores | 70.0% | 60.0% | 62.0% ± 1.4% |" in text


def test_a_search_that_was_interrupted_has_no_time(recorded_as):
    result = {
        "trials": 20,
        "seconds": None,
        "supernet_trained": True,
        "fitting_seconds": 420.0,
        "images": 10,
        "score_sd": 0.1,
    }
    recorded_as(accuracy_benchmarks, {**result, "leads": {}, "rows": []})
    assert "with 20 trials, by one command, after a latency" in "\n".join(winners())


def test_slices_are_told_without_any_training_and_with(recorded_as):
    exported = {"test_accuracy": 0.6, "validation_images": 5000}
    exported |= {"right_in_onnxruntime": 3001, "right_in_the_search": 3002}
    rows = [{"epochs": 0, "slice": [0.6]},
            {"epochs": 1, "slice": [0.7, 0.72], "random": [0.5, 0.5]}]  # fmt: skip
    recorded_as(accuracy_benchmarks, {"exported": exported, "rows": rows})
    text = "\n".join(slices())
    assert "classifies 3,001 of 5,000 validation images" in text
    assert "in the search, 3,002 were." in text
    assert "| 0 | 60.0% |  |" in text
    assert "| 1 | 71.0% ± 1.4% | 50.0% ± 0.0% |" in text


def test_one_search_for_two_devices_is_compared_with_a_search_for_each(recorded_as):
    later = {"device": "c", "seconds": 90.0, "networks": 9, "examined_first": True}
    rows = [
        {"a": {"joint": 0.98, "separate": 0.9}, "b": {"joint": 1.0, "separate": 0.9},
         "later": later},
        {"a": {"joint": 1.0, "separate": 0.92}, "b": {"joint": 1.0, "separate": 0.9},
         "later": later | {"seconds": 60.0, "examined_first": False}},
    ]  # fmt: skip
    recorded_as(device_benchmarks, {"trials": 48, "means": {"a": {}, "b": {}}, "rows": rows})
    text = "\n".join(joint_search())
    assert "of 48 trials for two devices at once, against one of 24 for each" in text
    assert "`c` joined the search" in text
    assert "in 1.5 minutes where it had to be examined first and in 1.0 minutes where it" in text
    assert "| `a` | 99.0% ± 1.4% | 91.0% ± 1.4% |" in text


def test_kills_of_a_search_for_several_devices_are_told(recorded_as):
    result = {"devices": 2, "kills": 20, "lost": 0, "changed": 1, "double": 2}
    recorded_as(benchmark_page, result)
    told = "2 devices with 20 kills, 0 finished trials were lost, 1 changed, and 2 were done twice."
    assert told in "\n".join(benchmark_page._interruptions())


def test_what_has_not_been_measured_has_no_section(monkeypatch):
    for module in (accuracy_benchmarks, device_benchmarks):
        monkeypatch.setattr(module, "all_recorded", lambda _: {})
    assert [*supernet_settings(), *winners(), *slices(), *joint_search()] == []
