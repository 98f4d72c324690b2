import threading
import time

import pandas as pd
import pytest
import yaml
from filelock import FileLock

from analysis.errors import AnalysisError
from analysis.report.watch import watch


def test_the_page_follows_a_search_until_it_is_complete(tmp_path, write_trials):
    (tmp_path / "config.yaml").write_text(
        yaml.safe_dump({"space": "s", "data": "d", "device": "x", "command": "c", "trials": 3}),
        encoding="utf-8",
    )
    said, pages = [], []
    page = tmp_path / "report.html"

    def search():
        lock = FileLock(tmp_path / ".lock", thread_local=False)
        lock.acquire()
        for complete in (1, 2, 3):
            time.sleep(0.4)
            write_trials(tmp_path, complete)
            deadline = time.monotonic() + 30
            while complete < 3 and len(said) < 1 + complete and time.monotonic() < deadline:
                time.sleep(0.05)
            if complete < 3:
                pages.append(page.read_text(encoding="utf-8"))
        lock.release()

    searching = threading.Thread(target=search)
    searching.start()
    watch(tmp_path, said.append, every=0.1)
    searching.join()
    assert said[0].startswith("waiting for the first networks")
    assert [text.split()[0] for text in said if "Ctrl-C" in text] == ["1", "2"]
    assert all('http-equiv="refresh"' in text for text in pages)


@pytest.fixture
def write_trials():
    def write(path, complete):
        rows = [
            {
                "number": i,
                "state": "complete",
                "reason": "",
                "spec_hash": str(i),
                "params": 1e6,
                "madds": 1e8,
                "accuracy": 0.5 + 0.01 * i,
                "latency_ms": 1.0 + i,
                "latency_p10_ms": 1.0 + i,
                "latency_p90_ms": 1.0 + i,
            }
            for i in range(complete)
        ]
        temporary = path / "new.csv"
        pd.DataFrame(rows).to_csv(temporary, index=False)
        temporary.replace(path / "trials.csv")

    return write


def test_what_is_no_run_is_not_waited_for(tmp_path):
    with pytest.raises(AnalysisError, match="is not a run directory"):
        watch(tmp_path, print)
