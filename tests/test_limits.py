import pytest

from nas.cost import Cost
from nas.errors import LimitError
from nas.limits import (
    Limit,
    format_metric,
    limits_on,
    parse_limit,
    parse_limits,
    total_violation,
)


def test_forms():
    assert parse_limit("madds", "400M") == Limit("madds", None, 400_000_000)
    assert parse_limit("madds", "390M..400M") == Limit("madds", 390_000_000, 400_000_000)
    assert parse_limit("params", "3M..") == Limit("params", 3_000_000, None)
    assert parse_limit("params", "..3M") == Limit("params", None, 3_000_000)
    assert parse_limit("latency", "8ms") == Limit("latency", None, 8.0)
    assert parse_limit("madds", "400M..400M") == Limit("madds", 400_000_000, 400_000_000)
    assert parse_limit("madds", "400M..400M").violation(400_000_000) == 0
    assert parse_limit("peak_memory", "4MB") == Limit("peak_memory", None, 4_000_000)
    assert parse_limit("peak_memory", "2..4MB") == Limit("peak_memory", 2_000_000, 4_000_000)


def test_units_are_one_rule_for_both_ends():
    wanted = Limit("madds", 390_000_000, 400_000_000)
    for text in ("390..400M", "390M..400M", "390M..400", "390000k..400M", "390 .. 400 M"):
        assert parse_limit("madds", text) == wanted
    assert parse_limit("latency", "7..8ms") == Limit("latency", 7.0, 8.0)
    assert parse_limit("latency", "500..900\u03bcs") == Limit("latency", 0.5, 0.9)
    assert parse_limit("madds", "100..200") == Limit("madds", 100, 200)
    with pytest.raises(LimitError, match="a bound without a unit has that of the other"):
        parse_limit("madds", "390000000..400M")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("speed=3", "unknown metric 'speed'"),
        ("param=3", "did you mean 'params'"),
        ("params", "write metric=value"),
        ("params=..", "has no bound; write 400M or 390M..400M"),
        ("latency=..", "has no bound; write 30ms or 20ms..30ms"),
        ("latency=8", "a range is written 20ms..30ms"),
        ("peak_memory=1s..", "a range is written 2MB..4MB"),
        ("params=5M..3M", "put the lower bound first"),
        ("latency=8", "accepted forms: 8ms"),
        ("params=many", "accepted forms: 400M"),
    ],
)
def test_bad_limits_say_what_to_write(text, words):
    with pytest.raises(LimitError, match=words):
        parse_limits([text])


def test_excess_is_relative_and_zero_inside():
    limit = parse_limit("madds", "100..200")
    assert limit.violation(100) == limit.violation(200) == limit.violation(150) == 0
    assert limit.violation(300) == pytest.approx(0.5)
    assert limit.violation(50) == pytest.approx(0.5)


def test_total_excess_skips_what_is_not_known():
    cost = Cost(params=10, madds=300, activations=1, peak_memory=1)
    limits = parse_limits(["madds=..200", "params=20..", "latency=1ms"])
    assert total_violation(limits, cost) == pytest.approx(0.5 + 0.5)
    assert total_violation(limits, {"latency": 2.0}) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("madds", 339_123_456, "339M (339,123,456)"),
        ("peak_memory", 53_248, "53.2kB (53,248)"),
        ("peak_memory", 999, "999 B"),
        ("params", 999, "999"),
        ("latency", 2.345, "2.35 ms"),
    ],
)
def test_metrics_have_their_units(metric, value, text):
    assert format_metric(metric, value) == text
    parsed = parse_limit(metric, text.partition(" (")[0]).upper
    assert parsed == pytest.approx(value, rel=5e-3)  # what is printed is read


def test_limits_read_as_people_write_them():
    assert str(parse_limit("madds", "400M")) == "madds <= 400M"
    assert str(parse_limit("madds", "100000000..100000001")) == "100M <= madds <= 100,000,001"
    assert str(parse_limit("latency", "2ms..")) == "latency >= 2ms"


def test_a_limit_on_latency_may_be_that_of_one_device():
    limit = parse_limit("latency@http://board:7070", "7..8ms")
    assert limit == Limit("latency", 7.0, 8.0, "http://board:7070")
    assert str(limit) == "7ms <= latency@http://board:7070 <= 8ms"
    assert parse_limits(["latency@litert:cpu=8ms"]) == [Limit("latency", None, 8.0, "litert:cpu")]
    for metric in ("params@litert:cpu", "latency@"):
        with pytest.raises(LimitError, match=f"'{metric}' is no metric: only latency is that of"):
            parse_limit(metric, "8ms")


def test_the_limits_of_a_device_are_its_own_or_those_of_none():
    plain, own, other = parse_limits(["latency=8ms", "latency@a=5ms", "params=3M"])
    assert limits_on("a", [plain, own, other]) == [own]
    assert limits_on("b", [plain, own, other]) == [plain]
    assert limits_on("b", [own, other]) == []
