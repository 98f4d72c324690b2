"""The sections of darknet's .cfg files."""

import struct

import numpy as np
import pytest

from nas.errors import MixnasError
from nas.formats.darknet.sections import IMAGES, DarknetSections, refusal


def lines(sections):
    """Return the lines of the sections after the first, which is of the images."""
    return sections.model((3, 4, 5), {}).cfg.partition("\n\n")[2].splitlines()


def two_layers():
    found = DarknetSections()
    assert [found.add("avgpool", "a"), found.add("upsample", "b", stride=4)] == [0, 1]
    return found


def test_layers_are_named_relative_to_the_next_section():
    found = two_layers()
    assert found.back(0, "c") == -2
    found.go_to(1, "c")
    assert len(lines(found)) == 6  # it is the last one already
    found.go_to(0, "c")
    assert lines(found)[-3:] == ["# c", "[route]", "layers=-2"]


def test_two_layers_are_added_and_multiplied():
    found = two_layers()
    assert found.added(1, 0, "sum") == 2
    assert lines(found)[-4:] == ["# sum", "[shortcut]", "from=-2", "activation=linear"]
    assert found.multiplied(0, 2, "product") == 4  # after a route to the first layer
    assert lines(found)[-4:] == ["# product", "[sam]", "from=-2", "activation=linear"]


def test_slices_are_whole_groups():
    found = two_layers()
    assert found.sliced(0, [4, 6], 1, "part") == 5
    assert [line for line in lines(found) if line.startswith("group_id")] == [
        "group_id=2",
        "group_id=3",
        "group_id=4",
    ]
    assert lines(found)[-1] == "layers=-3,-2,-1"
    assert found.sliced(0, [10], 0, "all") == 0


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda found: found.go_to(IMAGES, "x"), "go back to"),
        (lambda found: found.added(1, IMAGES, "x"), "add"),
        (lambda found: found.added(IMAGES, 1, "x"), "add"),
        (lambda found: found.multiplied(1, IMAGES, "x"), "multiply"),
        (lambda found: found.together([1, IMAGES], "x"), "concatenate"),
        (lambda found: found.sliced(IMAGES, [1, 2], 0, "x"), "slice"),
    ],
)
def test_images_are_the_input_of_the_first_section_only(use, message):
    with pytest.raises(MixnasError, match=f"^darknet cannot write x: it cannot {message} the ima"):
        use(two_layers())
    first = DarknetSections()
    first.go_to(IMAGES, "x")
    assert first.together([IMAGES], "x") == IMAGES


def test_an_affine_layer_is_a_convolution_of_single_channels():
    found = DarknetSections()
    found.affine(IMAGES, (3, 4, 5), np.array([1, 2, 3]), -1, "a", "relu")
    expected = ["# a", "[convolutional]", "filters=3", "size=1", "stride=1", "groups=3"]
    assert lines(found) == [*expected, "activation=relu"]
    model = found.model((3, 4, 5), {})
    assert struct.unpack("<6f", model.weights[20:]) == (-1, -1, -1, 1, 2, 3)
    assert model.bflops == 2 * 3 * 20 / 1e9


def test_the_first_section_tells_the_images_and_comments_are_single_lines():
    cfg = DarknetSections().model((3, 4, 5), {"note": "two\nlines"}).cfg
    expected = ["batch=1", "subdivisions=1", "width=5", "height=4", "channels=3"]
    assert cfg.splitlines()[1:] == ['# note: "two\\nlines"', "[net]", *expected]


def test_the_network_itself_has_no_path():
    assert str(refusal("", "why")) == "darknet cannot write the network: why"
