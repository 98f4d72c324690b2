import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from analysis.commands.report import write_reports
from analysis.errors import AnalysisError


@pytest.fixture
def folders(tmp_path):
    """Two small runs that have ended."""
    paths = []
    for name in ("one", "two"):
        path = tmp_path / name
        path.mkdir()
        rows = pd.DataFrame(
            {
                "number": [0, 1],
                "state": "complete",
                "reason": "",
                "spec_hash": ["a", "b"],
                "params": 1e6,
                "madds": 1e8,
                "accuracy": [0.5, 0.6],
                "latency_ms": [1.0, 2.0],
                "latency_p10_ms": 1.0,
                "latency_p90_ms": 2.0,
            }
        )
        rows.to_csv(path / "trials.csv", index=False)
        config = {"space": "s", "data": "d", "device": "x", "command": "c"}
        (path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        paths.append(path)
    return paths


def test_every_run_has_its_report(folders, capsys):
    write_reports(folders)
    pages = [path / "report.html" for path in folders]
    assert capsys.readouterr().out == "".join(f"report: {page}\n" for page in pages)
    assert all(page.is_file() for page in pages)


def test_json_is_the_report_as_data(folders, capsys):
    write_reports(folders[:1], json=True)
    data = json.loads(capsys.readouterr().out)
    assert Path(data["report"]) == folders[0] / "report.html"
    assert [row["number"] for row in data["front"]] == [0, 1]


def test_a_run_that_has_ended_is_not_watched_for_long(folders, capsys):
    write_reports(folders[:1], watch=True)
    page = (folders[0] / "report.html").read_text(encoding="utf-8")
    assert 'http-equiv="refresh"' not in page
    assert capsys.readouterr().err == ""


def test_several_runs_cannot_be_watched(folders):
    with pytest.raises(AnalysisError, match="--watch follows one run, not 2"):
        write_reports(folders, watch=True)
    assert not (folders[0] / "report.html").exists()


def test_a_bad_ranking_card_writes_no_report(folders, tmp_path):
    card = tmp_path / "card.json"
    card.write_text("{}", encoding="utf-8")
    with pytest.raises(AnalysisError, match="is not a ranking card"):
        write_reports(folders, ranking=card)
    assert not (folders[0] / "report.html").exists()
