import dataclasses

import numpy as np
import pytest
import torch

from nas.data import DATA
from nas.errors import MixnasError
from nas.export.int8.request import request_for
from nas.export.trained import TrainedModel, find_trained
from tests.data.writing import write_folder
from tests.export.int8.training import SPEC, digits, metadata, write_run


class OnlyForTraining(dict):
    """The splits of a data set whose test must not be looked at."""

    def __getitem__(self, part):
        assert part != "test"
        return super().__getitem__(part)


@pytest.fixture
def folder(tmp_path):
    return write_run(tmp_path / "run")


def test_training_images_calibrate_and_validation_images_judge(tmp_path, monkeypatch):
    about = dataclasses.replace(metadata(), data_fingerprint="")  # which is that of all images
    folder = write_run(tmp_path / "run", about=about)
    data = digits()
    guarded = dataclasses.replace(
        data, images=OnlyForTraining(data.images), labels=OnlyForTraining(data.labels)
    )
    monkeypatch.setitem(DATA, "digits", lambda: guarded)
    request = request_for(find_trained(str(folder)), count=20)
    assert request.source == "20 training images of digits"
    mean, std = (torch.tensor(v) for v in dataclasses.astuple(metadata().preprocessing)[1:3])
    known = {
        part: ((data.at(16).images[part] / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)).numpy()
        for part in ("train", "validation")
    }
    assert request.calibration.shape == (20, 3, 16, 16)
    rows = [
        np.flatnonzero(np.isclose(known["train"], image, atol=1e-5).all((1, 2, 3)))
        for image in request.calibration
    ]
    assert all(len(found) for found in rows)
    assert len({int(found[0]) for found in rows}) == 20
    again = request_for(find_trained(str(folder)), count=20)
    assert np.array_equal(request.calibration, again.calibration)
    assert len(request.validation) == 360
    batches = list(request.validation.batches())
    assert [len(labels) for _, labels in batches] == [32] * 11 + [8]
    assert np.allclose(np.concatenate([images for images, _ in batches]), known["validation"])
    labels = np.concatenate([labels for _, labels in batches])
    assert np.array_equal(labels, data.labels["validation"].numpy())
    assert request.remarks == ()


def test_random_weights_are_not_judged():
    request = request_for(TrainedModel(SPEC), count=3)
    assert (request.source, request.validation) == ("3 training images of digits", None)
    gray = SPEC.replace(input=dataclasses.replace(SPEC.input, channels=1))
    request = request_for(TrainedModel(gray))
    assert (request.source, request.calibration) == ("random noise", None)


def test_image_files_are_decoded_one_by_one(folder, tmp_path):
    pets = write_folder(tmp_path / "pets", classes=digits().classes, n=100)
    request = request_for(find_trained(str(folder)), str(pets), count=4)
    assert request.calibration.shape == (4, 3, 16, 16)
    count = sum(len(labels) for _, labels in request.validation.batches())
    assert count == len(request.validation) > 0


def test_the_data_set_must_be_that_of_the_training(folder, tmp_path):
    model = find_trained(str(folder))
    pets = write_folder(tmp_path / "pets", classes=("bee", "ant"))
    with pytest.raises(MixnasError, match="has other classes than the data set of the training"):
        request_for(model, str(pets))
    with pytest.raises(MixnasError, match=r"pets has 2 classes, and the network 10; name the"):
        request_for(dataclasses.replace(model, metadata=None), str(pets))
    moved = dataclasses.replace(model, data=str(tmp_path / "gone"))
    with pytest.raises(MixnasError, match=r"those of the training cannot be read: .*gone.*--data"):
        request_for(moved)
    alone = dataclasses.replace(model, data=None)
    with pytest.raises(MixnasError, match=r"names them \(it was called 'digits'\); name the data"):
        request_for(alone)
    assert request_for(alone, "digits", count=2).source == "2 training images of digits"


def test_fewer_images_than_asked_for_are_told():
    assert request_for(TrainedModel(SPEC), count=1000).remarks == ()
    (remark,) = request_for(TrainedModel(SPEC), count=5000).remarks
    assert remark == (
        "calibrated on 1,077 training images instead of 5,000, since digits has no more that can "
        "be read"
    )


def test_classes_are_compared_before_any_image_is_read(folder, tmp_path, monkeypatch):
    def unexpected(*_):
        raise AssertionError

    monkeypatch.setattr("nas.export.int8.request.drawn_images", unexpected)
    pets = write_folder(tmp_path / "pets", classes=("bee", "ant"))
    with pytest.raises(MixnasError, match="has other classes than the data set of the training"):
        request_for(find_trained(str(folder)), str(pets))


def test_a_data_set_that_has_changed_is_told(tmp_path):
    about = dataclasses.replace(metadata(), data_fingerprint="0" * 16)
    model = find_trained(str(write_run(tmp_path / "run", about=about)))
    (remark,) = request_for(model, count=2).remarks
    assert remark.startswith("digits has changed since the training: its validation images may be")
