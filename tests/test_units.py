import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.errors import MixnasError
from nas.units import (
    format_count,
    number_of,
    parse_bytes,
    parse_count,
    parse_interval,
    parse_milliseconds,
    parse_seconds,
    with_unit_of,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("400M", 400_000_000),
        ("0.4G", 400_000_000),
        ("5k", 5000),
        ("390000000", 390_000_000),
        (" 1.5 M ", 1_500_000),
        (12, 12),
        ("100,000,001", 100_000_001),
    ],
)
def test_counts(text, value):
    assert parse_count(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8ms", 8.0),
        ("500us", 0.5),
        ("500 us", 0.5),
        ("500\u00b5s", 0.5),  # the micro sign
        ("500\u03bcs", 0.5),  # the Greek letter
        ("0.01s", 10.0),
        ("2.5 ms", 2.5),
    ],
)
def test_milliseconds(text, value):
    assert parse_milliseconds(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4MB", 4_000_000),
        ("4M", 4_000_000),
        ("512KiB", 524_288),
        ("0.5 GB", 500_000_000),
        ("53,248 B", 53_248),
        (53248, 53_248),
    ],
)
def test_bytes(text, value):
    assert parse_bytes(text) == value


def test_seconds():
    assert [parse_seconds(text) for text in ("90s", "10min", "10m", "2h")] == [90, 600, 600, 7200]


@pytest.mark.parametrize("text", ["4MiBs", "4Q", "", "4,00"])
def test_bad_sizes_name_the_accepted_forms(text):
    with pytest.raises(MixnasError, match=r"not a size in memory; accepted forms: 4MB"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "other", "result"),
    [("390", "400M", "390M"), ("390k", "400M", "390k"), ("390", "", "390"), ("x", "400M", "x")],
)
def test_a_number_without_unit_has_that_of_another(text, other, result):
    assert with_unit_of(text, other) == result


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (999, "999"),
        (999_400, "999k"),
        (999_600, "1M"),
        (339_000_000, "339M"),
        (5_010_000, "5.01M"),
        (12_340, "12.3k"),
        (2_500_000_000, "2.5G"),
    ],
)
def test_formatted_counts(value, text):
    assert format_count(value) == text


@pytest.mark.parametrize("text", ["", "M", "4 00M", "400Q", "-5M", "1e", "nan", "inf"])
def test_bad_counts_name_the_accepted_forms(text):
    with pytest.raises(MixnasError, match=r"accepted forms: 400M, 0\.4G"):
        parse_count(text)


@pytest.mark.parametrize("text", ["8", "8m", "ms", "8 minutes"])
def test_a_time_needs_its_unit(text):
    with pytest.raises(MixnasError, match="accepted forms: 8ms"):
        parse_milliseconds(text)


@given(st.integers(0, 10**12))
def test_formatting_keeps_three_digits(value):
    assert parse_count(format_count(value)) == pytest.approx(value, rel=0.005)


def test_one_thing_is_not_plural():
    assert number_of(1, "network") == "1 network"
    assert number_of(0, "network") == "0 networks"
    assert number_of(12_345, "class", "classes") == "12,345 classes"
    assert number_of(1, "class", "classes") == "1 class"


def test_intervals_are_times_up_to_ten_seconds():
    assert [parse_interval(text) for text in ("0ms", "200ms", "0.2s", "10s")] == [0, 200, 200, 10e3]
    with pytest.raises(MixnasError, match="an interval of 11s is too long; the longest is 10s"):
        parse_interval("11s")
    with pytest.raises(MixnasError, match="'200' is not a time; accepted forms: 8ms"):
        parse_interval("200")
