import math

import pytest
import torch

from nas.accuracy.base import EstimateError, in_stages
from nas.accuracy.short import ShortTraining
from nas.named import TimmNetwork
from nas.train.recipe import Recipe
from tests.networks import DEEP, TINY

FAST = {"images": 640, "resolution": 16, "width": 1.0, "stages": 1, "score": "accuracy"}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def test_the_same_seed_gives_the_same_number():
    short = ShortTraining(**FAST)
    one, two, other = (short.estimate(TINY, seed) for seed in (0, 0, 1))
    assert (one.accuracy, one.loss, one.score) == (two.accuracy, two.loss, two.score)
    assert one.loss != other.loss
    assert one.score == one.accuracy


def test_the_number_of_images_sets_the_cost():
    """640 images are 20 steps of 32, whatever the size of the data set, up to `most_epochs`."""
    few = ShortTraining(**FAST).trainer(TINY, 0)
    many = ShortTraining(**{**FAST, "images": 3_200}).trainer(TINY, 0)
    most = ShortTraining(**{**FAST, "images": 10**9, "most_epochs": 2}).trainer(TINY, 0)
    assert (few.total, many.total, most.total) == (20, 100, 2 * 33)


def test_scores_are_likelihoods_or_accuracy():
    loss = ShortTraining(**{**FAST, "score": "loss"}).estimate(TINY, 0)
    assert loss.score == pytest.approx(math.exp(-loss.loss))
    speed = ShortTraining(**{**FAST, "score": "speed"}).estimate(TINY, 0)
    assert 0.05 < speed.score < 0.5  # ten classes: chance is 0.1
    assert speed.accuracy == loss.accuracy
    assert ShortTraining(score="speed").label == "likelihood in training"


def test_stages_score_the_latest_training_losses_and_end_with_the_estimate():
    longer = {**FAST, "images": 3_200}
    staged = ShortTraining(**{**longer, "stages": 3})
    *early, last = staged.estimates(TINY, 0)
    assert [estimate.accuracy for estimate in early] == [None, None]
    assert early[0].score < early[1].score  # it learns
    assert last.accuracy == ShortTraining(**longer).estimate(TINY, 0).accuracy
    assert last.seconds >= early[1].seconds >= early[0].seconds


def test_width_makes_networks_narrower():
    model = ShortTraining(**{**FAST, "width": 0.5}).trainer(DEEP, 0).model
    assert model.stages.get_submodule("1.0").project.norm.num_features == 24  # 40 / 2, in eights
    assert model.classifier.out_features == 10
    assert model.spec.input.resolution == FAST["resolution"]


def test_a_training_that_diverges_is_no_estimate():
    wild = ShortTraining(**FAST, recipe=Recipe(learning_rate=1e30))
    with pytest.raises(EstimateError, match="the training loss is"):
        wild.estimate(TINY, 0)


def test_the_validation_part_is_reduced():
    trainer = ShortTraining(**FAST, validation=100).trainer(TINY, 0)
    assert sum(len(labels) for _, labels in trainer.source.evaluate("validation")) == 100


def test_a_network_of_timm_is_trained_at_full_width(stand_in_for_timm):
    network = TimmNetwork("timm:resnet18", 10, 160)
    short = ShortTraining(**{**FAST, "width": 0.5, "stages": 2})
    first, last = in_stages(short, network, 0)
    assert first.accuracy is None
    assert 0 <= last.accuracy <= 1
    assert last.remark == "trained at full width"
    (last,) = in_stages(ShortTraining(**FAST), network, 0)
    assert last.remark == ""


def test_a_network_of_timm_that_does_not_take_the_images_says_so(stand_in_for_timm):
    with pytest.raises(EstimateError, match="timm:vit_small does not accept images of 16 px"):
        ShortTraining(**FAST).estimate(TimmNetwork("timm:vit_small", 10, 160), 0)
