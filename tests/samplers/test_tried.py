from nas.samplers.tried import Tried
from nas.space import INACTIVE


def test_genotypes_are_in_the_set_once():
    tried = Tried([(0, 1), (2, 3), (0, 1)])
    assert list(tried) == [(0, 1), (2, 3)]
    assert len(tried) == 2
    assert (2, 3) in tried
    assert (3, 2) not in tried
    assert (0, 0) not in Tried([])


def test_an_inactive_variable_stands_for_any_value():
    tried = Tried([(1, INACTIVE, 2), (0, 3, INACTIVE), (5, 0, 5)], partial=True)
    assert (1, INACTIVE, 2) in tried
    assert (1, 0, 2) in tried
    assert (1, 7, 2) in tried
    assert (1, 7, 3) not in tried
    assert (0, 3, 9) in tried
    assert (0, 4, 9) not in tried
    assert (5, INACTIVE, 5) in tried  # proposed with its first value
    assert (5, 1, 5) not in tried


def test_a_domain_that_knows_its_conditions_compares_genotypes_alone():
    tried = Tried([(1, INACTIVE, 2)])
    assert (1, INACTIVE, 2) in tried
    assert (1, 0, 2) not in tried
