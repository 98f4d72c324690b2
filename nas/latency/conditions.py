"""What a latency is, and the conditions that it holds under."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from nas.document import digest
from nas.errors import MixnasError, unknown

Precision = Literal["fp32", "int8"]
_CONFIG = ConfigDict(extra="forbid")
_Milliseconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, config=_CONFIG)
class MeasurementSettings:
    """What a user chooses about a measurement.

    Attributes:
        threads: of the runtime; all usable cores if None.
        batch: images a run.
        precision: ``fp32``, or ``int8`` in ONNX Runtime.
        lowered: measure the deployed form (see `nas.lowering`), not the trained one.
    """

    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    batch: Annotated[int, Field(ge=1, le=4096)] = 1
    precision: Precision = "fp32"
    lowered: bool = True


def measurement_settings(
    threads: int | None, batch: int, precision: str, lowered: bool
) -> MeasurementSettings:
    """Return settings as a command line gives them.

    Raises:
        MixnasError: when there is no such precision, naming those there are.
    """
    known: dict[str, Precision] = {name: name for name in get_args(Precision)}
    if precision not in known:
        raise MixnasError(unknown("precision", precision, known))
    return MeasurementSettings(threads, batch, known[precision], lowered)


@dataclass(frozen=True, config=_CONFIG)
class Conditions:
    """What two latencies must share to be compared.

    Attributes:
        device: where, as given on the command line.
        runtime: what runs the network, with its version.
        machine: the processor.
        threads: of the runtime.
        batch: images a run.
        precision: of the arithmetic.
        lowered: whether networks are in deployed form.
    """

    device: str
    runtime: str
    machine: str
    threads: int
    batch: int
    precision: str
    lowered: bool

    def digest(self) -> str:
        """Return 16 hexadecimal digits that name the conditions."""
        return digest(dataclasses.asdict(self))

    def differences(self, other: Conditions) -> list[str]:
        """Say in what other conditions differ, as ``threads 2, not 4``; empty when in nothing."""
        return [
            f"{field.name} {getattr(other, field.name)}, not {getattr(self, field.name)}"
            for field in dataclasses.fields(Conditions)
            if getattr(self, field.name) != getattr(other, field.name)
        ]


@dataclass(frozen=True, config=_CONFIG)
class Latency(Conditions):
    """The time of one run in milliseconds, and what it was measured under.

    Attributes:
        median_ms: median over the timed runs; of a prediction, the prediction.
        p10_ms: 10th percentile.
        p90_ms: 90th percentile.
        low_ms: lower end of the 95% confidence interval of the median.
        high_ms: upper end.
        n: timed runs; 0 for a prediction.
        steady_ms: the median, were the machine at its usual speed: the ratio to the reference
            network, which ran in between, times what that usually takes. What networks that
            were measured at different times are compared by.
        reference_ms: the reference network's median in between.
        noise: what was unusual about the machine meanwhile; empty on a quiet one.
        resolution: side of the images in pixels.
        source: ``measured`` or ``predicted``.
        when: UTC time.
    """

    median_ms: _Milliseconds
    p10_ms: _Milliseconds
    p90_ms: _Milliseconds
    low_ms: _Milliseconds
    high_ms: _Milliseconds
    n: int
    steady_ms: _Milliseconds
    reference_ms: _Milliseconds
    noise: tuple[str, ...]
    resolution: int
    source: Literal["measured", "predicted"]
    when: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Latency:
        """Return a latency from what `to_dict` returned."""
        return Latency(**data)

    @property
    def conditions(self) -> Conditions:
        """What it holds under."""
        names = [field.name for field in dataclasses.fields(Conditions)]
        return Conditions(**{name: getattr(self, name) for name in names})


def utc_now() -> str:
    """Return the time as latencies carry it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
