"""A device elsewhere, where ``python -m nas.device serve`` runs."""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
import time
from functools import cached_property
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from nas.errors import MixnasError
from nas.latency.conditions import Conditions, Latency, MeasurementSettings
from nas.latency.device import program_of
from nas.latency.profile import DeviceProfile
from nas.latency.protocol import Effort
from nas.latency.remote.client import AgentClient, AgentResponse
from nas.lowering import MERGE_ALL, FormChoice
from nas.progress import Step
from nas.spec import NetworkSpec

_WAIT = 15.0  # seconds that the agent may hold an answer back, so that asking disturbs nothing
_LONGEST = 3600.0  # seconds that one job may take
_RESTARTS = 3


@dataclass(frozen=True, config=ConfigDict(extra="ignore"))
class _Accepted:
    id: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


_ACCEPTED = TypeAdapter(_Accepted)
_CONDITIONS = TypeAdapter(Conditions)
_PROFILE = TypeAdapter(DeviceProfile)
_LATENCY = TypeAdapter(Latency)


class RemoteDevice:
    """A machine that measures what it is sent."""

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
        """Get ready to talk to an agent; nothing is sent yet.

        Args:
            name: the agent's address: ``http://board:7070``.
            settings: what to measure under.
            token: the agent's; from ``MIXNAS_TOKEN``, or the file that ``MIXNAS_TOKEN_FILE`` names,
                if None.
            ca_file: certificates to trust, PEM; from ``MIXNAS_CA_FILE``, or the system's, if None.
            patience: seconds in which an agent that answered before may be away.

        Raises:
            MixnasError: when the address is none, or there is no token.
        """
        self.name = name.rstrip("/")
        self.settings = settings
        self._client = AgentClient(self.name, token, ca_file, patience)

    # -- what is known about the device ------------------------------------------------------

    @cached_property
    def _own_conditions(self) -> Conditions:
        """The conditions as the agent has them."""
        answer = self._finished("/conditions")
        conditions: Conditions = self._read(_CONDITIONS, answer)
        asked = self.settings
        for name in ("batch", "precision", "lowered", *(["threads"] if asked.threads else [])):
            if getattr(conditions, name) != getattr(asked, name):
                raise self._mismatch(f"{name} {getattr(conditions, name)}")
        return conditions

    @cached_property
    def conditions(self) -> Conditions:
        """See `Device`."""
        return dataclasses.replace(self._own_conditions, device=self.name)

    def prepare(self, step: Step | None = None) -> None:
        """Have the agent examine its machine, the first time: a minute or so on a small board."""
        if step is not None:
            step(0, 1)
        _ = self.profile
        if step is not None:
            step(1, 1)

    @cached_property
    def profile(self) -> DeviceProfile:
        """See `Device`."""
        profile: DeviceProfile = self._read(_PROFILE, self._finished("/profile"))
        if differences := self._own_conditions.differences(profile.conditions):
            raise self._mismatch("; ".join(differences))
        return profile

    def form_choice(self) -> FormChoice:
        """See `Device`."""
        return self.profile if self.settings.lowered else MERGE_ALL

    # -- measuring --------------------------------------------------------------------------

    def measure(self, spec: NetworkSpec, effort: Effort | None = None) -> Latency:
        """See `Device`.

        A connection that breaks is made again, and the measurement goes on or is found finished.
        """
        model = self._model(spec)
        params = {
            **self._params(),
            **_effort_params(effort or Effort()),
            "resolution": spec.input.resolution,
            "take": secrets.token_hex(8),  # every call measures; what is sent again does not
            "sha256": hashlib.sha256(model).hexdigest(),
        }
        for _ in range(_RESTARTS):
            accepted = self._client.ask("POST", "/measurements", params, model)
            identity = self._read(_ACCEPTED, accepted).id
            answer = self._finished(f"/measurements/{identity}", settings=False)
            if answer.status == 200:
                return self._latency(answer, spec.input.resolution)
        raise MixnasError(
            f"{self.name} was started anew {_RESTARTS} times during the measurement of "
            f"'{spec.name}'; look at its messages"
        )

    def _model(self, spec: NetworkSpec) -> bytes:
        from nas.formats.onnx import to_onnx

        program = program_of(spec, self.form_choice() if self.settings.lowered else None)
        graph = to_onnx(program.tree, program.shape, program.weights)
        if self.settings.precision == "int8":
            from nas.formats.onnx_int8 import quantize

            graph = quantize(graph, program.shape)
        return bytes(graph.SerializeToString())

    def _latency(self, answer: AgentResponse, resolution: int) -> Latency:
        latency: Latency = self._read(_LATENCY, answer)
        if differences := self._own_conditions.differences(latency.conditions):
            raise self._mismatch("; ".join(differences))
        if (latency.resolution, latency.source) != (resolution, "measured"):
            raise self._mismatch(f"a {latency.source} latency at {latency.resolution} pixels")
        return dataclasses.replace(latency, device=self.name)

    # -- talking ----------------------------------------------------------------------------

    def _params(self) -> dict[str, Any]:
        asked = dataclasses.asdict(self.settings)
        return {name: value for name, value in asked.items() if value is not None}

    def _finished(self, path: str, settings: bool = True) -> AgentResponse:
        """Ask until the agent is done with something."""
        params = {**(self._params() if settings else {}), "wait": _WAIT}
        stop = time.monotonic() + _LONGEST
        while True:
            answer = self._client.ask("GET", path, params)
            if answer.status != 202:
                return answer
            if time.monotonic() > stop:
                raise MixnasError(
                    f"{self.name} did not finish within {_LONGEST / 60:.0f} minutes; look at its "
                    "messages"
                )

    def _read(self, kind: TypeAdapter[Any], answer: AgentResponse) -> Any:
        try:
            return kind.validate_json(answer.content)
        except ValidationError:
            raise MixnasError(
                f"{self.name} gives an answer that is none of a mixnas agent of this version; "
                "check the address, and install the same version of mixnas at both ends"
            ) from None

    def _mismatch(self, found: str) -> MixnasError:
        return MixnasError(
            f"{self.name} answers for other conditions than it was asked for ({found}); was its "
            "software changed meanwhile? Start anew"
        )


def _effort_params(effort: Effort) -> dict[str, Any]:
    params = dataclasses.asdict(effort)
    params["precision_of_ratio"] = params.pop("precision")
    return params
