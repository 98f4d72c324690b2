import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.errors import MixnasError
from nas.units import format_count, parse_count, parse_milliseconds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("400M", 400_000_000),
        ("0.4G", 400_000_000),
        ("5k", 5000),
        ("390000000", 390_000_000),
        (" 1.5 M ", 1_500_000),
        (12, 12),
    ],
)
def test_counts(text, value):
    assert parse_count(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("8ms", 8.0), ("500us", 0.5), ("0.01s", 10.0), ("2.5 ms", 2.5)]
)
def test_milliseconds(text, value):
    assert parse_milliseconds(text) == pytest.approx(value)


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
