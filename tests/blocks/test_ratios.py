from nas.blocks.ratios import (
    bottleneck_ratio,
    middle_channels,
    multiple,
    share,
    shortest_binary,
    simplest_ratio,
)


def test_the_shortest_number_is_the_one_with_the_fewest_binary_places():
    assert shortest_binary(2.1, 2.4, lambda x: 2.1 < x < 2.4) == 2.25
    assert shortest_binary(0.3, 5, lambda x: x > 0.3) == 1


def test_whole_ratios_are_simpler():
    assert simplest_ratio(0.5, 6, lambda x: x > 0.4) == 1
    assert simplest_ratio(0, 1, lambda x: x < 0.6) == 0.5


def test_multiples_and_shares_of_channels():
    assert multiple(24, 72, lambda ratio: int(24 * ratio)) == 3
    assert multiple(24, 60, lambda ratio: int(24 * ratio)) == 2.5
    assert share(64, 16, lambda ratio: int(64 * ratio)) == 0.25
    assert share(64, 64, lambda ratio: int(64 * ratio)) == 1


def test_bottlenecks():
    assert middle_channels(24, 4) == 6
    assert middle_channels(2, 16) == 1
    assert bottleneck_ratio(24, 6) == 4
    assert bottleneck_ratio(24, 48) == 0.5
    assert middle_channels(24, bottleneck_ratio(24, 7)) == 7
