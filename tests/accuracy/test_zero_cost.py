import dataclasses
import math

import pytest
import torch
from torch import nn

from nas.accuracy import fidelity, zero_cost
from nas.accuracy.zero_cost import SCORES, ZeroCost
from nas.cost import count
from nas.data import load_data
from nas.ir import LayerNorm, LocalResponseNorm
from nas.torch_model import build
from nas.torch_model.layers import leaf_module
from nas.train.placement import Placement
from tests.networks import DEEP, TINY


@pytest.mark.parametrize("score", SCORES)
def test_a_score_is_finite_and_repeats(score):
    estimator = ZeroCost(score=score, resolution=16, batch_size=16)
    one, two = estimator.estimate(DEEP, 0), estimator.estimate(DEEP, 0)
    assert math.isfinite(one.score)
    assert one.score == two.score
    assert one.accuracy is None


def test_counts_are_those_of_the_network():
    assert ZeroCost(score="params").estimate(TINY, 0).score == count(TINY).params
    assert ZeroCost(score="madds").estimate(TINY, 0).score == count(TINY).madds


@pytest.mark.parametrize(("score", "side"), [("synflow", 16), ("params", 224)])
def test_a_network_is_built_for_the_images_that_it_is_shown(monkeypatch, score, side):
    built = []
    monkeypatch.setitem(SCORES, score, lambda model, _: built.append(model.spec) or 1.0)
    ZeroCost(score=score, resolution=16).estimate(TINY, 0)
    assert [spec.input.resolution for spec in built] == [side]


def batches(n=8):
    torch.manual_seed(0)
    return [(torch.randn(n, 3, 16, 16), torch.randint(0, 10, (n,))) for _ in range(2)]


def test_naswot_is_the_log_determinant_of_the_agreement_of_units():
    """Against the definition, unit by unit (Mellor et al. 2021, equation 2)."""
    given = batches(4)
    model = build(TINY, 0)
    codes = []
    handles = [
        module.register_forward_pre_hook(lambda _, x: codes.append(x[0].flatten(1) > 0))
        for module in model.modules()
        if isinstance(module, nn.ReLU)
    ]
    with torch.no_grad():
        model.train()(given[0][0])
    for handle in handles:
        handle.remove()
    code = torch.cat(codes, 1)
    agreement = [[float((a == b).sum()) for b in code] for a in code]
    expected = torch.linalg.slogdet(torch.tensor(agreement, dtype=torch.float64))[1]
    assert zero_cost.naswot(build(TINY, 0), given) == pytest.approx(float(expected), rel=1e-6)


def test_equal_images_count_once_for_naswot():
    """They would make the matrix singular, and the score -inf, for every network."""
    (images, labels), _ = ZeroCost("digits", resolution=16)._batches(0, Placement())
    twice = torch.cat([images, images])  # of which batch normalization has the same statistics
    model = build(TINY.at(16), 0)
    score = zero_cost.naswot(model, [(twice, labels)])
    assert score == pytest.approx(zero_cost.naswot(model, [(images, labels)]), rel=1e-6)


def test_zico_follows_its_definition():
    given = batches()
    gradients = []
    for images, labels in given:
        model = build(TINY, 0).train()
        nn.functional.cross_entropy(model(images), labels).backward()
        weights = [m.weight for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        gradients.append([w.grad for w in weights])
    expected = 0.0
    for one, two in zip(*gradients, strict=True):
        mean, deviation = (one.abs() + two.abs()) / 2, (one - two).abs() / 2
        expected += math.log(float((mean[deviation > 0] / deviation[deviation > 0]).sum()))
    assert zero_cost.zico(build(TINY, 0), given) == pytest.approx(expected, rel=1e-4)


def test_synflow_of_a_linear_chain_is_known():
    """Every layer's flow is the output itself: the sum over layers is layers x output."""
    chain = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.Flatten(), nn.Linear(4 * 4, 2, False))
    weights = [chain[0].weight.detach().clone(), chain[2].weight.detach().clone()]
    given = [(torch.zeros(2, 3, 2, 2), torch.zeros(2).long())]
    hidden = (weights[0].abs().flatten(1) @ torch.ones(3))[:, None].repeat(1, 4).flatten()
    output = float((weights[1].abs() @ hidden).sum())
    assert zero_cost.synflow(chain, given) == pytest.approx(math.log(2 * output), rel=1e-5)


def test_every_normalization_is_left_out_of_the_flow():
    norms = [nn.BatchNorm2d(4), leaf_module(LayerNorm(4)), leaf_module(LocalResponseNorm(3))]
    conv, classifier = nn.Conv2d(3, 4, 1, bias=False), nn.Linear(4 * 4, 2, False)
    given = [(torch.zeros(2, 3, 2, 2), torch.zeros(2).long())]
    flows = []
    for between in ([], norms):
        conv.zero_grad()
        classifier.zero_grad()
        model = nn.Sequential(conv, *between, nn.Flatten(), classifier)
        flows.append(zero_cost.synflow(model, given))
    assert flows[0] == pytest.approx(flows[1])


def test_a_small_set_is_halved(monkeypatch):
    data = load_data("digits").at(16)
    few = dataclasses.replace(
        data,
        images={part: images[:20] for part, images in data.images.items()},
        labels={part: labels[:20] for part, labels in data.labels.items()},
    )
    monkeypatch.setattr(fidelity, "load_data", lambda *_: few)
    fidelity.shared_data.cache_clear()
    fidelity._placed.cache_clear()
    fidelity._train_count.cache_clear()
    one, two = ZeroCost(data="few", batch_size=64, resolution=16)._batches(0, Placement())
    assert len(one[0]) == len(two[0]) == 10
    rows = torch.cat([one[0], two[0]]).flatten(1)
    assert len(torch.unique(rows, dim=0)) == len(
        torch.unique(few.images["train"].flatten(1), dim=0)
    )


def test_deeper_networks_have_higher_scores():
    for score in ("naswot", "zico", "synflow", "params", "madds"):
        estimator = ZeroCost(score=score, resolution=16, batch_size=16)
        assert estimator.estimate(DEEP, 0).score > estimator.estimate(TINY, 0).score
