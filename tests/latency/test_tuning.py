"""The choice of the fastest forms, on a runtime whose times are known."""

import itertools
from collections import Counter

import pytest

from nas.ir import Activation, Conv, MixConv, Pad, SqueezeExcite, walk
from nas.latency import tuning
from nas.latency.profile import LayerSignature
from nas.machine import MachineLoad


@pytest.mark.parametrize(
    ("times", "best"),
    [
        ({"merge": 0.97, "split": 1.0}, "split"),  # saves less than 4%
        ({"merge": 0.95, "split": 1.0}, "merge"),
        ({"merge": 0.5, "padded": 0.49, "split": 1.0}, "merge"),
        ({"merge": 0.5, "padded": 0.47, "split": 1.0}, "padded"),
        ({"merge": 0.5, "halves": 0.41, "split": 1.0}, "merge"),  # slices must save 20%
        ({"merge": 0.5, "halves": 0.39, "split": 1.0}, "halves"),
        ({"merge": 0.5, "halves": 0.41, "padded": 0.47, "split": 1.0}, "padded"),
        ({"merge": 2.5, "padded": 2.4, "split": 1.0, "phases": 0.3}, "phases"),
        ({"phases": 0.3, "split phases": 0.28, "split": 1.0}, "phases"),
        ({"phases": 0.3, "split phases": 0.26, "split": 1.0}, "split phases"),
        ({"grouped": 0.91, "split": 1.0}, "split"),
        ({"grouped": 0.89, "split": 1.0}, "grouped"),
    ],
)
def test_another_form_must_save_enough_time(times, best):
    assert tuning._best(times, "split") == best


def test_times_are_lower_quartiles_relative_to_the_trained_form():
    # The screening takes 2 turns of 3 runs.
    times = {"merge": iter([4.0] * 6 + [4.0, 9.0, 4.0, 4.0] * 99), "split": iter([3.0] * 999)}
    runs = {name: lambda values=values: next(values) for name, values in times.items()}
    assert tuning._relative_times(runs, "split") == {"merge": 1.3333, "split": 1.0}


def test_forms_that_are_far_slower_than_the_fastest_are_timed_roughly():
    calls = Counter()

    def run(name, ms):
        def once():
            calls[name] += 1
            return ms

        return once

    runs = {"merge": run("merge", 30.0), "split": run("split", 10.0), "phases": run("phases", 9.0)}
    times = tuning._relative_times(runs, "split")
    assert times == {"merge": 3.0, "split": 1.0, "phases": 0.9}
    # Two turns of 2 runs after 1; then turns of 6 runs after 2, in 0.4 s: 5 turns of 80 ms.
    assert calls == {"merge": 6, "split": 6 + 40, "phases": 6 + 40}
    calls.clear()
    tuning._relative_times({"a": run("a", 0.1), "b": run("b", 0.1)}, "a")
    assert calls == {"a": 6 + 13 * 8, "b": 6 + 13 * 8}  # thirteen turns at most


class Stopwatch:
    """A runtime in which every network takes 10 ms, less for each layer that pads."""

    model_format = "onnx"

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
    for node, shape in tuning.sampled_layers():
        layer = LayerSignature.of(node, shape)
        if layer.size == 7:
            chosen.setdefault(layer.kind, (node, shape))
    monkeypatch.setattr(tuning, "sampled_layers", lambda: iter(chosen.values()))


def test_every_layer_takes_its_fastest_form(few_layers, monkeypatch):
    monkeypatch.setattr(MachineLoad, "remarks", lambda self: [])
    steps = []
    findings = tuning.tune(Stopwatch(), lambda done, total: steps.append((done, total)))
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]
    best = {finding.layer.kind: finding.best for finding in findings}
    # Padding saves a tenth; spreading the gate saves a hundredth, which is too little.
    assert best == {"depthwise": "padded", "gate": "plain", "pointwise": "split"}
    times = next(f.times for f in findings if f.layer.kind == "depthwise")
    assert times == {"merge": 1.0, "padded": 0.9, "split": 1.0}


def test_gates_are_not_measured_where_the_format_never_expands_them(few_layers, monkeypatch):
    monkeypatch.setattr(MachineLoad, "remarks", lambda self: [])
    monkeypatch.setattr(Stopwatch, "model_format", "ncnn")
    assert {finding.layer.kind for finding in tuning.tune(Stopwatch())} == {
        "depthwise", "pointwise",
    }  # fmt: skip


def disturb(monkeypatch, layers, *attempts):
    """Let tuning find as many remarks at each layer of each attempt; findings are their places."""
    found = iter([(n, place) for place, each in enumerate(attempts) for n in each])

    def measure(runtime, node, shape):
        remarks, attempt = next(found)
        return ["busy"] * remarks, (node, attempt)

    monkeypatch.setattr(tuning, "sampled_layers", lambda: [(name, (1, 1, 1)) for name in layers])
    monkeypatch.setattr(tuning, "_measure_layer", measure)
    return found


@pytest.mark.parametrize(
    ("attempts", "kept"),
    [
        ([(0, 0, 0)], [0, 0, 0]),
        ([(0, 2, 1), (0, 1), (0,)], [0, 1, 2]),  # only those that were disturbed are repeated
        ([(0, 2, 1), (1, 2), (1, 1)], [0, 1, 0]),
        ([(2, 2, 1), (1, 2, 1)], [1, 0, 0]),  # all of them twice: the machine is busy for good
        ([(2, 2, 1), (0, 2, 1), (1, 2)], [1, 2, 0]),
    ],
)
def test_disturbed_layers_are_measured_again(monkeypatch, attempts, kept):
    left = disturb(monkeypatch, "abc", *attempts)
    assert tuning.tune(Stopwatch()) == list(zip("abc", kept, strict=True))
    assert not list(left)


def test_layers_that_are_measured_again_are_counted_anew(monkeypatch):
    disturb(monkeypatch, "abc", (0, 2, 1), (0, 0))
    steps = []
    tuning.tune(Stopwatch(), lambda done, total: steps.append((done, total)))
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3), (0, 2), (1, 2), (2, 2)]


def leaves(node, shape, form=None):
    """Return the leaves of the network around a layer, and its input shape."""
    choice = tuning._choices(node)[form or tuning._trained(node)]
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
    mix = MixConv((Conv(32, 32, 3, 2, groups=32), Conv(32, 32, 5, 2, groups=32)))
    found, shape = leaves(mix, (64, 7, 9), "merge")
    assert (sizes(found), shape) == ([(16, 64), (64, 64), (64, 16)], (16, 7, 9))
    assert found[1].kernel == 5


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


@pytest.mark.parametrize("form", sorted(tuning.WORTH | {"padded": 0, "wide": 0, "phases": 0}))
def test_what_a_form_must_save(form):
    needed = {"halves": 0.2, "neighbors": 0.2, "split": 0.2, "grouped": 0.1,
              "halves phases": 0.1, "split phases": 0.1}.get(form, 0.04)  # fmt: skip
    assert tuning._best({"plain": 1.0, form: 1 - needed + 0.005}, "plain") == "plain"
    assert tuning._best({"plain": 1.0, form: 1 - needed - 0.005}, "plain") == form


def test_disturbed_layers_are_told(monkeypatch, caplog):
    disturb(monkeypatch, "abc", (1, 2, 0), (1, 2), (1, 0))
    tuning.tune(Stopwatch())
    disturbed = "note: the examination of the device was disturbed at"
    assert [record.getMessage() for record in caplog.records] == [
        f"{disturbed} 2 of 3 layers (such as: busy; busy); they are measured again, attempt 2 "
        "of at most 3",
        f"{disturbed} 2 of 3 layers (such as: busy; busy); they are measured again, attempt 3 "
        "of at most 3",
        f"{disturbed} 1 of 3 layers (such as: busy); of 3 attempts, the least disturbed one of "
        "each counts",
    ]


def test_a_quiet_examination_says_nothing(monkeypatch, caplog):
    disturb(monkeypatch, "abc", (0, 0, 0))
    tuning.tune(Stopwatch())
    assert not caplog.records


# -- the time of a depthwise convolution by kernel size ------------------------------------------


class TapCounter:
    """A runtime in which a tap of a depthwise kernel takes 0.01 ms, and more beyond 25 taps."""

    def load(self, program):
        convs = [layer.leaf for layer in walk(program.tree, program.shape)]
        taps = [c.taps for c in convs if isinstance(c, Conv) and c.groups > 1]
        return lambda: 5.0 + sum(0.01 * t if t <= 25 else 0.05 * t for t in taps)


def test_the_curve_is_what_a_layer_adds_to_a_network():
    curve = tuning.depthwise_curve(TapCounter())
    assert curve == pytest.approx({3: 0.09, 5: 0.25, 7: 2.45, 9: 4.05, 11: 6.05})
    assert tuning.cliff(curve) == 7


def test_a_layer_that_is_lost_in_the_noise_takes_no_less_than_the_noise():
    """Otherwise, the ratio of its time to that of a larger kernel would mean nothing."""

    class Noisy(TapCounter):
        def load(self, program):
            quiet, turns = super().load(program), itertools.count()
            # In two of three turns, which are of four runs, all take 0.4 ms longer.
            return lambda: quiet() + (0.4 if next(turns) // 4 % 3 else 0.0)

    curve = tuning.depthwise_curve(Noisy())
    assert curve[3] == pytest.approx(0.1)  # four layers add 0.36 ms, and turns differ by 0.4 ms
    assert curve[5] == pytest.approx(0.25)
    assert tuning.cliff(curve) == 7


@pytest.mark.parametrize(
    ("curve", "kernel"),
    [
        ({3: 0.017, 5: 0.031, 7: 0.042, 9: 0.109, 11: 0.180}, None),
        ({3: 0.012, 5: 0.040, 7: 1.05, 9: 1.68, 11: 2.47}, 7),
        ({3: 0.09, 5: 0.25, 7: 0.49, 9: 2.50}, 9),
        ({3: 0.0, 5: 0.02, 7: 0.04}, None),  # noise hid the smallest ones
        ({3: 0.0, 5: 0.02, 7: 0.4}, 7),
        ({}, None),
    ],
)
def test_a_cliff_is_where_the_time_of_a_tap_trebles(curve, kernel):
    assert tuning.cliff(curve) == kernel
