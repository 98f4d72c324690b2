import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from nas.accuracy import open_estimator
from nas.accuracy.base import EstimateError
from nas.accuracy.pool import ListedPool
from nas.accuracy.sharing import pretrained
from nas.accuracy.sharing.pretrained import Pretrained, open_pretrained
from nas.accuracy.short import ShortTraining
from nas.blocks import MBConv
from nas.errors import MixnasError
from nas.formats.metadata import ModelMetadata, Preprocessing
from nas.named import TimmNetwork
from nas.search.retraining import RetrainingEstimator, retraining
from nas.spec import load_network
from nas.torch_model import TrainedWeights, build
from nas.train.placement import open_placement
from nas.train.settings import ON_THE_CPU
from tests.networks import DEEP, TINY

PREPARED = Preprocessing(64, (0.25, 0.5, 0.75), (0.125, 0.25, 0.5))
BIG = DEEP.replace(num_classes=7, name="big")


@pytest.fixture
def network():
    """The network whose weights are in the file."""
    return build(BIG, 5).eval()


@pytest.fixture
def file(tmp_path, network):
    open_pretrained.cache_clear()
    return written(tmp_path / "big.safetensors", network)


def written(path, network, prepared=PREPARED, spec=BIG):
    """Write the weights of a network, with what they tell of themselves."""
    metadata = ModelMetadata(tuple("abcdefg"), prepared, spec=spec.to_dict())
    save_file(network.state_dict(), path, metadata.to_properties())
    return str(path)


def test_a_file_tells_its_network_and_how_images_were_prepared(file, network):
    found = open_pretrained(file)
    assert found.spec == BIG
    assert found.normalisation == (PREPARED.mean, PREPARED.std)
    assert found.digest() == open_pretrained(file).digest()
    moved = {**network.state_dict(), "classifier.bias": torch.ones(7)}
    assert Pretrained("other", BIG, moved, PREPARED).digest() != found.digest()
    assert found.remarks(64) == []
    (remark,) = found.remarks(32)
    assert remark.endswith("with the setting resolution=64 they are shown as they were then")
    assert found.remarks(60) == []


def test_the_same_network_begins_as_it_was_but_for_its_classifier(file, network):
    """Whole networks compute what they computed, in evaluation, with statistics of their own."""
    own = BIG.replace(num_classes=3)
    state = open_pretrained(file).weights_for(own, 0, zero_residuals=True)
    for name, trained in network.named_parameters():
        assert torch.equal(state[name], trained) != name.startswith("classifier"), name
    assert state["classifier.weight"].shape == (3, 64)


def test_larger_kernels_and_widths_keep_the_function_of_the_channels_that_are_shared(file, network):
    """Zeros surround the smaller kernel, so that the first channels of a stage are the same."""
    first, *_ = BIG.stages[0]
    wider = dataclasses.replace(first, kernels=(7, 9), expansion=3)
    other = BIG.replace(stages=((wider,), *BIG.stages[1:]))
    state = open_pretrained(file).weights_for(other, 0)
    theirs = network.state_dict()
    for group, (kernel, own) in enumerate([(7, 3), (9, 5)]):
        name = f"stages.0.0.depthwise.conv.{group}.weight"
        ring = (kernel - own) // 2
        middle = state[name][..., ring:-ring, ring:-ring]
        assert torch.equal(middle, theirs[name])
        assert state[name].abs().sum() == pytest.approx(middle.abs().sum().item())
    narrow = BIG.replace(stages=((dataclasses.replace(first, channels=16),), *BIG.stages[1:]))
    state = open_pretrained(file).weights_for(narrow, 0)
    name = "stages.0.0.project.conv.weight"
    assert torch.equal(state[name], theirs[name][:16])


def test_the_share_of_a_network_is_told(file):
    found = open_pretrained(file)
    assert found.share(BIG) == 1
    wide = TINY.replace(stem=dataclasses.replace(TINY.stem, channels=64))
    assert found.share(TINY) == 1  # the first block of both is the same
    assert 0.1 < found.share(wide) < 1


def test_what_is_not_shared_is_drawn(file):
    deeper = BIG.replace(
        stages=(BIG.stages[0], (*BIG.stages[1], MBConv(channels=40, kernels=(3,), expansion=3)))
    )
    one = open_pretrained(file).weights_for(deeper, 0, zero_residuals=True)
    torch.rand(3)  # another network was trained meanwhile
    same = open_pretrained(file).weights_for(deeper, 0, zero_residuals=True)
    other = open_pretrained(file).weights_for(deeper, 1, zero_residuals=True)
    assert all(torch.equal(one[name], same[name]) for name in one)
    last = [name for name in one if name.startswith("stages.1.1.")]
    drawn = [name for name in last if name.endswith("conv.weight")]
    assert len(drawn) == 3
    assert not any(torch.equal(one[name], other[name]) for name in drawn)
    assert one["stages.1.1.project.norm.weight"].eq(0).all()  # a residual branch of its own


def test_a_supernet_begins_from_it(file, tmp_path, monkeypatch):
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path))
    monkeypatch.setattr("nas.accuracy.supernet.paths.SCANNED", 4)
    torch.set_num_threads(1)
    pool = ListedPool([TINY, DEEP])
    plain = open_estimator("supernet:images=64,resolution=16", "digits", pool)
    began = open_estimator(f"supernet:images=64,resolution=16,weights={file}", "digits", pool)
    assert began.recipe.normalisation == (PREPARED.mean, PREPARED.std)
    assert began.path != plain.path
    assert f"of their weights from {file}, on average and without" in began.prepare()[-1]
    trainer = began._training().trainer(open_placement(ON_THE_CPU, 16))
    bank = trainer.model.bank.weights(DEEP)
    theirs, name = open_pretrained(file).tensors, "stages.1.0.expand.conv.weight"
    assert torch.equal(bank[name], theirs[name])
    assert trainer.augmentation.mean.flatten().tolist() == list(PREPARED.mean)
    assert began.fingerprint()["pretrained"] == open_pretrained(file).digest()
    assert "pretrained" not in plain.fingerprint()


def test_short_trainings_and_the_retraining_begin_from_it(file):
    torch.set_num_threads(1)
    settings = f"images=64,resolution=16,width=1,weights={file}"
    short = open_estimator(f"short:{settings}", "digits")
    assert isinstance(short, ShortTraining)
    model = short.trainer(DEEP, 0).model
    theirs = open_pretrained(file).tensors
    name = "stages.1.0.project.conv.weight"
    assert torch.equal(model.state_dict()[name], theirs[name])
    assert model.classifier.weight.shape == (10, 64)
    told = short.prepare()[-1]
    assert "with the setting resolution=64" in told
    assert short.fingerprint()["pretrained"] == open_pretrained(file).digest()


def test_a_short_training_follows_from_its_seed(file):
    torch.set_num_threads(1)
    short = open_estimator(f"short:images=64,resolution=16,width=1,weights={file}", "digits")
    wide = TINY.replace(stem=dataclasses.replace(TINY.stem, channels=64))
    one = short.estimate(wide, 0)
    short.estimate(TINY, 5)
    assert short.estimate(wide, 0).loss == one.loss != short.estimate(wide, 1).loss


def test_a_short_training_without_its_file_fails_with_the_reason(file):
    short = open_estimator(f"short:images=64,resolution=16,weights={file}", "digits")
    open_pretrained.cache_clear()
    Path(file).unlink()
    with pytest.raises(EstimateError, match=r"no such file; give the path of a .* needs it"):
        short.estimate(TINY, 0)


def start_of(settings, estimator):
    """What a retraining starts from, and how its images are normalized."""
    short = retraining(estimator, "digits", settings).short
    return short.weights, short.recipe.normalisation


@pytest.mark.parametrize("kind", ["short", "supernet"])
def test_the_retraining_starts_as_the_search_does_unless_told_otherwise(file, kind):
    pool = ListedPool([TINY, DEEP])
    own = PREPARED.mean, PREPARED.std
    began = open_estimator(f"{kind}:resolution=16,weights={file}", "digits", pool)
    assert start_of("", began) == (file, own)
    assert start_of("weights=", began) == ("", "data")
    given = f"{kind}:resolution=16,weights={file},normalisation=imagenet"
    assert start_of("", open_estimator(given, "digits", pool)) == (file, "imagenet")
    plain = open_estimator(f"{kind}:resolution=16", "digits", pool)
    assert start_of("", plain) == ("", "data")
    assert start_of(f"weights={file}", plain) == (file, own)
    assert start_of(f"weights={file}", open_estimator("zero-cost", "digits", pool)) == (file, own)


def test_the_retraining_starts_from_the_supernets_weights_as_it_was_trained(file):
    pool = ListedPool([TINY, DEEP])
    began = open_estimator(f"supernet:resolution=16,weights={file}", "digits", pool)
    assert start_of("from=supernet", began) == (file, (PREPARED.mean, PREPARED.std))
    with pytest.raises(MixnasError, match=r"from=supernet and weights= name different weights"):
        retraining(began, "digits", "from=supernet,weights=")
    told = RetrainingEstimator(retraining(began, "digits").short, Outside()).remarks(
        {("tiny", "front"): TINY, ("vit", "reference"): TimmNetwork("timm:vit", 10, 16)}
    )
    assert told == [
        "retraining starts from the weights of the supernet, but from random weights for vit and "
        f"parts of {file} for tiny: the supernet has no weights of them, so they have seen fewer "
        "images"
    ]


class Outside:
    """A supernet that has room for no network."""

    trained = SimpleNamespace(has_room=lambda spec: False)


def test_what_networks_share_is_told_before_they_are_retrained(file):
    short = open_estimator(f"short:resolution=16,weights={file}", "digits")
    (told,) = retraining(short, "digits").remarks({("big", "front"): BIG, ("tiny", "front"): TINY})
    said = f"retraining starts from what networks share with {file}: big 100%, tiny "
    assert told.startswith(said)


def test_an_estimator_of_the_users_own_may_have_weights_of_another_kind():
    class Mine:
        weights = torch.zeros(3)

    assert start_of("", Mine()) == ("", "data")


def test_a_normalisation_that_is_given_holds(file):
    short = open_estimator(f"short:weights={file},normalisation=imagenet", "digits")
    assert short.recipe.normalisation == "imagenet"


def test_weights_of_timm_are_those_of_a_reference_network(monkeypatch):
    open_pretrained.cache_clear()
    asked = []

    def found(name, spec):
        asked.append((name, spec))
        return TrainedWeights(name, build(spec, 0).state_dict(), prepared=PREPARED)

    monkeypatch.setattr(pretrained, "find_weights", found)
    assert open_pretrained("timm:mixnet_s").normalisation == (PREPARED.mean, PREPARED.std)
    assert asked == [("timm:mixnet_s", load_network("mixnet_s"))]
    with pytest.raises(MixnasError, match=r"no reference network with .* such as timm:mixnet_l"):
        open_pretrained("timm:vit_tiny_patch16_224")


def test_files_that_do_not_tell_enough_are_refused(tmp_path, file, network):
    bare = tmp_path / "bare.safetensors"
    save_file(network.state_dict(), bare)
    with pytest.raises(MixnasError, match=r"does not tell which network .* weights\.safetensors"):
        open_estimator(f"short:weights={bare}", "digits")
    damaged = tmp_path / "damaged.safetensors"
    written(damaged, network, spec=TINY)
    with pytest.raises(MixnasError, match=r"its network has one of shape .*; the file is damaged"):
        open_estimator(f"supernet:weights={damaged}", "digits")
    with pytest.raises(MixnasError, match=r"weights=missing.safetensors: no such file; give the"):
        open_estimator("short:weights=missing.safetensors", "digits")
    flat = dataclasses.replace(PREPARED, std=(0.0, 0.5, 0.5))
    written(damaged, network, prepared=flat)
    with pytest.raises(MixnasError, match=r"deviations of the images, \(0.0, .* must be positive"):
        open_estimator(f"short:weights={damaged}", "digits")
    with pytest.raises(MixnasError, match=r"expected the path of a .safetensors file or timm:NAME"):
        open_estimator("short:weights=supernet:runs/pets", "digits")
