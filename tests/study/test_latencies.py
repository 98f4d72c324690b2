from nas.study.latencies import (
    confirmed_attribute,
    confirmed_latencies,
    facts_about,
    latency_attribute,
)
from tests.study.test_table import LATENCY

DEVICES = ("litert:cpu", "http://board:7070/litert:cpu")


def test_the_first_device_has_the_names_of_a_search_on_one_device():
    assert latency_attribute(DEVICES[0], DEVICES) == "latency"
    assert latency_attribute(DEVICES[1], DEVICES) == f"latency@{DEVICES[1]}"
    assert facts_about(DEVICES[0], DEVICES) == "latencies"
    assert facts_about(DEVICES[1], DEVICES) == f"latencies on {DEVICES[1]}"
    assert confirmed_attribute(7, "latency") == "confirmed latency of trial 7"


def test_what_was_measured_later_is_found_again():
    names = [latency_attribute(device, DEVICES) for device in DEVICES]
    attributes = {confirmed_attribute(12, name): LATENCY for name in names}
    others = {"confirmed latency of trial x": LATENCY, "confirmed latency of trial 3": {"n": 1}}
    assert confirmed_latencies({**attributes, **others, "space": {}}) == {
        (12, name): LATENCY for name in names
    }
