import random
from types import SimpleNamespace

import pytest

from analysis.read.architectures import parse_architecture
from nas.accuracy.pool import SpacePool
from nas.formats.arch_string import arch_string
from nas.space import load_space
from nas.spec import load_network


def test_a_reference_in_one_line():
    line = arch_string(load_network("mixnet_s"))
    assert line.startswith("ir_k3_s1_e1_c16 | ir_k3_s2_e6_c24 ir_k3_s1_e3_c24 | ir_k3.5.7_s2_e6")
    assert "ir_k3.5.7.9.11_s2_e6_c200_se0.5" in line
    assert arch_string(load_network("mobilenet_v1")).startswith("ds_k3_s1_c64 | ds_k3_s2_c128")


def test_a_block_without_kernels_has_no_word_for_them():
    block = SimpleNamespace(family="other", stride=2, channels=24)
    line = arch_string(SimpleNamespace(stages=((block,),)))
    assert line == "other_s2_c24"
    assert parse_architecture(line)[0].kernels == (1,)


@pytest.mark.parametrize("seed", range(20))
def test_analysis_reads_what_is_written(seed):
    spec = SpacePool(load_space("mixnet")).draw(random.Random(seed))
    read = parse_architecture(arch_string(spec))
    assert [(b.kernels, b.channels, b.stride) for b in read] == [
        (tuple(b.kernels), b.channels, b.stride) for b in spec.blocks
    ]
    assert [b.stage for b in read] == [i for i, s in enumerate(spec.stages) for _ in s]
