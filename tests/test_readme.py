"""The README's Python examples run as they stand."""

import re

import pytest

from tests.conftest import ROOT

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
RUNNABLE = [block for block in BLOCKS if "best.yaml" not in block]


@pytest.mark.parametrize("code", RUNNABLE, ids=range(len(RUNNABLE)))
def test_examples_run(code, capsys):
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102
    assert capsys.readouterr().out.strip()


def test_there_are_examples():
    assert any("KnownCostSampler" in block for block in RUNNABLE)
