import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.read.architectures import BlockView, architectures, parse_architecture, short_form


def test_a_line_is_read_block_by_block():
    assert parse_architecture("ds_k3_s1_c16 | ir_k3.5_s2_e6_c24_se0.25 ir_k7_s1_e3_c24_nsw") == (
        BlockView("ds", 0, (3,), 16, 1, 1.0),
        BlockView("ir", 1, (3, 5), 24, 2, 6.0),
        BlockView("ir", 1, (7,), 24, 1, 3.0),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "has no block"), ("ir_k3_s1", "no channels"), ("ir_k3_3s_c16", "'3s'")],
)
def test_what_is_no_network_is_named(text, said):
    with pytest.raises(AnalysisError, match=said):
        parse_architecture(text)


def test_a_table_needs_the_column():
    with pytest.raises(AnalysisError, match="no column 'architecture'"):
        architectures(pd.DataFrame({"error": [1.0]}))


@pytest.mark.parametrize(
    "word", ["ir_k3_s1.5_c8", "ir_k3_e6.1.2_c8", "ir_k3_c9999999999999", "ir_k3_c²", "ir_k3\n_c8"]
)
def test_what_is_no_number_is_named(word):
    with pytest.raises(AnalysisError, match=r"cannot parse|no channels|no block"):
        parse_architecture(word)


def test_parts_without_a_number_have_their_default():
    (block,) = parse_architecture("ir_k_s_e_c8")
    assert (block.kernels, block.stride, block.expansion) == ((1,), 1, 1.0)


def test_networks_that_no_figure_can_show_are_refused():
    with pytest.raises(AnalysisError, match="has 65 blocks in 65 stages; networks of up to 1,000"):
        parse_architecture("|".join(["mb_c8"] * 65))
    with pytest.raises(AnalysisError, match="has 1,001 blocks in 1 stages"):
        parse_architecture(" ".join(["mb_c8"] * 1001))
    assert len(parse_architecture("|".join(["mb_c8"] * 64))) == 64


def test_a_short_form_names_each_stage():
    stage = "ir_k3.5_s2_e6_c24_se0.25 ir_k3.5_s1_e6_c24_se0.25 ir_k3_s1_e3_c24"
    assert (
        short_form(f"ds_k3_s1_c16 | {stage} | cn_s1_c8")
        == "ds k3 c16 | e6 k3.5 c24 se x2, e3 k3 | cn c8"
    )
    assert short_form("ir_k3_s1_e1_c16") == "k3 c16"


@pytest.mark.parametrize("text", ["timm:vit_tiny_patch16_224", "<b>", ""])
def test_what_is_no_line_of_blocks_is_its_own_short_form(text):
    assert short_form(text) == text


def test_short_forms_are_bounded():
    assert len(short_form(" | ".join(["ir_k3_s1_e6_c24"] * 200))) <= 400
