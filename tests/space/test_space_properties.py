"""What holds in every space, tried in small random ones."""

import itertools
import random

import pytest

from nas.errors import MixnasError
from nas.space import size
from tests.space.random_spaces import assignments, random_space

SEEDS = 60


def buildable(spec):
    try:
        spec.tree()
    except MixnasError:
        return False
    return True


@pytest.mark.parametrize("first", range(0, SEEDS, 20))
def test_genotypes_and_networks_are_one_to_one(first):
    tried = 0
    for space in filter(None, map(random_space, range(first, first + 20))):
        tried += 1
        networks = {}  # canonical genotype by digest, of those that are members
        for genotype in assignments(space):
            canonical = space.canonical(genotype)
            assert space.canonical(canonical) == canonical
            if space.rule is not None and space.rule.apply(genotype) is None:
                assert space.broken(canonical)
                continue
            spec = space.decode(genotype)
            if not buildable(spec):
                assert space.broken(canonical)
                continue
            assert space.decode(canonical).digest() == spec.digest()
            if space.broken(canonical):
                assert not space.contains(spec)
            else:
                assert space.encode_spec(spec) == canonical
                assert networks.setdefault(spec.digest(), canonical) == canonical
        assert len(set(networks.values())) == len(networks) == size(space)
    assert tried >= 15


def test_neighbours_are_other_members_and_come_once():
    for seed in range(SEEDS):
        space = random_space(seed)
        if space is None:
            continue
        drawn = [space.draw(random.Random(i)) for i in range(5)]
        for genotype in (g for g in drawn if not space.broken(g)):
            digests = [space.decode(g).digest() for g in space.neighbours(genotype)]
            assert len(set(digests)) == len(digests)
            assert space.decode(genotype).digest() not in digests
            for other in itertools.islice(space.neighbours(genotype), 5):
                assert space.encode_spec(space.decode(other)) == other
