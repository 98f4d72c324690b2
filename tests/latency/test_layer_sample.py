"""The layers whose forms are measured on a device."""

from collections import Counter

from nas.ir import MixConv, SqueezeExcite, conv_channels
from nas.latency.layer_sample import _even_widths, sampled_layers
from nas.latency.profile import LayerSignature
from nas.lowering import candidates

SAMPLE = [(LayerSignature.of(node, shape), node, shape) for node, shape in sampled_layers()]


def test_the_sample_of_layers():
    kinds = Counter(signature.kind for signature, _, _ in SAMPLE)
    # Ladders of 2 to 5 kernels at 9 pairs of size and stride and 3 uneven ones; kernels 7 and 9 at
    # the same 9, 3 and 5 at 3 of them.
    depthwise = 4 * 9 + 3 + 2 * 9 + 2 * 3
    assert kinds == {"depthwise": depthwise, "grouped": 8, "gate": 3, "pointwise": 10}
    assert len({signature for signature, _, _ in SAMPLE}) == len(SAMPLE)
    for _, node, (channels, height, width) in SAMPLE:
        assert height == width
        inputs = node.reduce.in_channels if isinstance(node, SqueezeExcite) else None
        assert (inputs or conv_channels(node)[0]) == channels
        if isinstance(node, MixConv):
            assert len(candidates(node)) > 1
            assert {conv.kernel % 2 for conv in node.convs} == {1}


def test_sampled_layers_cover_those_of_networks():
    of = {
        kind: {(s.channels, s.size) for s, _, _ in SAMPLE if s.kind == kind}
        for kind in ("depthwise", "gate")
    }
    sizes = {(32, 112), (64, 112), (144, 56), (240, 28), (480, 14), (960, 7)}
    assert of["depthwise"] == sizes
    assert of["gate"] == {(240, 28), (480, 14), (960, 7)}
    depthwise = [s for s, _, _ in SAMPLE if s.kind == "depthwise"]
    pairs = [(size, stride) for size in (112, 56, 28, 14) for stride in (1, 2)]
    assert {(s.size, s.stride) for s in depthwise} == {*pairs, (7, 1)}
    assert {s.kernels[0] for s in depthwise if len(s.kernels) == 1} == {3, 5, 7, 9}
    assert {s.shares for s in depthwise if len(set(s.shares)) == 3} == {(500, 250, 125, 125)}
    assert {s.width for s, _, _ in SAMPLE} == {1, 8, 16}
    reductions = {node.reduce.out_channels for s, node, _ in SAMPLE if s.kind == "gate"}
    assert reductions == {20, 40, 80}


def test_the_first_kernel_gets_what_is_left():
    assert _even_widths(64, 3) == [22, 21, 21]
