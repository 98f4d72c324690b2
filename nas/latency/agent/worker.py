"""The process that runs somebody's model: ``python -m nas.latency.agent.worker``.

It reads one `Task` as JSON from standard input and writes one `Outcome` as JSON to standard output.
Whatever the model does to it, the agent goes on.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from nas.errors import MixnasError
from nas.imports import missing_package
from nas.latency.agent.messages import MODEL, TASK, Order, Outcome, Task
from nas.latency.device import LocalDevice

_LONGEST = 500  # characters of a reason


def main() -> None:
    """Do what standard input says."""
    answers = _keep_output_for_the_answer()
    task = TASK.validate_json(sys.stdin.buffer.read())
    _restrain(task)
    os.chdir(task.folder)
    text = _outcome(task.order).model_dump_json()
    with os.fdopen(answers, "w", encoding="utf-8") as file:
        file.write(text)
    os._exit(0)  # a runtime may still crash when it is taken down


def _keep_output_for_the_answer() -> int:
    """Send what anything else prints to standard error; return where the answer goes."""
    answers = os.dup(1)
    os.dup2(2, 1)
    return answers


def _restrain(task: Task) -> None:
    """Bound what the process can do to the machine."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if task.memory_bytes is not None and sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_DATA, (task.memory_bytes, task.memory_bytes))
    with suppress(OSError):  # when memory runs short, this process goes, not the agent
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    signal.alarm(task.seconds)  # should the agent die before it can end this process


def _outcome(order: Order) -> Outcome:
    try:
        return Outcome(answer=_answer(order))
    except ModuleNotFoundError as error:
        return Outcome(failure=missing_package(error) or str(error))
    except MixnasError as error:
        return Outcome(failure=_first_line(str(error)))
    except MemoryError:
        return Outcome(failure="the model needs more memory than it may use")
    except Exception as error:  # of the runtime, whose exceptions share no other base
        return Outcome(failure=f"the model cannot be run: {_first_line(str(error))}")


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0][:_LONGEST] if lines else "no reason given"


def _answer(order: Order) -> dict[str, Any]:
    device = LocalDevice(order.device, order.settings)
    if order.kind == "conditions":
        return dataclasses.asdict(device.conditions)
    if order.kind == "profile":
        return dataclasses.asdict(device.profile)
    return _measure(device, order)


def _measure(device: LocalDevice, order: Order) -> dict[str, Any]:
    from nas.latency.runtimes.onnxruntime_runtime import OnnxRuntime

    runtime = device.runtime
    if not isinstance(runtime, OnnxRuntime):
        raise MixnasError(f"'{order.device}' runs no ONNX models")
    model = Path(MODEL).read_bytes()
    latency = device.time(lambda: runtime.load_graph(model), order.resolution, order.effort)
    return latency.to_dict()


if __name__ == "__main__":
    main()
