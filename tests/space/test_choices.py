import math
from typing import Any

import pytest

from nas.blocks.fields import Channels, Kernels
from nas.document import Document
from nas.errors import DocumentError
from nas.space.choices import expand, is_relative
from nas.space.outline import KINDS


def values(expression, kind: Any = Kernels, base: Any = None):
    return expand(expression, kind, base, document=Document("s.yaml", {}), at=("here",))[0]


def test_groups_give_every_mix_once():
    mixes = values({"groups": [1, 5], "of": [3, 5, 7, 9]})
    # 125 multisets of 1 to 5 of 4 sizes; 22 of them are a shorter one repeated.
    assert len(mixes) == len(set(mixes)) == 103
    assert (3,) in mixes
    assert (3, 3, 5, 5, 5) in mixes  # 3x3 owns two fifths
    assert (3, 3, 5, 5) not in mixes
    assert all(list(mix) == sorted(mix) and len(mix) <= 5 for mix in mixes)


def test_a_ladder_is_the_papers():
    assert values({"ladder": [3, 5, 7, 9, 11]}) == (
        (3,),
        (3, 5),
        (3, 5, 7),
        (3, 5, 7, 9),
        (3, 5, 7, 9, 11),
    )


def test_choices_nest_and_lose_repeats():
    mixes = values({"choice": [{"groups": 2, "of": [3, 5]}, {"ladder": [3, 5]}, [9, 3]]})
    assert mixes == ((3,), (3, 5), (5,), (9, 3))


def test_relative_values():
    assert values({"times": [0.75, 1, 1.25]}, Channels, 32) == (24, 32, 40)
    assert values({"times": [0.75, 1, 1.25], "of": 96}, Channels, 32) == (72, 96, 120)
    assert values({"plus": [-1, 0, 1]}, KINDS["depth"], 1) == (1, 2)


def test_ranges():
    assert values({"range": [8, 32], "step": 8}, Channels) == (8, 16, 24, 32)
    found, weights = expand(
        {"range": [8, 64], "step": 8, "scale": "log"},
        Channels,
        None,
        document=Document("s", {}),
        at=(),
    )
    assert found == tuple(range(8, 65, 8))
    assert weights == tuple(sorted(weights, reverse=True))


def test_ranges_keep_all_digits():
    assert values({"range": [2, 2.25], "step": 0.0625}, float) == (2, 2.0625, 2.125, 2.1875, 2.25)
    assert values({"range": [0.1, 0.7], "step": 0.2}, float) == (0.1, 0.3, 0.5, 0.7)
    assert values({"range": [0, 0.00003], "step": 0.00001}, float) == (0, 1e-5, 2e-5, 3e-5)


def test_a_logarithmic_range_in_a_choice_is_drawn_logarithmically():
    expression = {"choice": [128, {"range": [8, 64], "step": 8, "scale": "log"}]}
    found, weights = expand(expression, Channels, None, document=Document("s", {}), at=())
    assert found == (128, 8, 16, 24, 32, 40, 48, 56, 64)
    # 128 is one value of nine; 8 is drawn as log(12 / 4) of log(68 / 4) among the other eight.
    assert weights[0] == pytest.approx(1)
    assert weights[1] == pytest.approx(8 * math.log(3) / math.log(17))
    assert sum(weights) == pytest.approx(9)


def test_all_mistakes_of_a_choice_are_told():
    with pytest.raises(DocumentError) as caught:
        values({"choice": [3, 4, 6]})
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize("written", [3.5, "3.5", [3, 5]])
def test_kernels_need_no_quotes(written):
    assert values(written) == ((3, 5),)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ({"groups": [1, 6], "of": [3]}, "groups from 1 to 6; allowed: 1 to 5 groups"),
        ({"groups": 6, "of": [3]}, "allowed: 1 to 5 groups"),
        ({"groups": 2, "of": [3, 4]}, "kernel size 4 is not supported; allowed: 1, 3, 5"),
        ({"group": 2}, r"unknown choice form 'group' \(did you mean 'groups'\?\)"),
        ({"groups": 2}, "'of' is missing"),
        ({"groups": 2, "off": [3]}, r"unknown key 'off' \(did you mean 'of'\?\)"),
        ({"choice": []}, "at least 1 entry should be here; found none"),
        ({"choice": [3, 4]}, r"here.choice\[1\].*kernel size 4"),
        (4, "here.*kernel size 4 is not supported"),
    ],
)
def test_bad_kernel_choices(expression, words):
    with pytest.raises(DocumentError, match=words):
        values(expression)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ({"times": [1]}, "a relative choice has nothing to refer to"),
        ({"range": [8, 4]}, "is empty or has over 100,000 values"),
        ({"range": [0, 64], "step": 8, "scale": "log"}, "input should be greater"),
        ({"range": [1, 9], "step": 2, "scale": "log"}, "a log range must start above half a step"),
        ({"range": [1, 9], "scale": "lin"}, "did you mean 'linear'"),
    ],
)
def test_bad_number_choices(expression, words):
    with pytest.raises(DocumentError, match=words):
        values(expression, Channels)


@pytest.mark.parametrize(
    ("expression", "relative"),
    [
        ({"times": [0.5]}, True),
        ({"plus": [-1]}, True),
        ({"plus": [-1], "of": 3}, False),
        ({"choice": [1, {"choice": [{"times": [2]}]}]}, True),
        ({"choice": [1, {"times": [2], "of": 4}]}, False),
        ({"choice": 3}, False),
        (3, False),
        ("times", False),
    ],
)
def test_relative_choices_refer_to_the_base_network(expression, relative):
    assert is_relative(expression) is relative
