import dataclasses
import json
import pickle
import random
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest
import torch

from nas.accuracy.base import EstimateError, PortableEstimator
from nas.accuracy.pool import ListedPool, SpacePool
from nas.accuracy.supernet import Supernet
from nas.accuracy.supernet.ensemble import Ensemble
from nas.accuracy.supernet.others import COMPARED
from nas.accuracy.supernet.slices import MOST_UNTRAINED, trained_bank
from nas.accuracy.supernet.training import CHECKPOINT_SECONDS
from nas.accuracy.zero_cost import NotFiniteError, ZeroCost
from nas.errors import MixnasError
from nas.space import load_space
from nas.spec import load_network
from nas.torch_model import Network
from nas.train.loop import Evaluation
from nas.train.recipe import Recipe
from tests.networks import DEEP, TINY

space = load_space("mixnet").with_classes(10)
WIDE = TINY.replace(head=dataclasses.replace(TINY.head, channels=512), name="wide")
THREE = ListedPool([TINY, DEEP, WIDE])


@pytest.fixture
def supernet(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path))
    torch.set_num_threads(1)

    def made(**changes):
        settings = {"images": 1_600, "resolution": 16, "validation": 200, "calibration": 256}
        settings["pool"] = ListedPool([TINY, DEEP])
        return Supernet("digits", **{**settings, **changes})

    return made


@pytest.mark.parametrize("paths", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_trained_supernet_is_better_than_chance(supernet, paths):
    trained = supernet(images=16_000 // paths, paths=paths)
    trained.prepare()
    estimate = trained.estimate(TINY, 0)
    assert estimate.score > 0.3
    assert estimate.accuracy > 0.3
    assert trained.estimate(TINY, 0).score == estimate.score


def test_the_epochs_of_a_small_data_set_are_bounded(supernet):
    steps = []
    supernet(images=100_000, most_epochs=2, zero_cost="").prepare(lambda *step: steps.append(step))
    assert steps[-1] == (32, 32)  # 1,078 images in batches of 64


def test_an_interrupted_training_is_resumed_exactly(supernet, monkeypatch):
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
    steps = []
    supernet().prepare(lambda done, total: steps.append((done, total)))
    assert steps[0] == (9, 25)  # step 9 was done, but not saved
    assert whole.path.read_bytes() == expected
    assert CHECKPOINT_SECONDS > 0


def test_the_weights_can_be_copied_to_other_machines(supernet):
    trained = supernet()
    untrained = trained.fingerprint()
    trained.prepare()
    state, fingerprint = trained.export_state(), trained.fingerprint()
    assert fingerprint != untrained
    arrived = pickle.loads(pickle.dumps(trained))  # noqa: S301
    assert isinstance(arrived, PortableEstimator)
    assert (arrived.pool, arrived.path) == (None, trained.path)
    for file in trained.path.parent.iterdir():  # like a machine on which it was never trained
        file.unlink()
    with pytest.raises(EstimateError, match="has not been trained"):
        arrived.estimate(TINY, 0)
    for present in (None, b"trained differently"):
        if present is not None:
            trained.path.write_bytes(present)
        arrived.import_state(state)
        assert arrived.fingerprint() == fingerprint
    assert 0 <= arrived.estimate(TINY, 0).score <= 1


def test_settings_of_the_evaluation_do_not_change_the_weights(supernet):
    assert supernet(validation=100).path == supernet(validation=200).path
    assert supernet(validation=100).fingerprint() != supernet(validation=200).fingerprint()
    assert supernet(images=900).path != supernet(images=901).path


def test_simultaneous_searches_train_one_supernet(supernet):
    steps = []
    with ThreadPoolExecutor() as pool:
        both = [pool.submit(supernet().prepare, lambda *step: steps.append(step)) for _ in "ab"]
        assert [done.result() for done in both] == [[], []]
    trained, compared = range(1, 26), range(1, COMPARED + 1)
    assert steps == [*((step, 25) for step in trained), *((step, COMPARED) for step in compared)]


def test_a_score_is_the_mean_of_two_estimates(supernet):
    """The zero-cost score of 24 networks, drawn from three, tells what a point of it is worth."""
    pool, networks = THREE, {spec.name: spec for spec in THREE.specs}
    both, alone = supernet(pool=pool), supernet(pool=pool, zero_cost="")
    for each in (both, alone):
        each.prepare()
    assert both.path == alone.path
    assert (both.label, alone.label) == (
        "accuracy with shared weights and naswot",
        "accuracy with shared weights",
    )
    assert both.fingerprint() != alone.fingerprint()
    judged = {name: alone.estimate(spec, 0) for name, spec in networks.items()}
    assert all(found.score == found.accuracy for found in judged.values())
    zero_cost = ZeroCost("digits", resolution=16)
    rng = random.Random(0)
    drawn = [pool.draw(rng) for _ in range(COMPARED)]
    assert {spec.name for spec in drawn} == set(networks)
    ensemble = Ensemble.of(
        [(judged[spec.name].accuracy, zero_cost.estimate(spec, 0).score) for spec in drawn]
    )
    for name, spec in networks.items():
        found = both.estimate(spec, 0)
        assert found.accuracy == judged[name].accuracy
        own = (found.accuracy, zero_cost.estimate(spec, 0).score)
        assert found.score == pytest.approx(ensemble.score(own))
        assert found.score != pytest.approx(found.accuracy, abs=1e-4)


def test_a_short_training_is_a_third_estimate(supernet):
    two, three = supernet(pool=THREE), supernet(pool=THREE, short=320)
    for each in (two, three):
        each.prepare()
    assert two.path == three.path
    assert three.label == "accuracy with shared weights, naswot and short training"
    first, again, without = (each.estimate(WIDE, 0) for each in (three, three, two))
    assert first.score == again.score != without.score
    assert first.accuracy == without.accuracy
    assert three.fingerprint() != two.fingerprint()
    assert supernet(short=320, zero_cost="").label == (
        "accuracy with shared weights and short training"
    )


def test_a_comparison_of_estimates_that_was_interrupted_is_repeated(supernet):
    trained = supernet()

    def interrupt(done, total):
        if (done, total) == (3, COMPARED):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained.prepare(interrupt)
    weights = trained.path.read_bytes()
    steps = []
    supernet().prepare(lambda *step: steps.append(step))
    assert steps == [(step, COMPARED) for step in range(1, COMPARED + 1)]
    assert trained.path.read_bytes() == weights
    assert 0 <= supernet().estimate(TINY, 0).score <= 1


def test_networks_that_naswot_is_not_finite_for_count_as_the_lowest(supernet, monkeypatch):
    judged = ZeroCost.estimate

    def fails(self, spec, seed):
        if spec.name == "deep":
            raise NotFiniteError("the naswot score is -inf")
        return judged(self, spec, seed)

    monkeypatch.setattr(ZeroCost, "estimate", fails)
    trained = supernet(pool=THREE)
    (remark,) = trained.prepare()
    assert "naswot is not finite for " in remark
    found = trained.estimate(DEEP, 0)
    assert found.remark == "naswot not finite"
    lowest = trained.ensemble.lowest[1]
    assert found.score == trained.ensemble.score((found.accuracy, lowest))
    assert trained.estimate(WIDE, 0).remark == ""
    assert trained.prepare() == []


def test_what_is_known_is_not_compared_again(supernet):
    """A damaged file is as good as none: its content can be found out again."""
    trained = supernet(pool=THREE)
    assert (trained.to_compare, supernet(zero_cost="").to_compare) == (COMPARED, 0)
    trained.prepare()
    score = trained.estimate(WIDE, 0).score
    assert supernet(pool=THREE).to_compare == 0
    others = supernet(pool=THREE, zero_cost="params")
    assert others.path == trained.path
    assert others.to_compare == COMPARED
    others.prepare()
    assert others.estimate(WIDE, 0).score != score
    for damage in ("{", '{"means": [0.5], "deviations": [0.5], "lowest": [0]}', None):
        file = trained._ensemble_path
        file.unlink() if damage is None else file.write_text(damage, encoding="utf-8")
        again = supernet(pool=THREE)
        with pytest.raises(EstimateError, match="have not been compared"):
            again.estimate(WIDE, 0)
        assert again.to_compare == COMPARED
        again.prepare()
        assert again.estimate(WIDE, 0).score == score


def test_a_run_that_is_continued_keeps_the_scale_of_its_scores(supernet, tmp_path):
    """Another machine may compute other estimates of the networks that tell the scale."""
    trained = supernet(pool=THREE)
    trained.prepare()
    kept, facts = tmp_path / "kept.safetensors", json.loads(json.dumps(trained.fingerprint()))
    kept.write_bytes(trained.export_state())
    score = trained.estimate(WIDE, 0).score
    for cached in ("none", "other"):
        if cached == "none":
            trained._ensemble_path.unlink()
            trained.path.unlink()
        else:
            other = {**facts["ensemble"], "means": [0.0, 1.0]}
            trained._ensemble_path.write_text(json.dumps(other), encoding="utf-8")
            assert supernet(pool=THREE).estimate(WIDE, 0).score != score
        again = supernet(pool=THREE)
        again.restore(kept, facts)
        again.prepare()
        assert again.fingerprint() == trained.fingerprint()
        assert again.estimate(WIDE, 0).score == score
    for damaged in ({**facts, "ensemble": {"means": [1]}}, {"weights": None}):
        again = supernet(pool=THREE)
        again.restore(kept, damaged)
        assert again.estimate(WIDE, 0).score != score  # that of the file


@pytest.mark.parametrize("changes", [{"batch_size": 32}, {"score": "params"}])
def test_what_other_estimates_rest_on_is_part_of_the_fingerprint(supernet, monkeypatch, changes):
    before = supernet().fingerprint()
    others = [ZeroCost("digits", **{"resolution": 16, **changes})]
    monkeypatch.setattr(Supernet, "others", others)
    changed = supernet().fingerprint()
    assert changed["others"] != before["others"]
    assert {name for name in before if changed[name] != before[name]} == {"others"}


def test_an_unknown_zero_cost_score_is_refused(supernet):
    with pytest.raises(MixnasError, match=r"unknown zero-cost score 'naswod'.*naswot"):
        supernet(zero_cost="naswod")


def test_networks_of_another_space_are_refused(supernet):
    trained = supernet()
    trained.prepare()
    wide = TINY.replace(stem=type(TINY.stem)(channels=64))
    with pytest.raises(EstimateError, match=r"outside the space .* \d+% of its weights are not"):
        trained.estimate(wide, 0)


def test_another_space_has_another_supernet(supernet):
    listed = supernet().fingerprint()
    spaced = Supernet("digits", SpacePool(space)).fingerprint()
    assert listed["networks"] != spaced.get("networks")
    assert "space" in spaced


def test_a_slightly_larger_network_leaves_the_trained_weights_alone(supernet):
    """Up to 2% of its weights may be untrained; they are initialized for it alone."""
    trained = supernet()
    trained.prepare()
    before = trained.estimate(DEEP, 0)
    head = DEEP.head.channels
    larger = DEEP.replace(head=dataclasses.replace(DEEP.head, channels=head + 1))
    bank = trained_bank(trained.path, "cpu")
    assert 0 < bank.missing_share(larger) < MOST_UNTRAINED
    first, second = trained.estimate(larger, 0), trained.estimate(larger, 0)
    assert (first.score, first.loss) == (second.score, second.loss)
    assert bank.missing_share(larger) > 0
    after = trained.estimate(DEEP, 0)
    assert (after.score, after.loss) == (before.score, before.loss)


def test_the_processes_follow_from_the_gpus_unless_they_are_given(supernet, monkeypatch):
    monkeypatch.setattr("nas.accuracy.supernet.estimator.gpus_of", lambda _: ["cuda:0", "cuda:1"])
    assert supernet().trained_by == 2  # 64 images, 32 for each
    assert supernet(recipe=Recipe(batch_size=32)).trained_by == 1
    assert supernet().fingerprint()["processes"] == 2
    assert "processes" not in supernet(processes=1).fingerprint()
    monkeypatch.setattr("nas.accuracy.supernet.processes.gpus_of", lambda _: ["cuda:0", "cuda:1"])
    with pytest.raises(
        MixnasError, match="cannot be trained by 3 processes, since cpu stands for 2"
    ):
        supernet(processes=3).prepare()


def judged(supernet, spec):
    found = supernet.estimate(spec, 0)
    return found.score, found.loss


def with_head(extra):
    """A network whose head has more channels than any in training, by less than 2% of weights."""
    return DEEP.replace(head=dataclasses.replace(DEEP.head, channels=DEEP.head.channels + extra))


def test_a_score_does_not_depend_on_what_was_scored_before(supernet):
    """Twice, and after a hundred others, some of them larger than what was trained."""
    trained = supernet(validation=16, calibration=128)
    trained.prepare()
    first = {spec.name: judged(trained, spec) for spec in (TINY, DEEP)}
    assert judged(trained, DEEP) == first["deep"]
    for number in range(100):
        judged(trained, (TINY, DEEP, with_head(1))[number % 3])
    assert judged(trained, TINY) == first["tiny"]
    assert judged(trained, DEEP) == first["deep"]


def test_an_oversize_networks_score_does_not_depend_on_who_was_asked_before(supernet):
    trained = supernet()
    trained.prepare()
    torch.manual_seed(1)
    alone = judged(trained, with_head(1))
    judged(trained, with_head(2))
    torch.manual_seed(2)
    assert judged(trained, with_head(1)) == alone
    assert alone != judged(trained, DEEP)


def test_normalization_is_estimated_from_as_many_images_as_told(supernet, monkeypatch):
    """From whole batches of 128: the mean over them of their means, before the evaluation."""
    trained = supernet(calibration=300, zero_cost="")
    trained.prepare()
    seen, evaluated = [], {}

    def evaluate(network, batches, part, augmentation, placement, hits):
        evaluated["part"] = part
        images = islice(batches.train(0), 3)
        evaluated["images"] = [augmentation.normalise(batch) for batch, _ in images]
        return Evaluation(0.5, 0.75, 1.25)

    def counted(self, images):
        seen.append((len(images), self.training))
        return real(self, images)

    real = Network.forward
    monkeypatch.setattr(Network, "forward", counted)
    monkeypatch.setattr("nas.accuracy.supernet.slices.evaluate", evaluate)
    found = trained.estimate(TINY, 0)
    assert (found.score, found.loss, found.accuracy) == (0.5, 1.25, 0.5)
    assert seen == [(128, True)] * 3  # 300 images are three batches
    assert evaluated["part"] == "validation"
    network = trained.trained.slice_of(TINY, 0).network
    with torch.no_grad():
        means = [network.stem.conv(images).mean((0, 2, 3)) for images in evaluated["images"]]
    assert torch.allclose(network.stem.norm.running_mean, torch.stack(means).mean(0), atol=1e-5)
    assert int(network.stem.norm.num_batches_tracked) == 3


def test_a_network_outside_the_space_is_named_as_such(supernet, monkeypatch):
    """A table may hold such networks, and references often are."""
    monkeypatch.setattr("nas.accuracy.supernet.paths.SCANNED", 40)
    trained = supernet(pool=SpacePool(load_space("mixnet").with_classes(10)), images=64)
    trained.prepare()
    outside = load_network("efficientnet_b0").replace(num_classes=10)
    said = r"outside the space that the supernet was trained for: \d+% of its weights"
    with pytest.raises(EstimateError, match=said):
        trained.estimate(outside, 0)


def test_a_network_with_maps_of_one_pixel_is_scored(supernet):
    """The last validation batch has one image: 129 are a batch of 128 and one."""
    trained = supernet(resolution=8, validation=129)
    trained.prepare()
    assert 0 <= trained.estimate(DEEP, 0).score <= 1


def test_a_damaged_supernet_is_told_with_what_to_do(tmp_path):
    path = tmp_path / "supernet.safetensors"
    path.write_bytes(b"half a file")
    told = r"cannot be read \(.*: not a safetensors file \(.*\); remove the file, and repeat"
    with pytest.raises(MixnasError, match=told):
        trained_bank(path, "cpu")
