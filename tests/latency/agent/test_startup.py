"""What the agent needs before it serves."""

import stat

import pytest

from nas.errors import MixnasError
from nas.latency.agent import startup
from nas.latency.agent.messages import JobLimits, JobResult, ServedRuntime
from nas.latency.agent.run import listen
from nas.latency.agent.startup import (
    SHORTEST_TOKEN,
    AgentToken,
    find_runtimes,
    load_token,
    print_greeting,
    servable,
)

SERVED = [
    ServedRuntime("litert:cpu", "tflite", "ai-edge-litert 2", "a board", 4),
    ServedRuntime("onnxruntime:cpu", "onnx", "onnxruntime 1", "a board", 1),
]


# -- runtimes --------------------------------------------------------------------------------------


@pytest.fixture
def starting(monkeypatch):
    """Let all runtimes start but those in a mapping of failures; return it, and what is asked."""
    failures, asked = {}, []

    async def run_worker(job_spec, folder, limits):
        asked.append((job_spec.kind, job_spec.device))
        if job_spec.device in failures:
            return JobResult(failure=failures[job_spec.device])
        facts = {"runtime": f"{job_spec.device} 1", "machine": "a board", "threads": 4}
        return JobResult(answer=facts)

    monkeypatch.setattr(startup, "run_worker", run_worker)
    return failures, asked


def test_named_runtimes_are_served_in_their_order(starting):
    found = find_runtimes(["litert:cpu", "onnxruntime:cuda", "litert:cpu"], JobLimits())
    assert found == [
        ServedRuntime("litert:cpu", "tflite", "litert:cpu 1", "a board", 4),
        ServedRuntime("onnxruntime:cuda", "onnx", "onnxruntime:cuda 1", "a board", 4),
    ]
    assert starting[1] == [("conditions", "litert:cpu"), ("conditions", "onnxruntime:cuda")]


def test_without_names_all_that_are_installed_are_served(starting, monkeypatch, capsys):
    installed = {"onnxruntime", "litert"}
    monkeypatch.setattr(startup, "is_complete", lambda extra: extra in installed)
    found = find_runtimes([], JobLimits())
    assert [runtime.device for runtime in found] == ["onnxruntime:cpu", "litert:cpu"]
    assert capsys.readouterr().err == ""
    starting[0]["onnxruntime:cpu"] = "no such instruction"
    assert [runtime.device for runtime in find_runtimes([], JobLimits())] == ["litert:cpu"]
    told = capsys.readouterr().err
    assert told == "note: onnxruntime:cpu is not served: no such instruction\n"


def test_a_named_runtime_that_does_not_start_is_refused(starting):
    starting[0]["litert:cpu"] = "no such instruction"
    with pytest.raises(MixnasError, match=r"^no such instruction$"):
        find_runtimes(["onnxruntime:cpu", "litert:cpu"], JobLimits())
    with pytest.raises(MixnasError, match="torch:cpu' cannot be served, because it takes no mod"):
        find_runtimes(["torch:cpu"], JobLimits())


def test_without_any_runtime_the_extras_are_named(starting, monkeypatch):
    monkeypatch.setattr(startup, "is_complete", lambda extra: False)
    with pytest.raises(MixnasError) as told:
        find_runtimes([], JobLimits())
    assert "pip install 'mixnas[agent,onnxruntime]' or " in str(told.value)
    assert "'mixnas[agent,litert]'" in str(told.value)
    assert starting[1] == []


def test_what_runs_layer_trees_only_cannot_be_served():
    assert {"onnxruntime:cpu", "litert:cpu"} <= set(servable())
    assert not [name for name in servable() if name.startswith(("torch", "compile"))]


# -- the token -------------------------------------------------------------------------------------


def test_the_token_comes_from_a_file_or_the_environment(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MIXNAS_TOKEN", " from-the-environment\n")
    path = tmp_path / "token"
    path.write_text("from-the-file-of-16\n")
    path.chmod(0o600)
    loaded = load_token(path)
    assert (loaded.text, loaded.new) == ("from-the-file-of-16", False)
    assert load_token(None).text == "from-the-environment"
    assert capsys.readouterr().err == ""
    monkeypatch.delenv("MIXNAS_TOKEN")
    first, second = load_token(None), load_token(None)
    assert first.new
    assert len(first.text) >= SHORTEST_TOKEN
    assert first.text != second.text


def test_a_token_that_others_can_read_is_reported(tmp_path, capsys):
    path = tmp_path / "token"
    path.write_text("a-token-that-is-long-enough")
    path.chmod(0o640)
    assert load_token(path).text == "a-token-that-is-long-enough"
    assert f"warning: other users of this machine can read {path}" in capsys.readouterr().err
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("text", ["fifteen-letters", "sixteen letters!", "sixteen-lettérs!", ""])
def test_bad_tokens_are_refused(monkeypatch, tmp_path, text):
    (tmp_path / "token").write_text(text)
    with pytest.raises(MixnasError, match="a token needs 16 or more ASCII characters without sp"):
        load_token(tmp_path / "token")
    monkeypatch.setenv("MIXNAS_TOKEN", "fifteen-letters")
    with pytest.raises(MixnasError, match="the environment variable MIXNAS_TOKEN: a token needs"):
        load_token(None)


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "127.0.0.1"), pytest.param("::1", "[::1]", id="IPv6")]
)
def test_the_greeting_names_the_address(host, shown, capsys):
    try:
        listener = listen(host, 0)
    except MixnasError:
        pytest.skip("this machine has no IPv6")
    first = "litert:cpu (ai-edge-litert 2, 4 threads)"
    second = "onnxruntime:cpu (onnxruntime 1, 1 thread)"
    with listener:
        port = listener.getsockname()[1]
        print_greeting(listener, SERVED, AgentToken("secret", new=False), tls=True)
        print_greeting(listener, SERVED, AgentToken("secret", new=True), tls=False)
    output = capsys.readouterr()
    assert output.out.splitlines() == [
        f"serving {first}, {second} on https://{shown}:{port}; Ctrl-C to stop",
        f"serving {first}, {second} on http://{shown}:{port}; Ctrl-C to stop",
        "token (not shown again): secret",
    ]
    assert output.err == ""  # nobody else can listen to a loopback address
