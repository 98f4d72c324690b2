"""The tutorials' commands and code run in order, from an empty folder, on small settings."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

TUTORIALS = ROOT / "docs" / "tutorials"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LIMIT_S = 900
# What is made smaller for the test: each text must be in its tutorial.
QUICK = " --estimator zero-cost:naswot --confirm 1 --retrain images=200 --reference none"
AT_ONCE = " --device nas.testing.fakes:InstantDevice"
SMALLER = {
    "images": {
        "--limit params=1M --trials 24": f"--limit params=1M --trials 4{QUICK}{AT_ONCE}",
        "--trials 32": f"--trials 5{AT_ONCE}",
    },
    "device": {
        "--trials 24": f"--trials 2{QUICK}",
        "mobilenet_v2 mixnet_s --both": "mobilenet_v2 --both",
        "7070": "{port}",
    },
    "space": {"--trials 24": f"--trials 6{QUICK}{AT_ONCE}"},
    "believing": {
        "--trials 12": f"--trials 5{AT_ONCE}",
        "images=30000": "images=300",
        "--confirm 2": f"--confirm 1 --retrain images=200{AT_ONCE}",
    },
    "optuna": {"TRIALS = 30": "TRIALS = 12", "max_iter=20": "max_iter=3"},
    "shipping": {"epochs=30": "epochs=2"},
}


def script_of(name: str) -> str:
    """Return the code of a tutorial as one shell script, made smaller."""
    text = (TUTORIALS / f"{name}.md").read_text(encoding="utf-8")
    parts = ["set -euo pipefail"]
    for language, code in BLOCK.findall(text):
        parts.append(
            code if language == "sh" else f"python - <<'END_OF_PYTHON'\n{code}END_OF_PYTHON"
        )
    script = "\n".join(parts)
    for long, short in SMALLER[name].items():
        assert long in script, f"{name}.md does not have {long!r} any more"
        script = script.replace(long, short)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return script.replace("{port}", str(free.getsockname()[1]))


def test_every_tutorial_is_run():
    written = {path.stem for path in TUTORIALS.glob("*.md")} - {"index"}
    assert written == set(SMALLER)
    for name in written:
        assert f"({name}.md)" in (TUTORIALS / "index.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALLER)
def test_a_tutorial_runs_as_it_is_written(name, tmp_path):
    tools = Path(sys.executable).parent
    search_path = os.pathsep.join([str(tools), os.environ["PATH"]])
    assert shutil.which("python", path=search_path) == str(tools / "python")
    process = subprocess.Popen(
        ["bash", "-c", script_of(name)],
        cwd=tmp_path,
        env={**os.environ, "PATH": search_path, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=LIMIT_S)
    finally:  # a server that a failed tutorial left behind
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert process.returncode == 0, output[-4000:]
    assert "Traceback" not in output, output[-4000:]
