import pytest
import torch
from torch import nn

from nas.accuracy.pool import ListedPool
from nas.accuracy.supernet import Supernet
from nas.accuracy.supernet import slices as slices_module
from nas.torch_model import TrainedWeights, build, load_weights, lower_module
from nas.train.loop import evaluate
from tests.networks import DEEP, TINY


@pytest.fixture(scope="module")
def supernet(tmp_path_factory):
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nas.accuracy.supernet.paths.SCANNED", 60)
        patch.setenv("MIXNAS_CACHE", str(tmp_path_factory.mktemp("cache")))
        made = Supernet(
            "digits",
            ListedPool([TINY, DEEP]),
            1_600,
            resolution=16,
            validation=200,
            calibration=256,
        )
        made.prepare()
        yield made


@pytest.mark.parametrize("spec", [TINY, DEEP])
def test_the_network_alone_classifies_every_image_as_the_supernet_did_for_its_score(
    supernet, spec, monkeypatch
):
    scored = []

    def recorded(network, source, part, augmentation, placement, hits):
        assert hits is None
        assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
        return evaluate(network, source, part, augmentation, placement, scored)

    with monkeypatch.context() as patch:
        patch.setattr(slices_module, "evaluate", recorded)
        score = supernet.estimate(spec, 5).accuracy
    found = supernet.trained.slice_of(spec, 5)
    alone = build(found.spec, seed=1)
    load_weights(alone, TrainedWeights("a slice", found.tensors()))
    hits = []
    lowered = found.placement.place(lower_module(alone))  # as the score was computed
    accuracy = evaluate(
        lowered, found.source, "validation", found.augmentation, found.placement, hits
    ).accuracy
    assert torch.equal(torch.cat(hits), torch.cat(scored))
    assert len(torch.cat(hits)) == 200
    assert accuracy == score
    assert 0.1 < score < 1


def test_tensors_are_copies(supernet):
    """What is trained on must not change the shared weights."""
    before = supernet.estimate(TINY, 0)
    for tensor in supernet.trained.slice_of(TINY, 0).tensors().values():
        assert tensor.is_contiguous()
        tensor.zero_()
    after = supernet.estimate(TINY, 0)
    assert (after.score, after.loss) == (before.score, before.loss)


def test_room_is_asked_for_without_any_image(supernet):
    assert supernet.trained.has_room(TINY)
    assert not supernet.trained.has_room(TINY.replace(stem=type(TINY.stem)(channels=64)))
