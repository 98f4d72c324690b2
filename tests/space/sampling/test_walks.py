import random

from nas.limits import parse_limits
from nas.space import load_space
from nas.space.sampling import limit_violation
from nas.space.sampling.walks import approach, approach_from, descend
from tests.space.test_space import mixnet


def test_a_walk_ends_inside_and_stays_where_it_is_inside():
    limits = parse_limits(["madds=300M..320M"])
    rng = random.Random(0)
    end = approach_from(mixnet, mixnet.draw(rng), rng, limits)
    assert limit_violation(mixnet, end, limits)[0] == 0
    assert approach_from(mixnet, end, rng, limits) == end


def test_a_descent_ends_at_the_smallest_network():
    space = load_space("mixnet_ladder")
    limits = parse_limits(["madds=1M"])
    ends = {descend(space, space.draw(random.Random(seed)), limits) for seed in range(2)}
    assert len({space.cost(end).madds for end in ends}) == 1


def test_without_a_member_the_nearest_is_returned():
    limits = parse_limits(["madds=10M"])
    nearest = approach(mixnet, random.Random(0), limits)
    assert round(mixnet.cost(nearest).madds / 1e6, 1) == 45.4
