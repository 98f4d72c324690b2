import dataclasses

import numpy as np
import pytest

from nas.errors import MixnasError
from nas.export.device import ExportDevice
from nas.export.int8.judgement import Contender, compare_accuracy, judged
from nas.export.int8.request import Int8Request, LabelledImages
from nas.export.parity import Parity
from nas.export.registry import find_format
from nas.latency import LocalDevice, MeasurementSettings
from nas.testing.fakes import InstantDevice, exact_latency
from tests.export.exporting import export_of
from tests.export.int8.training import SPEC, digits
from tests.networks import DEEP, trained_like

FILES = MeasurementSettings(lowered=False)
MEAN, STD = digits().statistics()
VALIDATION = LabelledImages(digits(), 16, MEAN, STD)
pytestmark = pytest.mark.usefixtures("instant")
LABELS = digits().labels["validation"].numpy()


class Scripted:
    """Gives the validation images, in their order, the classes of a list."""

    def __init__(self, classes):
        self.classes, self.begin = classes, 0

    def __call__(self, images):
        chosen = self.classes[self.begin : self.begin + len(images)]
        self.begin += len(images)
        return np.eye(10)[chosen]


def wrong(*rows):
    classes = LABELS.copy()
    classes[list(rows)] = (classes[list(rows)] + 1) % 10
    return classes


def written(before, after, spec=SPEC, **options):
    request = Int8Request(validation=VALIDATION, **options)
    export = export_of(trained_like(spec), int8=request)
    runs = [Contender(run, size, None) for run, size in ((before, 400), (after, 100))]
    return judged(export, *runs, "onnx-int8")


def test_accuracies_are_those_of_all_validation_images():
    steps = []
    request = Int8Request(validation=VALIDATION, step=lambda *numbers: steps.append(numbers))
    found = compare_accuracy(
        Scripted(wrong(0, 1, 2)), Scripted(wrong(0, 1, *range(10, 20))), request
    )
    assert (found.images, steps[-1]) == (360, (360, 360))
    assert found.before == pytest.approx(357 / 360)
    assert found.after == pytest.approx(348 / 360)
    assert found.loss == pytest.approx(2.5)
    assert found.same_class == pytest.approx(349 / 360)  # images 2 and 10 to 19 differ
    variance = 11 / 360 - (9 / 360) ** 2  # one image is gained, ten are lost
    assert found.error == pytest.approx(1.96 * np.sqrt(variance / 360))


def test_the_facts():
    found = written(Scripted(LABELS), Scripted(wrong(*range(18))), source="6 training images")
    facts = found.facts["int8"]
    assert facts["calibrated_on"] == "6 training images"
    assert facts["accuracy"]["loss_points"] == pytest.approx(5)
    assert facts["bytes"] == {"fp32": 400, "int8": 100}
    assert facts["latency"]["fp32"]["precision"] == "fp32"
    assert facts["latency"]["int8"]["precision"] == "int8"
    found.check(Parity(0.1, 16, 12))  # which outputs of fp32 would not pass


def test_a_collapse_is_refused():
    lost = wrong(*range(36))
    message = (
        r"^int8 loses 10.0 percentage points of accuracy on 360 validation images \(100.0% to "
        r"90.0%; --max-loss allows 5\); no file was written\. To help: calibrate on more images "
        r"\(--calibration\), keep fp32, or accept the loss with --max-loss 10$"
    )
    with pytest.raises(MixnasError, match=message):
        written(Scripted(LABELS), Scripted(lost)).check(Parity(0.1, 16, 12))
    written(Scripted(LABELS), Scripted(lost), max_loss=10).check(Parity(0.1, 16, 12))


def test_swish_and_squeeze_and_excitation_are_named_as_the_reason():
    spec = DEEP.replace(input=SPEC.input)
    with pytest.raises(MixnasError) as caught:
        written(Scripted(LABELS), Scripted(wrong(*range(36))), spec).check(Parity(0.1, 16, 12))
    assert (
        "The network has swish and squeeze-and-excitation, the usual reason: a few large values "
        "take most of the 256 steps. Train a variant with `activation: relu6` or `hard_swish` and "
        "`se_ratio: 0` in its spec, calibrate on more images"
    ) in str(caught.value)
    (_, (other,)) = spec.stages
    swish = spec.replace(stages=((dataclasses.replace(other, stride=1),),))
    with pytest.raises(MixnasError, match=r"has swish, the usual .* `hard_swish` in its spec, cal"):
        written(Scripted(LABELS), Scripted(wrong(*range(36))), swish).check(Parity(0.1, 16, 12))


def test_outputs_that_are_not_numbers_are_refused():
    found = judged(
        export_of(trained_like(SPEC), int8=Int8Request()),
        Contender(None, 4, None),
        Contender(None, 1, None),
        "onnx-int8",
    )
    assert found.facts["int8"]["accuracy"] is None
    found.check(Parity(0.5, 16, 3))
    with pytest.raises(MixnasError, match="outputs are not numbers; no file was written"):
        found.check(Parity(float("nan"), 16, 3))


class Files(LocalDevice):
    """A runtime of this machine in which a file takes as many milliseconds as it says itself."""

    def __init__(self):
        self.runtime, self.prepared = None, 0

    def prepare(self, step=None):
        self.prepared += 1

    def time(self, load, resolution, effort):
        return exact_latency(InstantDevice(FILES).conditions, SPEC, load())


def test_a_lowered_network_is_measured_with_fp32_in_a_form_of_its_own(monkeypatch):
    opened = []

    def open_device(name, settings):
        opened.append((settings.precision, settings.lowered))
        return Files() if not settings.lowered else InstantDevice(settings)

    monkeypatch.setattr("nas.export.device.open_device", open_device)
    device = ExportDevice(find_format("onnx-int8"), lowered=True)
    export = export_of(trained_like(SPEC), int8=Int8Request(device=device))
    runs = [Contender(None, 1, lambda runtime, ms=ms: ms) for ms in (4.0, 1.5)]
    latency = judged(export, *runs, "onnx-int8").facts["int8"]["latency"]
    own = InstantDevice(MeasurementSettings()).measure(SPEC).steady_ms
    assert opened == [("fp32", False), ("fp32", True)]
    assert (latency["fp32"]["steady_ms"], latency["int8"]["steady_ms"]) == (own, 1.5)


def test_files_are_timed_and_told_with_their_own_conditions(monkeypatch):
    here = Files()
    opened = []
    monkeypatch.setattr(
        "nas.export.device.open_device", lambda *words: opened.append(words) or here
    )
    device = ExportDevice(find_format("onnx-int8"), lowered=False)
    export = export_of(trained_like(SPEC), int8=Int8Request(device=device))
    times = {"fp32": 4.0, "int8": 1.5}
    runs = [Contender(None, 1, lambda runtime, ms=ms: ms) for ms in times.values()]
    latency = judged(export, *runs, "onnx-int8").facts["int8"]["latency"]
    assert opened == [("onnxruntime:cpu", FILES)]
    assert here.prepared == 1
    for precision, ms in times.items():
        found = latency[precision]
        assert (found["median_ms"], found["precision"], found["lowered"]) == (ms, precision, False)
