import pandas as pd

from analysis.read.devices import (
    devices_of,
    distinct_stems,
    file_names,
    joint_objectives,
    limits_on,
    table_on,
    within_all,
)
from analysis.read.runs import within_limits


def test_a_configuration_names_one_device_or_lists_several():
    assert devices_of("litert:cpu") == ("litert:cpu",)
    assert devices_of(["a", "b"]) == ("a", "b")
    assert devices_of([]) == ("[]",)


def test_a_table_is_seen_by_one_device():
    table = pd.DataFrame({"score": [0.5], "latency_ms": [1.0], "latency_ms@b": [2.0], "x@b.b": [3]})
    assert table_on(table, "b")["latency_ms"].tolist() == [2.0]
    assert table_on(table, "b")["score"].tolist() == [0.5]
    assert list(table_on(table, "b").columns) == list(table.columns)
    pd.testing.assert_frame_equal(table_on(table, "other"), table)


def test_what_keeps_all_limits_keeps_those_of_every_device():
    columns = {"within_limits@a": [True, True, None], "within_limits@b": ["True", "False", "True"]}
    table = pd.DataFrame({"number": [0, 1, 2], **columns})
    assert within_limits(within_all(table, ["a", "b"]))["number"].tolist() == [0]
    plain = pd.DataFrame({"number": [0]})
    assert within_all(plain, ["a"]) is plain


def test_the_limits_of_a_device_are_its_own_or_those_of_none():
    limits = {"madds": "3M", "latency": "9ms", "latency@a": "5ms"}
    assert limits_on(limits, "a") == {"madds": "3M", "latency": "5ms"}
    assert limits_on(limits, "b") == {"madds": "3M", "latency": "9ms"}


def test_the_joint_objectives_are_the_score_and_every_latency():
    assert list(joint_objectives(["b", "a"]).items()) == [
        ("score", "max"),
        ("latency_ms@b", "min"),
        ("latency_ms@a", "min"),
    ]


def test_devices_are_called_apart_in_the_names_of_files():
    devices = ["litert:cpu", "http://board:7070/litert:cpu", "litert-cpu", "../../etc", "all", "//"]
    assert list(file_names(devices).values()) == [
        "litert-cpu", "http-board-7070-litert-cpu", "litert-cpu-2", "etc", "all-2", "device",
    ]  # fmt: skip


def test_file_names_are_plain_and_differ():
    assert distinct_stems(["a/b", "a b", "..", "a-b"], "x", ["x"]) == [
        "a-b",
        "a-b-2",
        "x-2",
        "a-b-3",
    ]
