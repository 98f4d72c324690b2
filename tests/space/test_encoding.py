import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.space import INACTIVE, encode, feature_names, load_space, space_names
from nas.space.encoding import encode_all
from nas.spec import load_network
from tests.space.test_space import everything, tiny

mixnet = load_space("mixnet")


@given(st.integers(0, 10**9))
def test_many_are_encoded_as_each(seed):
    rng = random.Random(seed)
    genotypes = [mixnet.draw(rng) for _ in range(5)]
    together = encode_all(mixnet, genotypes)
    assert together.shape == (5, len(feature_names(mixnet)))
    assert np.array_equal(together, np.stack([encode(mixnet, g) for g in genotypes]))


def test_nothing_is_encoded_as_nothing():
    assert encode_all(mixnet, []).shape == (0, len(feature_names(mixnet)))


def test_inactive_variables_are_zero():
    names = feature_names(tiny)
    for genotype in everything(tiny):
        features = encode(tiny, genotype)
        for variable, index in zip(tiny.variables, genotype, strict=True):
            own = [
                value
                for name, value in zip(names, features, strict=True)
                if name.split("=")[0].split(":")[0] == variable.name
            ]
            if index == INACTIVE:
                assert not any(own)
            elif variable.kind != "ordinal":
                assert sum(own) == 1


def test_members_of_a_small_space_are_told_apart():
    members = sorted(everything(tiny))
    # 0 is what an inactive number and the smallest one have in common.
    assert len(np.unique(encode_all(tiny, members), axis=0)) == len(members)


def test_features_lie_between_0_and_1_in_every_space():
    for name in space_names():
        space = load_space(name)
        rng = random.Random(0)
        features = encode_all(space, [space.draw(rng) for _ in range(20)])
        assert ((features >= 0) & (features <= 1)).all()


@given(st.integers(0, 10**9))
def test_encoding_tells_genotypes_apart(seed):
    rng = random.Random(seed)
    one = mixnet.draw(rng)
    two = mixnet.mutate(one, rng)
    features = encode(mixnet, one)
    assert features.shape == (len(feature_names(mixnet)),)
    assert ((features >= 0) & (features <= 1)).all()
    assert not np.array_equal(features, encode(mixnet, two))


def test_encoding_by_hand():
    names = feature_names(mixnet)
    features = dict(
        zip(names, encode(mixnet, mixnet.encode_spec(load_network("mixnet_s"))), strict=True)
    )
    shares = [features[f"s5.first.kernels:{k}x{k}"] for k in (3, 5, 7, 9, 11)]
    assert shares == pytest.approx([0.2] * 5)
    assert features["s2.depth"] == 1.0
    assert features["s1.depth"] == 0.5
    assert (features["s2.activation=relu"], features["s2.activation=swish"]) == (0, 1)
