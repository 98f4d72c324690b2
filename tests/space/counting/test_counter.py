import pytest

from nas.cost import count
from nas.errors import MixnasError
from nas.space import space_from_yaml
from nas.space.counting import counter
from tests.space.test_space import everything, tiny


def test_all_members_of_a_small_space_are_counted_as_their_specs():
    for genotype in everything(tiny):
        assert tiny.cost(genotype) == count(tiny.decode(genotype))


def test_costs_do_not_depend_on_the_cache(monkeypatch):
    members = sorted(everything(tiny))[::7]
    costs = [tiny.cost(genotype) for genotype in members]
    monkeypatch.setattr(counter, "_CACHE", 2)
    fresh = tiny.with_classes(tiny.num_classes)
    assert [fresh.cost(genotype) for genotype in members] == costs
    other = tiny.with_classes(tiny.num_classes + 1)
    # The default head has 1536 channels; a class has a weight for each, and a bias.
    assert other.cost(members[0]).params == costs[0].params + 1536 + 1


def test_resolution_and_input_channels_are_variables_like_others():
    space = space_from_yaml(
        """
        name: images
        stem: {channels: 8}
        input: {channels: {choice: [1, 3]}, resolution: {choice: [32, 64]}}
        stages: {a: {channels: 8}}
        """
    )
    assert space.input_channels == (1, 3)
    for genotype in everything(space):
        assert space.cost(genotype) == count(space.decode(genotype))
    assert len({space.cost(genotype) for genotype in everything(space)}) == 4


def test_a_block_that_does_not_fit_is_named_by_its_stage():
    space = space_from_yaml(
        "{name: s, stem: {channels: 4}, stages: {late: {channels: 4, project_groups: 8}}}"
    )
    with pytest.raises(MixnasError, match="stage late: 4 channels cannot be split over 8 groups"):
        space.cost(())


def test_derived_widths_that_do_not_fit_the_space():
    space = space_from_yaml(
        "{name: r, stem: {channels: 8}, derive: {depth: {choice: [2, 4]}, w0: 8, wa: 8, wm: 2},"
        " stages: {a: {}, b: {}}}"
    )
    assert space.cost((0,)) == count(space.decode((0,)))
    for ask in (space.cost, space.decode):
        with pytest.raises(MixnasError, match="the derived widths do not have 2 stages"):
            ask((1,))
