import pytest

from nas.errors import UnrunnableError
from nas.latency.agent.accepted import ACCEPTED
from nas.latency.runtimes import FAMILIES
from tests.latency.agent.tflite_models import negation


def test_every_format_of_a_runtime_is_accepted():
    formats = {family.model_format for family in FAMILIES.values()} - {None}
    assert formats == set(ACCEPTED)


@pytest.mark.parametrize(
    ("name", "head", "begins"),
    [
        ("onnx", b"\x08", True),
        ("onnx", b"\x0a", False),
        ("onnx", b"{", False),
        ("tflite", b"\x1c\0\0\0TFL3", True),
        ("tflite", b"\x1c\0\0\0TFL2", False),
        ("tflite", b"TFL3\0\0\0\0", False),
        ("ncnn", b"mixncnn1", True),
        ("ncnn", b"7767517\n", False),
    ],
)
def test_the_first_bytes_tell_other_files(name, head, begins):
    assert len(head) == ACCEPTED[name].head
    assert ACCEPTED[name].begins(head) is begins


def test_models_are_checked_by_the_module_of_their_format():
    model = negation()
    ACCEPTED["tflite"].check(model)
    with pytest.raises(UnrunnableError, match="the body is not an ONNX model"):
        ACCEPTED["onnx"].check(model)
    with pytest.raises(UnrunnableError, match="the body is not a TensorFlow Lite model"):
        ACCEPTED["tflite"].check(b"\x08\x09")
