"""TensorFlow Lite models that are damaged, or reach beyond themselves."""

import random

import pytest

from nas.errors import UnrunnableError
from nas.latency.agent.tflite_checks import check_model
from tests.latency.agent import tflite_models
from tests.latency.agent.tflite_models import changed, endless, greedy, negation

MODEL = negation()


def test_models_of_built_in_operators_pass():
    check_model(MODEL)
    check_model(changed(lambda tables: None))
    check_model(endless())  # not harmful to look at
    check_model(greedy())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("with_own_operator", " (OpenFile)"),
        ("with_unnamed_operator", ""),
        ("with_old_operator_field", ""),
        ("with_delegate", ""),
        ("with_call", ""),
    ],
)
def test_operators_that_the_runtime_does_not_come_with_are_refused(change, named):
    with pytest.raises(UnrunnableError) as told:
        check_model(changed(getattr(tflite_models, change)))
    assert str(told.value) == (
        f"the model has an operator of its own{named}; the agent only runs models of built-in "
        "operators"
    )


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("with_buffer_behind_the_model", "a buffer"),
        ("with_external_buffer", "'images'"),
        ("with_list_of_files", "its buffers"),
        ("with_options_behind_the_model", "an operator's options"),
    ],
)
def test_data_outside_of_the_model_is_refused(change, what):
    with pytest.raises(UnrunnableError, match=f"keeps the data of {what} outside of itself"):
        check_model(changed(getattr(tflite_models, change)))


@pytest.mark.parametrize("body", [b"", b"\x1c\x00\x00\x00TFL2", b"\x08\x09", MODEL[:6]])
def test_other_bodies_are_refused(body):
    with pytest.raises(UnrunnableError, match="the body is not a TensorFlow Lite model"):
        check_model(body)


def refused(model):
    try:
        check_model(model)
    except UnrunnableError:
        return True
    return False


def test_a_vector_cannot_be_longer_than_the_model():
    one, huge = (1).to_bytes(4, "little"), b"\xff\xff\xff\x7f"
    places = [at for at in range(8, len(MODEL), 4) if MODEL[at : at + 4] == one]
    damaged = [MODEL[:at] + huge + MODEL[at + 4 :] for at in places]
    # The vectors of operator codes, subgraphs and operators have one entry each.
    assert sum(map(refused, damaged)) >= 3


def test_damage_anywhere_ends_with_a_reason_or_not_at_all():
    rng = random.Random(0)

    def damaged():
        model = bytearray(MODEL)
        for _ in range(3):
            model[rng.randrange(8, len(model))] = rng.randrange(256)
        return bytes(model[: rng.randrange(8, len(model) + 1)])

    assert sum(refused(damaged()) for _ in range(400)) > 100
