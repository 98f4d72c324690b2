"""Programs of torch.export with slices in place of splits."""

import pytest
import torch

from nas.ir import Conv, MixConv, Node, Slices
from nas.latency.weights import realistic_weights
from nas.torch_model import to_loaded_module, with_slices

MIX = MixConv((Conv(2, 2, 3, groups=2), Conv(5, 5, 5, groups=5), Conv(1, 1, 7)))
PARTS = Slices((("a", Conv(4, 4, 3)), ("b", Conv(3, 3)), ("c", Conv(1, 1, 5))), (4, 3, 1))


def calls(program):
    return [str(node.target) for node in program.graph.nodes if node.op == "call_function"]


@pytest.mark.parametrize("tree", [MIX, PARTS])
def test_splits_become_slices_with_the_same_outputs_at_every_batch_size(tree: Node):
    module = to_loaded_module(tree, realistic_weights(tree))
    images = torch.randn(3, 8, 9, 9, generator=torch.Generator().manual_seed(0))
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(module, (images,), dynamic_shapes=shapes)
    assert any("split" in name for name in calls(program))
    written = with_slices(program)
    assert not any("split" in name for name in calls(written))
    assert calls(written).count("aten.slice.Tensor") == 3
    for size in (1, 3):
        torch.testing.assert_close(written.module()(images[:size]), module(images[:size]))
