"""The agent's HTTP interface.

It neither imports a runtime nor parses a model; worker processes do both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict, Field

from nas import __version__
from nas.latency.agent.accepted import ACCEPTED
from nas.latency.agent.auth import TokenAuth
from nas.latency.agent.jobs import BusyError, Job, JobQueue
from nas.latency.agent.messages import (
    MODEL,
    JobSpec,
    Kind,
    ServedRuntime,
    ServedRuntimes,
)
from nas.latency.agent.upload import receive
from nas.latency.conditions import (
    Conditions,
    Interval,
    Latency,
    MeasurementSettings,
    Precision,
)
from nas.latency.profile import DeviceProfile
from nas.latency.protocol import Effort
from nas.units import LARGEST_BATCH, MOST_THREADS

LONGEST_WAIT = 20.0  # maximum time for which a request is held, in seconds
_Seconds = Annotated[float, Field(gt=0, le=60)]


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid")
    device: Annotated[str, Field(max_length=64)] | None = None
    threads: Annotated[int, Field(ge=1, le=MOST_THREADS)] | None = None
    batch: Annotated[int, Field(ge=1, le=LARGEST_BATCH)] = 1
    precision: Precision = "fp32"
    lowered: bool = True
    interval_ms: Interval = 0.0

    def served(self, runtimes: Sequence[ServedRuntime]) -> ServedRuntime:
        """Return the requested runtime, or the first one if none is named.

        Raises:
            HTTPException: If the agent does not serve it.
        """
        for runtime in runtimes:
            if self.device in (None, runtime.device):
                return runtime
        names = ", ".join(runtime.device for runtime in runtimes)
        raise HTTPException(404, f"this agent does not serve '{self.device}'; it serves {names}")

    def settings(self) -> MeasurementSettings:
        """Return the requested measurement settings."""
        return MeasurementSettings(
            threads=self.threads,
            batch=self.batch,
            precision=self.precision,
            lowered=self.lowered,
            interval_ms=self.interval_ms,
        )


class FactQuery(_Query):
    """Runtime and measurement settings, and how many seconds to wait for the answer."""

    wait: Annotated[float, Field(ge=0, le=LONGEST_WAIT)] = 0.0


class MeasurementQuery(_Query):
    """Runtime, settings and effort of a measurement; see `Effort` and `JobSpec`."""

    resolution: Annotated[int, Field(ge=1, le=8192)]
    rounds: Annotated[int, Field(ge=1, le=1000)] = Effort.rounds
    seconds: _Seconds = Effort.seconds
    precision_of_ratio: Annotated[float, Field(gt=0, le=1)] = Effort.precision
    warm_seconds: _Seconds = Effort.warm_seconds
    take: Annotated[str, Field(max_length=64)] = ""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None

    def job_spec(self, device: str) -> JobSpec:
        """Return the requested measurement as a job spec."""
        return JobSpec(
            kind="measurement",
            device=device,
            settings=self.settings(),
            effort=Effort(
                rounds=self.rounds,
                seconds=self.seconds,
                precision=self.precision_of_ratio,
                warm_seconds=self.warm_seconds,
            ),
            resolution=self.resolution,
            take=self.take,
        )


class Health(BaseModel):
    """The agent's state and version."""

    status: str
    busy: bool
    version: str


class Accepted(BaseModel):
    """An accepted job."""

    id: str
    state: str = "running"


class Problem(BaseModel):
    """The reason why a request failed."""

    detail: str


_bearer = HTTPBearer(auto_error=False, description="The agent's token.")
_LOCKED = [Depends(_bearer)]  # only documents the header; `TokenAuth` checks it
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The request is invalid."},
    401: {"model": Problem, "description": "The token is missing or wrong."},
    422: {"model": Problem, "description": "The job failed; the detail says why."},
    429: {"model": Problem, "description": "The agent is busy with another job; try again."},
}
_NOT_YET: dict[int | str, dict[str, Any]] = {
    202: {"model": Accepted, "description": "The job is still running; ask again."}
}
_NOT_SERVED: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "The agent does not serve this runtime."}
}
_UPLOAD: dict[int | str, dict[str, Any]] = {
    408: {"model": Problem, "description": "The model did not arrive in time."},
    413: {"model": Problem, "description": "The model is too large."},
    415: {"model": Problem, "description": "The body is not a model in the runtime's format."},
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def new_app(runtimes: Sequence[ServedRuntime], token: str, jobs: JobQueue) -> FastAPI:
    """Return the agent's application.

    Args:
        runtimes: Runtimes to serve, one or more; requests that name none are for the first.
        token: Token that every request must carry, except those for the agent's health and the
            interactive documentation.
        jobs: Queue that runs the jobs.
    """
    app = FastAPI(
        title="mixnas device agent",
        version=__version__,
        description="Measures the latency of models on this machine.",
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        responses=_PROBLEMS,
    )
    app.add_exception_handler(RequestValidationError, _bad_request)
    app.add_exception_handler(BusyError, _busy)
    app.add_exception_handler(OSError, _storage_error)
    app.add_middleware(TokenAuth, token=token)
    _add_facts(app, runtimes, jobs)
    _add_measurements(app, runtimes, jobs)
    return app


def _add_facts(app: FastAPI, runtimes: Sequence[ServedRuntime], jobs: JobQueue) -> None:
    @app.get("/health", responses={})
    async def health() -> Health:
        """Return whether the agent is busy; no token is needed."""
        return Health(status="serving", busy=jobs.busy, version=__version__)

    @app.get("/runtimes", dependencies=_LOCKED)
    async def served() -> ServedRuntimes:
        """Return the runtimes that the agent serves, and the limits of jobs."""
        limits = jobs.limits
        return ServedRuntimes(
            runtimes=tuple(runtimes),
            body_bytes=limits.body_bytes,
            seconds=limits.seconds,
            profile_seconds=limits.profile_seconds,
            memory_bytes=limits.memory_bytes,
        )

    fact = {**_NOT_YET, **_NOT_SERVED}

    @app.get("/conditions", response_model=Conditions, responses=fact, dependencies=_LOCKED)
    async def conditions(query: Annotated[FactQuery, Query()]) -> JSONResponse:
        """Return the conditions of measurements with these settings."""
        return await _fact("conditions", query.served(runtimes), query, jobs)

    @app.get("/profile", response_model=DeviceProfile, responses=fact, dependencies=_LOCKED)
    async def profile(query: Annotated[FactQuery, Query()]) -> JSONResponse:
        """Return the usual speed of the runtime and the forms of layers that are fastest in it.

        The first request under a set of conditions examines the runtime, which takes a minute
        or two, and longer on a board.
        """
        return await _fact("profile", query.served(runtimes), query, jobs)


async def _fact(
    kind: Kind, runtime: ServedRuntime, query: FactQuery, jobs: JobQueue
) -> JSONResponse:
    """Answer a request for conditions or the profile, running a job if there is no result yet."""
    job_spec = JobSpec(kind, runtime.device, query.settings())
    job = jobs.find(job_spec.digest())
    if job is None:
        job = Job(job_spec.digest(), job_spec)
        with jobs.slot() as slot:
            jobs.begin(slot, [job])
    await job.wait(query.wait)
    if job.failed:
        jobs.forget(job)  # the next request tries again, since the cause may be temporary
    return _reply(job)


def _add_measurements(app: FastAPI, runtimes: Sequence[ServedRuntime], jobs: JobQueue) -> None:
    @app.post(
        "/measurements",
        status_code=202,
        response_model=Accepted,
        responses={**_UPLOAD, **_NOT_SERVED},
        dependencies=_LOCKED,
        openapi_extra=_BODY,
    )
    async def measure(
        request: Request, query: Annotated[MeasurementQuery, Query()]
    ) -> JSONResponse:
        """Measure the model in the body, in the format of the runtime.

        It must have one float input, images: (batch, C, H, W) in ONNX, (batch, H, W, C) in
        TensorFlow Lite, (C, H, W) in ncnn.

        The same model with the same query is the same measurement and is made only once, unless it
        failed; another value of `take` asks for another measurement. With `sha256`, the digest of
        the body, an existing measurement is found before the body is sent.
        """
        runtime = query.served(runtimes)
        job_spec = query.job_spec(runtime.device)
        if query.sha256 and (known := _reusable(jobs, job_spec.digest(query.sha256))):
            return _accepted(known)
        with jobs.slot() as slot:
            accepted = ACCEPTED[runtime.model_format]
            digest = await receive(request, slot.folder / MODEL, jobs.limits, accepted)
            if query.sha256 not in (None, digest):
                raise HTTPException(
                    400, f"the SHA-256 digest of the body is {digest}, not {query.sha256}"
                )
            job = Job(job_spec.digest(digest), job_spec)
            if known := _reusable(jobs, job.id):
                return _accepted(known)
            profile = JobSpec("profile", runtime.device, job_spec.settings)
            jobs.begin(slot, [Job(profile.digest(), profile), job])
        return _accepted(job)

    @app.get(
        "/measurements/{identity}",
        response_model=Latency,
        responses={**_NOT_YET, 404: {"model": Problem, "description": "No such measurement."}},
        dependencies=_LOCKED,
    )
    async def result(
        identity: str, wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT)] = 0.0
    ) -> JSONResponse:
        """Return the result of a measurement, after waiting for it for at most `wait` seconds."""
        job = jobs.find(identity)
        if job is None or job.job_spec.kind != "measurement":
            raise HTTPException(
                404, "no such measurement; the agent was restarted, or the result has expired"
            )
        await job.wait(wait)
        return _reply(job)


def _reusable(jobs: JobQueue, identity: str) -> Job | None:
    """Return the job with an id if it is running or has an answer, else None."""
    job = jobs.find(identity)
    return None if job is None or job.failed else job


def _accepted(job: Job) -> JSONResponse:
    state = "running" if job.result is None else "done"
    headers = {"Location": f"/measurements/{job.id}", "Retry-After": "1"}
    return JSONResponse(Accepted(id=job.id, state=state).model_dump(), 202, headers)


def _reply(job: Job) -> JSONResponse:
    if job.result is None:
        return JSONResponse(Accepted(id=job.id).model_dump(), 202, {"Retry-After": "1"})
    if job.result.failure is not None:
        return JSONResponse({"detail": job.result.failure}, 422)
    return JSONResponse(job.result.answer)


async def _bad_request(request: Request, error: Exception) -> JSONResponse:
    problems: Sequence[Any] = error.errors() if isinstance(error, RequestValidationError) else ()
    reasons = [f"{'.'.join(map(str, p['loc'][1:]))[:80]}: {p['msg'][:200]}" for p in problems[:10]]
    return JSONResponse({"detail": "; ".join(reasons)}, 400)


async def _busy(request: Request, error: Exception) -> JSONResponse:
    reason = "the agent is busy with another job; try again in a few seconds"
    return JSONResponse({"detail": reason}, 429, {"Retry-After": "2"})


async def _storage_error(request: Request, error: Exception) -> JSONResponse:
    reason = getattr(error, "strerror", None) or type(error).__name__
    return JSONResponse({"detail": f"the agent cannot store the model: {reason}"}, 507)
