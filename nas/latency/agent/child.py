"""Running the worker, so that whatever happens to it ends as an `JobResult`."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from nas.latency.agent.messages import (
    ANSWERS,
    WORKER_INPUT,
    JobLimits,
    JobResult,
    JobSpec,
    WorkerInput,
)
from nas.latency.token import TOKEN, TOKEN_FILE

_ANSWER_BYTES = 4_000_000
_REMARK_BYTES = 20_000


async def run_worker(job_spec: JobSpec, folder: Path, limits: JobLimits) -> JobResult:
    """Do one order in a process of its own, which is gone when this returns.

    Args:
        job_spec: what to do.
        folder: an empty folder, but for the model; the caller removes it.
        limits: on time and memory.
    """
    seconds = limits.seconds if job_spec.kind == "measurement" else limits.profile_seconds
    # The process's own clock is the second line of defence, hence later.
    worker_input = WorkerInput(job_spec, str(folder), math.ceil(seconds) + 5, limits.memory_bytes)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "nas.latency.agent.worker",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=_environment(folder),
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    answer, remarks = bytearray(), bytearray()
    readers = [
        asyncio.create_task(_read(process.stdout, answer, _ANSWER_BYTES)),
        asyncio.create_task(_read(process.stderr, remarks, _REMARK_BYTES)),
    ]
    try:
        async with asyncio.timeout(seconds):
            await _tell(process, WORKER_INPUT.dump_json(worker_input))
            await process.wait()
    except TimeoutError:
        said = _last_line(remarks)
        return JobResult(failure=f"no result within {seconds:g} s" + (f" ({said})" if said else ""))
    finally:
        await _end(process, readers)
    if process.returncode != 0:
        return JobResult(failure=_death(process.returncode or 0, _last_line(remarks)))
    return _checked(job_spec, bytes(answer))


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in (TOKEN, TOKEN_FILE)}
    return {**kept, "TMPDIR": str(folder)}


async def _tell(process: asyncio.subprocess.Process, text: bytes) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError, ConnectionResetError):  # it died; its exit code says how
        process.stdin.write(text)
        await process.stdin.drain()
    process.stdin.close()


async def _read(stream: asyncio.StreamReader, into: bytearray, most: int) -> None:
    """Read to the end, and keep the first bytes."""
    while chunk := await stream.read(65536):
        into += chunk[: most - len(into)]


async def _end(process: asyncio.subprocess.Process, readers: list[asyncio.Task[None]]) -> None:
    """End a process with all that it started, and read what it still said."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    _, late = await asyncio.wait(readers, timeout=2.0)
    for reader in late:
        reader.cancel()


def _last_line(remarks: bytearray) -> str:
    lines = remarks.decode("utf-8", "replace").strip().splitlines()
    return "".join(c for c in lines[-1] if c.isprintable())[:200] if lines else ""


def _death(code: int, remark: str) -> str:
    if code >= 0:
        return f"the runtime ended with exit code {code}" + (f" ({remark})" if remark else "")
    try:
        name = f", {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal
        name = ""
    hint = "; perhaps it needs more memory than there is" if -code == signal.SIGKILL else ""
    return f"the runtime crashed (signal {-code}{name}){hint}"


def _checked(job_spec: JobSpec, answer: bytes) -> JobResult:
    """Let nothing out of a process that ran somebody's model but what an answer consists of."""
    try:
        result = JobResult.model_validate_json(answer)
        if result.failure is None:
            ANSWERS[job_spec.kind].validate_python(result.answer)
    except ValidationError:
        return JobResult(failure="the runtime ended without an answer")
    return result
