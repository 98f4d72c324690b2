"""What the time of a run's best networks consists of."""

import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.read.operators import read_operators
from analysis.schema import OPERATOR_COLUMNS

ROWS = [
    ("phone", "trial_3", "Mul", 0.25),
    ("phone", "trial_3", "convolution 1x1", 1.5),
    ("phone", "trial_3", "nothing", 0.0),
    ("board", "trial_3", "Mul", 4.0),
]


@pytest.fixture
def folder(tmp_path):
    table = pd.DataFrame(ROWS, columns=list(OPERATOR_COLUMNS))
    table.to_csv(tmp_path / "operators.csv", index=False)
    return tmp_path


def test_those_of_one_device_come_in_order(folder):
    expected = [("convolution 1x1", 1.5), ("Mul", 0.25)]
    assert read_operators(folder, "phone", "trial_3") == expected
    assert read_operators(folder, "board", "trial_3") == [("Mul", 4.0)]


def test_another_network_is_not_the_one_that_was_profiled(folder, tmp_path):
    assert read_operators(folder, "phone", "trial_4") == []
    (folder / "operators.csv").unlink()
    assert read_operators(folder, "phone", "trial_3") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("device,network,operator\n1,2,3\n", "it has no column 'ms'"),
        ("device,network,operator,ms\nphone,trial_3,Mul,x\n", "the column 'ms' holds text"),
        ("a;b\n1;2\n", "not separated by commas"),
    ],
)
def test_damaged_files_are_refused(folder, text, message):
    (folder / "operators.csv").write_text(text, encoding="utf-8")
    with pytest.raises(AnalysisError, match=message):
        read_operators(folder, "phone", "trial_3")
