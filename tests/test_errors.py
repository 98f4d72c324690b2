import pytest

from nas import errors
from nas.errors import (
    DocumentError,
    ExhaustedError,
    LimitError,
    MixnasError,
    nearest,
    reason_of,
    unknown,
)


def test_the_closest_word_is_suggested():
    assert nearest("swich", ["relu", "swish"]) == " (did you mean 'swish'?)"
    assert nearest("SWISH", ["relu", "swish"]) == " (did you mean 'swish'?)"


@pytest.mark.parametrize("word", ["xyz", "", "42"])
def test_nothing_is_suggested_for_a_word_unlike_all_others(word):
    assert nearest(word, ["relu", "swish"]) == ""


def test_unknown_words_are_answered_with_all_allowed_ones_in_order():
    message = unknown("metric", "param", ["params", "madds"])
    assert message == "unknown metric 'param' (did you mean 'params'?); allowed: madds, params"
    assert unknown("op", 3, ["conv"]) == "unknown op '3'; allowed: conv"
    assert unknown("variable", "x", []) == "unknown variable 'x'; there is none"


def test_a_reason_is_one_line_in_words_of_the_user():
    with pytest.raises(ValueError, match=r"sys\.set_int_max_str_digits") as caught:
        int("9" * 5000)
    assert reason_of(caught.value) == "an integer has thousands of digits"
    assert reason_of(KeyError("space")) == "it has no 'space'"
    assert reason_of(ValueError("first\nsecond")) == "first"
    assert reason_of(MemoryError()) == "MemoryError"
    assert reason_of(ValueError("x" * 1000)) == "x" * 300


def test_every_error_is_one_that_commands_report_in_one_line():
    kinds = [
        k for k in vars(errors).values() if isinstance(k, type) and k.__module__ == "nas.errors"
    ]
    assert {DocumentError, ExhaustedError, LimitError} < set(kinds)
    assert all(issubclass(kind, MixnasError) for kind in kinds)
    assert issubclass(ExhaustedError, LimitError)
    assert not issubclass(LimitError, DocumentError)
