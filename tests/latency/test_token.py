import pytest

from nas.latency.token import can_be_token


@pytest.mark.parametrize("text", ["a", "A-Za_z0~9", "!#$%&'*+/=?"])
def test_printable_ascii_can_be_a_token(text):
    assert can_be_token(text)


@pytest.mark.parametrize("text", ["two words", "é", "a\tb", "a\nb", "a\x7f", "a\u00a0b"])
def test_spaces_controls_and_other_letters_cannot(text):
    assert not can_be_token(text)
