"""What is learned from one measured network."""

import pytest

from nas.latency.prediction.observations import Observation, fitted, forms_seen, observe, trust
from tests.latency.records import latency


def work_of(form):
    return {"layers": float(len(form))}


def test_noisy_latencies_are_trusted_less():
    assert (trust(latency()), trust(latency(noise=("a",)))) == (1.0, 0.1)


def test_every_form_that_was_timed_teaches_something():
    times = {"as trained": 20.0, "by layer": 10.0, "merged": 11.0}
    seen = observe(latency(steady_ms=4.0).chosen_among("by layer", times), work_of)
    assert (seen.latency_ms, seen.trust, seen.form) == (4.0, 1.0, "by layer")
    assert seen.ratios == {"as trained": 2.0, "by layer": 1.0, "merged": 1.1}
    assert seen.work == {name: work_of(name) for name in times}


@pytest.mark.parametrize(
    ("form", "times"),
    [
        ("", {}),  # as trained, on a device that was told not to lower
        ("as trained", {}),  # the only form that it has
        ("own", {"own": 3.0, "unheard of": 1.0}),  # a device of the user's own
        ("own", {"by layer": 3.0}),  # times without that of the form that was measured
    ],
)
def test_a_form_alone_is_what_was_measured(form, times):
    seen = observe(latency(steady_ms=4.0).chosen_among(form, times), work_of)
    assert (seen.ratios, seen.work) == ({form: 1.0}, {form: work_of(form)})


@pytest.mark.parametrize(
    ("form", "work", "ratios"),
    [
        ("a", {"a": {}, "b": {}}, {"a": 1.0}),
        ("a", {"a": {}}, {"a": 1.0, "b": 1.0}),
        ("c", {"a": {}}, {"a": 1.0}),
        ("a", {"a": {}}, {"a": 0.0}),
    ],
)
def test_what_a_damaged_file_says_is_refused(form, work, ratios):
    with pytest.raises(ValueError, match=r"ratios|greater than 0"):
        Observation(1.0, 1.0, form, work, ratios)


def test_forms_are_named_once_in_order():
    both = Observation(1.0, 1.0, "b", {"b": {}, "a": {}}, {"b": 1.0, "a": 1.0})
    one = Observation(1.0, 1.0, "c", {"c": {}}, {"c": 1.0})
    assert forms_seen([both, one, both]) == ["b", "c"]


def slope(form, ratios):
    """Return the cost of a layer by networks whose forms cost 1 ms or 3 ms for each layer."""
    own = {"fast": 1.0, "slow": 3.0}[form]
    seen = [
        Observation(
            latency_ms=own * n,
            trust=1.0,
            form=form,
            work={name: {"layers": float(n)} for name in ratios},
            ratios=ratios,
        )
        for n in range(1, 9)
    ]
    return fitted(seen).part_ms({"layers": 1.0})


def test_the_form_that_was_measured_counts_most():
    assert slope("fast", {"fast": 1.0}) == pytest.approx(1, rel=0.05)
    assert slope("fast", {"fast": 1.0, "slow": 3.0}) == pytest.approx(1, rel=0.1)
    assert slope("slow", {"fast": 1 / 3, "slow": 1.0}) > 1.3
