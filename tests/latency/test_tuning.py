"""The choice of the fastest forms, on a runtime whose times are known."""

from collections import Counter

import pytest

from nas.ir import Activation, Conv, MixConv, Pad, SqueezeExcite, conv_channels, walk
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
            assert {conv.kernel % 2 for conv in node.convs} == {1}


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


def leaves(node, shape, form=None):
    """Return the leaves of the network around a layer, and its input shape."""
    choice = tuning._choices(node)[form or tuning._default(node)]
    program = tuning._program(node, shape, choice)
    assert set(program.weights) == {
        f"{layer.path}.{part}"
        for layer in walk(program.tree, program.shape)
        if isinstance(layer.leaf, Conv)
        for part in ("weight", *(["bias"] if layer.leaf.bias else []))
    }
    return [layer.leaf for layer in walk(program.tree, program.shape)], program.shape


def sizes(found):
    return [(leaf.in_channels, leaf.out_channels) for leaf in found if isinstance(leaf, Conv)]


def test_a_depthwise_layer_stands_between_two_convolutions():
    mix = tuning._depthwise(64, (3, 5), 2)
    assert [(c.in_channels, c.kernel, c.stride) for c in mix.convs] == [(32, 3, 2), (32, 5, 2)]
    found, shape = leaves(mix, (64, 7, 9))
    assert (sizes(found), shape) == ([(16, 64), (64, 64), (64, 16)], (16, 7, 9))
    assert found[1].kernel == 5


def test_the_first_kernel_gets_what_is_left():
    widths = [conv.in_channels for conv in tuning._depthwise(64, (3, 5, 7), 1).convs]
    assert widths == [22, 21, 21]


@pytest.mark.parametrize(("inputs", "outputs"), [(32, 96), (96, 32)])
def test_a_pointwise_layer_is_half_of_a_residual_block(inputs, outputs):
    mix = MixConv((Conv(inputs // 2, outputs // 2),) * 2)
    found, shape = leaves(mix, (inputs, 7, 7), "dense")
    assert sizes(found) == [(16, 32), (32, 96), (96, 32), (32, 16)]
    assert shape == (16, 7, 7)
    assert [leaf.function for leaf in found if isinstance(leaf, Activation)] == ["swish"]
    # The layer itself was merged to a dense one; it has no bias, unlike those around it.
    own = found[1] if outputs > inputs else found[3]
    assert not own.bias
    assert [leaf.bias for leaf in found if isinstance(leaf, Conv)].count(False) == 1


def test_sampled_layers_cover_those_of_networks():
    sample = [(LayerSignature.of(node, shape), node) for node, shape in tuning.layers()]
    of = {
        kind: {(s.channels, s.size) for s, _ in sample if s.kind == kind}
        for kind in ("depthwise", "gate")
    }
    assert of["depthwise"] == {(64, 112), (144, 56), (240, 28), (480, 14), (960, 7)}
    assert of["gate"] == {(240, 28), (480, 14), (960, 7)}
    strides = {(s.size, s.stride) for s, _ in sample if s.kind == "depthwise"}
    assert strides == {(112, 2), (56, 1), (56, 2), (28, 1), (28, 2), (14, 1), (14, 2), (7, 1)}
    reductions = {node.reduce.out_channels for s, node in sample if s.kind == "gate"}
    assert reductions == {20, 40, 80}
    alike = {s.kernel for s, _ in sample if s.kind == "depthwise" and s.aligned}
    assert alike == {3, 5, 7, 9}
    assert {s.width for s, _ in sample} == {1}


@pytest.mark.parametrize("form", ["split", "halves", "padded", "grouped", "wide"])
def test_what_a_form_must_save(form):
    needed = {"split": 0.2, "halves": 0.2, "grouped": 0.1}.get(form, 0.04)
    assert tuning._best({"merge": 1.0, form: 1 - needed + 0.005}, "merge") == "merge"
    assert tuning._best({"merge": 1.0, form: 1 - needed - 0.005}, "merge") == form


def test_thirteen_turns_of_six_runs_after_two(monkeypatch):
    asked = []

    def medians_in_turns(runs, rounds, count, settle):
        asked.append((rounds, count, settle))
        return {"merge": [4.0, 8.0, 4.0, 4.0, 9.0], "padded": [3.0, 1.0, 5.0, 2.0, 4.0]}

    monkeypatch.setattr(tuning, "medians_in_turns", medians_in_turns)
    # Quartiles of 4 and 2.
    assert tuning._relative_times({}, "merge") == {"merge": 1.0, "padded": 0.5}
    assert asked == [(13, 6, 2)]


def test_of_attempts_with_2_1_and_3_remarks_the_second_is_kept(monkeypatch):
    disturbances, results = iter([2, 1, 3]), iter("abc")
    monkeypatch.setattr(MachineLoad, "remarks", lambda self: ["busy"] * next(disturbances))
    monkeypatch.setattr(tuning, "_measure_layers", lambda runtime, step: [next(results)])
    assert tuning.tune(Stopwatch()) == ["b"]
