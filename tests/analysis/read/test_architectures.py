import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.read.architectures import BlockView, architectures, parse_architecture


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
