"""Running a job in a worker process, so that whatever happens to it becomes a `JobResult`."""

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
_ERROR_BYTES = 20_000


async def run_worker(job_spec: JobSpec, folder: Path, limits: JobLimits) -> JobResult:
    """Run one job in a separate process, which has ended when this function returns.

    Args:
        job_spec: The task.
        folder: Working folder, empty except for the model; the caller removes it.
        limits: Limits on time and memory.

    Returns:
        The answer, or the reason for the failure: a timeout, a crash or an invalid answer.
    """
    seconds = limits.seconds if job_spec.kind == "measurement" else limits.profile_seconds
    worker_input = WorkerInput(
        job_spec=job_spec,
        folder=str(folder),
        seconds=math.ceil(seconds) + 5,  # a fallback, so later than the timeout below
        memory_bytes=limits.memory_bytes,
    )
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
    answer, errors = bytearray(), bytearray()
    readers = [
        asyncio.create_task(_read(process.stdout, answer, _ANSWER_BYTES)),
        asyncio.create_task(_read(process.stderr, errors, _ERROR_BYTES)),
    ]
    try:
        async with asyncio.timeout(seconds):
            await _send(process, WORKER_INPUT.dump_json(worker_input))
            await process.wait()
    except TimeoutError:
        line = _last_line(errors)
        return JobResult(failure=f"no result within {seconds:g} s" + (f" ({line})" if line else ""))
    finally:
        await _end(process, readers)
    if process.returncode != 0:
        return JobResult(failure=_exit_reason(process.returncode or 0, _last_line(errors)))
    return _checked(job_spec, bytes(answer))


def _environment(folder: Path) -> dict[str, str]:
    """Return the worker's environment variables: without the token, with its own TMPDIR."""
    secrets = (TOKEN, TOKEN_FILE)
    variables = {name: value for name, value in os.environ.items() if name not in secrets}
    return {**variables, "TMPDIR": str(folder)}


async def _send(process: asyncio.subprocess.Process, text: bytes) -> None:
    """Write to a process's standard input and close it."""
    assert process.stdin is not None
    with suppress(BrokenPipeError, ConnectionResetError):  # its exit code tells why it died
        process.stdin.write(text)
        await process.stdin.drain()
    process.stdin.close()


async def _read(stream: asyncio.StreamReader, into: bytearray, limit: int) -> None:
    """Read a stream to its end, but store only its first bytes."""
    while chunk := await stream.read(65536):
        into += chunk[: limit - len(into)]


async def _end(process: asyncio.subprocess.Process, readers: list[asyncio.Task[None]]) -> None:
    """Kill a process and its descendants, and read the rest of its output."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    _, unfinished = await asyncio.wait(readers, timeout=2.0)
    for reader in unfinished:
        reader.cancel()


def _last_line(errors: bytearray) -> str:
    lines = errors.decode("utf-8", "replace").strip().splitlines()
    return "".join(c for c in lines[-1] if c.isprintable())[:200] if lines else ""


def _exit_reason(code: int, line: str) -> str:
    """Explain a failed process's exit code, given its last line of standard error."""
    if code >= 0:
        return f"the runtime ended with exit code {code}" + (f" ({line})" if line else "")
    try:
        name = f", {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal
        name = ""
    hint = "; it may have run out of memory" if -code == signal.SIGKILL else ""
    return f"the runtime crashed (signal {-code}{name}){hint}"


def _checked(job_spec: JobSpec, answer: bytes) -> JobResult:
    """Parse the output of a process that ran an untrusted model; accept only valid answers."""
    try:
        result = JobResult.model_validate_json(answer)
        if result.failure is None:
            ANSWERS[job_spec.kind].validate_python(result.answer)
    except ValidationError:
        return JobResult(failure="the runtime ended without a valid answer")
    return result
