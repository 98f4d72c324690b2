"""A device on another machine, on which ``python -m nas.device serve`` runs."""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from nas.errors import MixnasError, UnrunnableError
from nas.imports import missing_package
from nas.latency.agent.messages import ServedRuntimes
from nas.latency.conditions import Conditions, Latency, MeasurementSettings
from nas.latency.deployment import ChosenForm, fastest_of, network_forms, program_of
from nas.latency.profile import DeviceProfile
from nas.latency.protocol import Effort
from nas.latency.remote.client import AgentClient, AgentResponse, split_address
from nas.latency.runtimes import FAMILIES
from nas.latency.runtimes.base import Program
from nas.latency.runtimes.models import serialized
from nas.lowering import MERGE_ALL, FormChoice
from nas.progress import Step
from nas.spec import NetworkSpec

_WAIT = 15.0  # seconds the agent may hold a request, since frequent polling would disturb it
_LONGEST = 3600.0  # maximum time of one job, in seconds
QUICK = Effort(rounds=4, seconds=0.5, precision=0.01, warm_seconds=0.3)
"""Effort of finding out which form of a network is faster."""
_RESTARTS = 3  # restarts of the agent to tolerate during one measurement


@dataclass(frozen=True, config=ConfigDict(extra="ignore"))
class _Accepted:
    id: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


_ACCEPTED = TypeAdapter(_Accepted)
_SERVED = TypeAdapter(ServedRuntimes)
_CONDITIONS = TypeAdapter(Conditions)
_PROFILE = TypeAdapter(DeviceProfile)
_LATENCY = TypeAdapter(Latency)


class RemoteDevice:
    """A machine that measures the networks that it is sent."""

    local = False

    def __init__(
        self,
        name: str,
        settings: MeasurementSettings = MeasurementSettings(),  # noqa: B008
        *,
        token: str | None = None,
        ca_file: str | None = None,
        patience: float = 120.0,
    ) -> None:
        """Create the client of an agent, without sending anything.

        Args:
            name: Address of the agent: ``http://board:7070`` for the first of its runtimes, or
                ``http://board:7070/litert:cpu``.
            settings: Settings of the measurements.
            token: Token of the agent; None for that in ``MIXNAS_TOKEN``, or in the file named by
                ``MIXNAS_TOKEN_FILE``.
            ca_file: PEM file with the certificates to trust; None for that named by
                ``MIXNAS_CA_FILE``, or the system's certificates.
            patience: Seconds for which an agent that has answered before may be unreachable.

        Raises:
            MixnasError: If the address is invalid, there is no token, or the runtime that it names
                is not measured with these settings.
        """
        self.name = name.rstrip("/")
        self.settings = settings
        address, self._runtime = split_address(self.name)
        self._refuse_int8_of_openvino(self._runtime or "")
        self._client = AgentClient(address, token, ca_file, patience)

    def served(self) -> ServedRuntimes:
        """Return the runtimes that the agent serves, and its limits."""
        runtimes: ServedRuntimes = self._read(_SERVED, self._client.ask("GET", "/runtimes", {}))
        return runtimes

    # -- conditions and profile --------------------------------------------------------------

    @cached_property
    def _agent_conditions(self) -> Conditions:
        """The conditions with the agent's own name for the device."""
        answer = self._result("/conditions")
        conditions: Conditions = self._read(_CONDITIONS, answer)
        if self._runtime not in (None, conditions.device):
            raise self._mismatch(conditions.device)
        self._runtime = conditions.device  # the same one from now on, whatever the agent's first is
        requested = self.settings
        names = ["batch", "precision", "lowered", "interval_ms"]
        for name in (*names, *(["threads"] if requested.threads else [])):
            if getattr(conditions, name) != getattr(requested, name):
                raise self._mismatch(f"{name} {getattr(conditions, name)}")
        self._refuse_int8_of_openvino(conditions.device)
        return conditions

    @property
    def agent_runtime(self) -> str:
        """Name of the runtime on the agent's machine, ``litert:cpu``; the agent is asked."""
        return self._agent_conditions.device

    def _refuse_int8_of_openvino(self, runtime: str) -> None:
        if self.settings.precision == "int8" and runtime.startswith("openvino:"):
            raise MixnasError(
                f"{self.name}: agents do not measure int8 in OpenVINO, which quantizes networks "
                "itself, where they run; run this command on that machine with --device "
                "openvino:cpu, or use fp32 or another runtime of the agent"
            )

    @cached_property
    def conditions(self) -> Conditions:
        """See `Device`."""
        return dataclasses.replace(self._agent_conditions, device=self.name)

    def prepare(self, step: Step | None = None) -> None:
        """Make the agent examine its machine if it has no profile, which takes minutes."""
        if step is not None:
            step(0, 1)
        _ = self.profile
        if step is not None:
            step(1, 1)

    @cached_property
    def profile(self) -> DeviceProfile:
        """See `Device`."""
        conditions = self._agent_conditions
        profile: DeviceProfile = self._read(_PROFILE, self._result("/profile"))
        if differences := conditions.differences(profile.conditions):
            raise self._mismatch("; ".join(differences))
        return profile

    def form_choice(self) -> FormChoice:
        """See `Device`."""
        return self.profile if self.settings.lowered else MERGE_ALL

    # -- measuring --------------------------------------------------------------------------

    def measure(self, spec: NetworkSpec, effort: Effort | None = None) -> Latency:
        """See `Device`.

        A lowered network is measured in the fastest of its forms.
        """
        if not self.settings.lowered:
            return self._measure(spec, program_of(spec, None), effort)
        best, times_ms = self._fastest_form(spec)
        latency = self._measure(spec, best.program, effort)
        return latency.chosen_among(best.name, times_ms)

    def _fastest_form(self, spec: NetworkSpec) -> ChosenForm:
        """Return the fastest form of a network, by rough measurements of each."""
        forms = network_forms(spec, self.profile)
        programs = {form.name: form.program for form in forms}

        def times_of(names: Sequence[str]) -> dict[str, float]:
            times = {}
            for name in names:
                with suppress(UnrunnableError):  # as trained, it is refused in the end
                    times[name] = self._quick_ms(spec, programs[name])
            return times

        return fastest_of(forms, times_of)

    def _quick_ms(self, spec: NetworkSpec, program: Program) -> float:
        """Return a rough latency in milliseconds, the lower of two if the first was disturbed."""
        latency = self._measure(spec, program, QUICK)
        if not latency.noise:
            return latency.steady_ms
        return min(latency.steady_ms, self._measure(spec, program, QUICK).steady_ms)

    def _measure(self, spec: NetworkSpec, program: Program, effort: Effort | None) -> Latency:
        """Measure a network in one form."""
        return self.measure_model(self._model(program), spec, effort)

    def measure_model(
        self, model: bytes, spec: NetworkSpec, effort: Effort | None = None
    ) -> Latency:
        """Measure a serialized network.

        If the connection breaks, it is opened again; the agent continues the measurement meanwhile.

        Args:
            model: The network in the format `model_format`.
            spec: The network that it was made from.
            effort: Time limit and target precision; None for the defaults.

        Raises:
            MixnasError: If the agent cannot be reached, refuses the network or was restarted again
                and again.
            UnrunnableError: If the runtime there cannot run the network.
        """
        params = {
            **self._params(),
            **_effort_params(effort or Effort()),
            "resolution": spec.input.resolution,
            "take": secrets.token_hex(8),  # each call is a new measurement; a retry is not
            "sha256": hashlib.sha256(model).hexdigest(),
        }
        for _ in range(_RESTARTS):
            accepted = self._client.ask("POST", "/measurements", params, model)
            identity = self._read(_ACCEPTED, accepted).id
            answer = self._result(f"/measurements/{identity}", settings=False)
            if answer.status == 200:
                return self._latency(answer, spec.input.resolution)
        raise MixnasError(
            f"{self.name} was restarted {_RESTARTS} times during the measurement of '{spec.name}'; "
            "check its log"
        )

    @property
    def model_format(self) -> str | None:
        """Name of the format of models that the agent's runtime takes; None if it is not known."""
        family = FAMILIES.get(self._agent_conditions.device.partition(":")[0])
        return None if family is None else family.model_format

    def _model(self, program: Program) -> bytes:
        runtime = self._agent_conditions.device
        if self.model_format is None:
            raise self._mismatch(runtime)
        settings = self.settings
        try:
            return serialized(program, self.model_format, settings.precision, settings.batch)
        except ModuleNotFoundError as error:
            raise MixnasError(
                f"networks for {runtime} on {self.name} are written on this machine: "
                f"{missing_package(error) or error}"
            ) from None

    def _latency(self, answer: AgentResponse, resolution: int) -> Latency:
        latency: Latency = self._read(_LATENCY, answer)
        if differences := self._agent_conditions.differences(latency.conditions):
            raise self._mismatch("; ".join(differences))
        if (latency.resolution, latency.source) != (resolution, "measured"):
            raise self._mismatch(f"a {latency.source} latency at {latency.resolution} pixels")
        return dataclasses.replace(latency, device=self.name)

    # -- requests ---------------------------------------------------------------------------

    def _params(self) -> dict[str, Any]:
        params = {**dataclasses.asdict(self.settings), "device": self._runtime}
        return {name: value for name, value in params.items() if value is not None}

    def _result(self, path: str, settings: bool = True) -> AgentResponse:
        """Ask for a result until the agent has finished the job."""
        params = {**(self._params() if settings else {}), "wait": _WAIT}
        stop = time.monotonic() + _LONGEST
        while True:
            answer = self._client.ask("GET", path, params)
            if answer.status != 202:
                return answer
            if time.monotonic() > stop:
                raise MixnasError(
                    f"{self.name} did not finish within {_LONGEST / 60:.0f} minutes; check its log"
                )

    def _read(self, kind: TypeAdapter[Any], answer: AgentResponse) -> Any:
        if answer.status == 404 and self._runtime and self._runtime in (told := answer.detail):
            raise MixnasError(f"{self.name}: {told}")
        try:
            return kind.validate_json(answer.content)
        except ValidationError:
            raise MixnasError(
                f"the answer of {self.name} is not that of a mixnas device agent of this version; "
                "check the address, and install the same version of mixnas on both machines"
            ) from None

    def _mismatch(self, actual: str) -> MixnasError:
        return MixnasError(
            f"{self.name} answers for conditions other than the requested ones ({actual}); its "
            "software may have changed. Start this command again"
        )


def _effort_params(effort: Effort) -> dict[str, Any]:
    params = dataclasses.asdict(effort)
    params["precision_of_ratio"] = params.pop("precision")
    return params
