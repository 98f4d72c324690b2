import math
import pickle
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.overrides import TorchFunctionMode

from nas.accuracy.base import EstimateError, PortableEstimator
from nas.accuracy.pool import ListedPool, SpacePool
from nas.accuracy.supernet import Supernet
from nas.accuracy.supernet.bank import Bank, fresh_buffers, skeleton, slices
from nas.accuracy.supernet.estimator import CHECKPOINT_SECONDS
from nas.space import load_space, sample
from nas.torch_model import build, zero_residuals
from tests.networks import DEEP, TINY

space = load_space("mixnet").with_classes(10)


@given(st.integers(0, 10_000))
def test_slices_are_the_parameters_of_every_network(seed):
    """Names and shapes are those of the network's own module, whatever the space draws."""
    spec = space.decode(sample(space, random.Random(seed)).genotype)
    expected = {name: tuple(p.shape) for name, p in skeleton(spec).named_parameters()}
    assert {place.name: place.shape for place in slices(spec)} == expected


def test_a_network_alone_in_a_bank_is_the_network():
    """With the bank's tensors as weights, bank and module compute the same."""
    torch.manual_seed(0)
    bank = Bank().train()
    bank.hold(DEEP)
    images = torch.randn(4, 3, 32, 32)
    module = build(DEEP, 0).train()
    module.load_state_dict({**bank.weights(DEEP), **fresh_buffers(DEEP)})
    assert torch.allclose(bank(DEEP, images, fresh_buffers(DEEP)), module(images), atol=1e-5)


@given(st.integers(0, 10_000))
def test_residual_branches_of_a_bank_begin_at_zero(seed):
    """At those scales that `zero_residuals` sets in the network's own module, and no others."""
    spec = space.decode(sample(space, random.Random(seed)).genotype)
    module = build(spec, 0)
    zero_residuals(module)
    wanted = {name for name, weight in module.named_parameters() if not weight.any()}
    for zero in (True, False):
        bank = Bank(zero)
        bank.hold(spec)
        found = {name for name, weight in bank.weights(spec).items() if not weight.any()}
        biases = {name for name in wanted if name.endswith("bias")}
        assert found == (wanted if zero else biases)


def test_kernel_groups_share_the_middle_of_their_channels_kernels():
    torch.manual_seed(0)
    bank = Bank()
    bank.hold(DEEP)
    bank.hold(DEEP.replace(stages=_with_kernels((3, 9))))
    large = bank.tensors["stages/0/0/depthwise/conv/weight_grouped1"]
    assert tuple(large.shape) == (48, 1, 9, 9)
    weights = bank.weights(DEEP)  # kernels 3 and 5, 24 channels each
    assert torch.equal(weights["stages.0.0.depthwise.conv.0.weight"], large[:24, :, 3:6, 3:6])
    assert torch.equal(weights["stages.0.0.depthwise.conv.1.weight"], large[24:, :, 2:7, 2:7])


def test_grouped_1x1_are_the_diagonal_blocks_of_dense_ones():
    bank = Bank()
    bank.hold(DEEP)
    dense = bank.tensors["stages/0/1/expand/conv/weight_dense"]
    assert tuple(dense.shape) == (144, 24, 1, 1)
    weights = bank.weights(DEEP)
    assert torch.equal(weights["stages.0.1.expand.conv.0.weight"], dense[:72, :12])
    assert torch.equal(weights["stages.0.1.expand.conv.1.weight"], dense[72:, 12:])


def test_growing_keeps_what_was_learned():
    torch.manual_seed(0)
    bank = Bank()
    bank.hold(DEEP)
    before = {name: tensor.detach().clone() for name, tensor in bank.weights(DEEP).items()}
    larger = DEEP.replace(stages=_with_kernels((9,)))
    # Of 48 channels' 9x9 kernels, the middle 5x5 is there; all else is.
    total = sum(math.prod(place.shape) for place in slices(larger))
    assert bank.lacking(larger) == pytest.approx(48 * (81 - 25) / total)
    assert bank.lacking(DEEP) == 0
    bank.hold(DEEP.replace(stages=_with_kernels((9,))))
    assert all(torch.equal(bank.weights(DEEP)[name], tensor) for name, tensor in before.items())


def _with_kernels(kernels):
    (first, second), (third,) = DEEP.stages
    return ((_replace(first, kernels), second), (third,))


def _replace(block, kernels):
    return type(block)(**{**vars(block), "kernels": kernels})


@pytest.fixture
def supernet(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path))
    torch.set_num_threads(1)

    def made(**changes):
        settings = {"images": 1_600, "resolution": 16, "validation": 200, "calibration": 256}
        return Supernet("digits", ListedPool([TINY, DEEP]), **{**settings, **changes})

    return made


@pytest.mark.parametrize("paths", [1, 3])
def test_a_trained_supernet_tells_better_than_chance(supernet, paths):
    trained = supernet(images=16_000 // paths, paths=paths)
    trained.prepare()
    found = trained.estimate(TINY, 0)
    assert found.score > 0.3
    assert found.accuracy is None
    assert trained.estimate(TINY, 0).score == found.score


def test_a_small_data_set_is_not_gone_through_for_ever(supernet):
    told = []
    supernet(images=100_000, most_epochs=2).prepare(lambda *step: told.append(step))
    assert told[-1] == (32, 32)  # 1,078 images in batches of 64


def test_an_interrupted_training_goes_on_exactly(supernet, monkeypatch):
    whole = supernet()
    whole.prepare()
    expected = whole.path.read_bytes()
    whole.path.unlink()
    monkeypatch.setattr("nas.accuracy.supernet.estimator.CHECKPOINT_SECONDS", -1.0)

    def interrupt(done, total):
        if done == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        supernet().prepare(interrupt)
    assert not whole.path.exists()
    told = []
    supernet().prepare(lambda done, total: told.append((done, total)))
    assert told[0] == (9, 25)  # the ninth was done, but not kept
    assert whole.path.read_bytes() == expected
    assert CHECKPOINT_SECONDS > 0


def test_the_weights_go_along_to_other_machines(supernet):
    trained = supernet()
    untrained = trained.fingerprint()
    trained.prepare()
    state, known = trained.state(), trained.fingerprint()
    assert known != untrained
    arrived = pickle.loads(pickle.dumps(trained))  # noqa: S301
    assert isinstance(arrived, PortableEstimator)
    assert (arrived.population, arrived.path) == (None, trained.path)
    trained.path.unlink()  # as where it was never trained
    with pytest.raises(EstimateError, match="has not been trained"):
        arrived.estimate(TINY, 0)
    for there in (None, b"trained otherwise"):
        if there is not None:
            trained.path.write_bytes(there)
        arrived.unpack(state)
        assert arrived.fingerprint() == known
    assert 0 <= arrived.estimate(TINY, 0).score <= 1


def test_what_a_supernet_is_asked_for_is_no_matter_of_its_weights(supernet):
    assert supernet(validation=100).path == supernet(validation=200).path
    assert supernet(validation=100).fingerprint() != supernet(validation=200).fingerprint()
    assert supernet(images=900).path != supernet(images=901).path


def test_searches_at_the_same_time_train_one_supernet(supernet):
    told = []
    with ThreadPoolExecutor() as pool:
        both = [pool.submit(supernet().prepare, lambda *step: told.append(step)) for _ in "ab"]
        assert [done.result() for done in both] == [[], []]
    assert told == [(step, 25) for step in range(1, 26)]


class Fills(TorchFunctionMode):
    """Counts what fills tensors."""

    count = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.count += func.__name__ in ("normal_", "kaiming_uniform_", "uniform_", "zero_", "fill_")
        return func(*args, **(kwargs or {}))


def test_a_skeleton_has_every_tensor_of_a_network_and_fills_none():
    with Fills() as fills:
        full = build(DEEP, 0)
    assert fills.count > 50
    with Fills() as fills:
        hollow = skeleton(DEEP)
    assert fills.count == 0
    assert {name: tensor.shape for name, tensor in hollow.state_dict().items()} == {
        name: tensor.shape for name, tensor in full.state_dict().items()
    }
    assert all(tensor.is_meta for tensor in hollow.state_dict().values())


def test_networks_of_another_space_are_refused(supernet):
    trained = supernet()
    trained.prepare()
    wide = TINY.replace(stem=type(TINY.stem)(channels=64))
    with pytest.raises(EstimateError, match="% of its weights are not in the supernet"):
        trained.estimate(wide, 0)


def test_another_space_is_another_supernet(supernet):
    listed = supernet().fingerprint()
    spaced = Supernet("digits", SpacePool(space)).fingerprint()
    assert listed["networks"] != spaced.get("networks")
    assert "space" in spaced
