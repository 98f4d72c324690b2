from nas.export.int8.table import int8_remarks, show_int8

DEVICE = {
    "device": "litert:cpu",
    "runtime": "ai-edge-litert 2.3.0",
    "machine": "a board",
    "threads": 1,
    "batch": 1,
}
FACTS = {
    "calibrated_on": "128 training images of digits",
    "accuracy": {
        "images": 360,
        "fp32": 0.9611,
        "int8": 0.9472,
        "loss_points": 1.39,
        "loss_points_error": 0.8,
        "same_class": 0.975,
    },
    "latency": {
        "fp32": {**DEVICE, "steady_ms": 8.0, "noise": ["the machine was busy"]},
        "int8": {**DEVICE, "steady_ms": 3.0, "noise": []},
    },
    "bytes": {"fp32": 16_500_000, "int8": 4_290_000},
}


def test_before_and_after_stand_side_by_side(capsys):
    show_int8(FACTS, "mixnet_s: tflite-int8")
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    table = "\n".join(line.replace("│", "|") for line in shown)
    assert "accuracy (360 validation images) | 96.1% | 94.7% | -1.4 points (-2.2 to -0.6)" in table
    assert "images given the same class | | 97.5% |" in table
    assert "latency (ms) | 8.00 | 3.00 | 0.38 times" in table
    assert "size (MB) | 16.50 | 4.29 | 0.26 times" in table
    assert "calibrated on 128 training images of digits; accuracy: top-1" in " ".join(shown)
    assert "litert:cpu, ai-edge-litert 2.3.0, a board, 1 thread, batch 1" in " ".join(shown)


def test_random_weights_have_no_accuracy(capsys):
    show_int8({**FACTS, "accuracy": None}, "mixnet_s: tflite-int8")
    shown = " ".join(capsys.readouterr().out.split())
    assert "validation images" not in shown
    assert "no accuracy: the weights are random" in shown


def test_what_disturbed_the_measurements_is_told():
    assert int8_remarks(FACTS) == ["latency with fp32: the machine was busy"]
