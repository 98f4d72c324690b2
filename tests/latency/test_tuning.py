"""The choice of the fastest forms, on a runtime whose times are known."""

from collections import Counter

import pytest

from nas.ir import MixConv, Pad, SqueezeExcite, conv_channels, walk
from nas.latency import tuning
from nas.latency.profile import LayerSignature
from nas.lowering import candidates
from nas.machine import MachineLoad


@pytest.mark.parametrize(
    ("times", "best"),
    [
        ({"merge": 1.0, "padded": 0.97}, "merge"),  # saves less than 4%
        ({"merge": 1.0, "padded": 0.95}, "padded"),
        ({"merge": 1.0, "split": 0.81}, "merge"),  # slices must save 20%
        ({"merge": 1.0, "split": 0.79, "padded": 0.9}, "split"),
        ({"merge": 1.0, "split": 0.79, "padded": 0.7}, "padded"),
        ({"merge": 1.0, "halves": 0.81, "padded": 0.95}, "padded"),
        ({"merge": 1.0, "grouped": 0.91}, "merge"),
        ({"merge": 1.0, "grouped": 0.89}, "grouped"),
    ],
)
def test_another_form_must_save_enough_time(times, best):
    assert tuning._best(times, "merge") == best


def test_times_are_lower_quartiles_relative_to_the_default_form():
    times = {"merge": iter([4.0, 9.0, 4.0, 4.0] * 99), "split": iter([2.0] * 999)}
    runs = {name: lambda values=values: next(values) for name, values in times.items()}
    assert tuning._relative_times(runs, "merge") == {"merge": 1.0, "split": 0.5}


def test_the_sample_of_layers():
    layers = list(tuning.layers())
    kinds = Counter(LayerSignature.of(node, shape).kind for node, shape in layers)
    # Ladders of 2 to 5 kernels at 8 pairs of size and stride, 4 single kernels at 3 sizes.
    assert kinds == {"depthwise": 4 * 8 + 4 * 3, "gate": 3, "pointwise": 10}
    for node, (channels, height, width) in layers:
        assert height == width
        inputs = node.reduce.in_channels if isinstance(node, SqueezeExcite) else None
        assert (inputs or conv_channels(node)[0]) == channels
        if isinstance(node, MixConv):
            assert len(tuning._choices(node)) == len(candidates(node)) > 1


class Stopwatch:
    """A runtime in which every network takes 10 ms, less for each layer that pads."""

    def __init__(self, disturbed=()):
        self.disturbed = list(disturbed)
        self.loaded = 0

    def load(self, program):
        self.loaded += 1
        padded = sum(isinstance(layer.leaf, Pad) for layer in walk(program.tree, program.shape))
        wide = sum(
            isinstance(layer.leaf, SqueezeExcite) and layer.leaf.wide
            for layer in walk(program.tree, program.shape)
        )
        return lambda: 10.0 - padded - 0.1 * wide


@pytest.fixture
def few_layers(monkeypatch):
    """Let tuning look at one layer of each kind."""
    chosen = {}
    for node, shape in tuning.layers():
        layer = LayerSignature.of(node, shape)
        if layer.size == 7:
            chosen.setdefault(layer.kind, (node, shape))
    monkeypatch.setattr(tuning, "layers", lambda: iter(chosen.values()))


def test_every_layer_takes_its_fastest_form(few_layers, monkeypatch):
    monkeypatch.setattr(MachineLoad, "remarks", lambda self: [])
    steps = []
    findings = tuning.tune(Stopwatch(), lambda done, total: steps.append((done, total)))
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]
    best = {finding.layer.kind: finding.best for finding in findings}
    # Padding saves a tenth; spreading the gate saves a hundredth, which is too little.
    assert best == {"depthwise": "padded", "gate": "plain", "pointwise": "grouped"}
    times = next(f.times for f in findings if f.layer.kind == "depthwise")
    assert times == {"merge": 1.0, "padded": 0.9, "split": 1.0}


@pytest.mark.parametrize(
    ("remarks", "attempts"), [([0, 9], 1), ([2, 0, 9], 2), ([2, 1, 3, 9], 3), ([1, 1, 1, 9], 3)]
)
def test_a_disturbed_tuning_is_repeated(monkeypatch, remarks, attempts):
    disturbances = iter(remarks)
    monkeypatch.setattr(MachineLoad, "remarks", lambda self: ["busy"] * next(disturbances))
    results = iter(range(9))
    monkeypatch.setattr(tuning, "_measure_layers", lambda runtime, step: [next(results)])
    (kept,) = tuning.tune(Stopwatch())
    assert next(results) == attempts
    assert kept == remarks.index(min(remarks[:attempts]))
