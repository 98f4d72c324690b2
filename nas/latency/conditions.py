"""Latency records, the conditions under which they hold, and measurement settings."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from nas.document import digest
from nas.errors import MixnasError, unknown
from nas.units import LARGEST_BATCH, LONGEST_INTERVAL_MS, MOST_THREADS, parse_interval

Precision = Literal["fp32", "int8"]
_CONFIG = ConfigDict(extra="forbid")
_MOST_FORMS = 16  # that an agent may tell
_Milliseconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Interval = Annotated[float, Field(ge=0, le=LONGEST_INTERVAL_MS)]
"""Length of the pause before each run, in milliseconds."""


@dataclass(frozen=True, config=_CONFIG)
class MeasurementSettings:
    """Measurement options chosen by the user.

    Attributes:
        threads: Number of runtime threads; None for one per usable core.
        batch: Number of images per run.
        precision: ``fp32``, or ``int8`` (ONNX Runtime, LiteRT and OpenVINO).
        lowered: Whether to measure the deployed form (see `nas.lowering`) instead of the form
            that was trained.
        interval_ms: Length of the pause before each run, in milliseconds.
    """

    threads: Annotated[int, Field(ge=1, le=MOST_THREADS)] | None = None
    batch: Annotated[int, Field(ge=1, le=LARGEST_BATCH)] = 1
    precision: Precision = "fp32"
    lowered: bool = True
    interval_ms: Interval = 0.0


USUAL = MeasurementSettings()
"""The settings with which a device measures if nothing else is asked for."""


def measurement_settings(
    threads: int | None, batch: int, precision: str, lowered: bool, interval: str = "0ms"
) -> MeasurementSettings:
    """Return the settings for values given on the command line.

    Raises:
        MixnasError: If the precision is unknown, or the interval is not a time or is too long;
            the message says what is allowed.
    """
    precisions: dict[str, Precision] = {name: name for name in get_args(Precision)}
    if precision not in precisions:
        raise MixnasError(unknown("precision", precision, precisions))
    return MeasurementSettings(
        threads=threads,
        batch=batch,
        precision=precisions[precision],
        lowered=lowered,
        interval_ms=parse_interval(interval),
    )


@dataclass(frozen=True, config=_CONFIG)
class Conditions:
    """The conditions that two latencies must share to be comparable.

    Attributes:
        device: Device name, as given on the command line.
        runtime: Name and version of the runtime.
        machine: Name of the processor or GPU.
        threads: Number of runtime threads.
        batch: Number of images per run.
        precision: Precision of the arithmetic.
        lowered: Whether networks run in their deployed form.
        interval_ms: Length of the pause before each run, in milliseconds. Records of versions
            that made no pauses lack it.
    """

    device: str
    runtime: str
    machine: str
    threads: int
    batch: int
    precision: str
    lowered: bool
    interval_ms: Interval = dataclasses.field(default=0.0, kw_only=True)

    def identity(self) -> dict[str, Any]:
        """Return the conditions as plain data, without an interval of 0.

        The data, and digests of it, are then those of versions that made no pauses.
        """
        fields = dataclasses.fields(Conditions)
        values = {field.name: getattr(self, field.name) for field in fields}
        if not self.interval_ms:
            del values["interval_ms"]
        return values

    def digest(self) -> str:
        """Return 16 hexadecimal digits that identify the conditions."""
        return digest(self.identity())

    def differences(self, other: Conditions) -> list[str]:
        """Describe how other conditions differ from these, such as ``threads 2, not 4``.

        The first value is that of `other`. The list is empty if nothing differs.
        """
        return [
            f"{field.name} {_text(getattr(other, field.name))}, "
            f"not {_text(getattr(self, field.name))}"
            for field in dataclasses.fields(Conditions)
            if getattr(self, field.name) != getattr(other, field.name)
        ]


def pause_text(latency: Mapping[str, Any]) -> str:
    """Return the pauses of a latency, as plain data, in words that follow a comma; or nothing."""
    interval = latency.get("interval_ms", 0.0)
    return f", a pause of {interval:g} ms before each run" if interval else ""


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, config=_CONFIG)
class Latency(Conditions):
    """The time of one run, in milliseconds, with the conditions under which it holds.

    Attributes:
        median_ms: Median of the timed runs, or the predicted latency.
        p10_ms: 10th percentile.
        p90_ms: 90th percentile.
        low_ms: Lower end of the 95% confidence interval of the median.
        high_ms: Upper end of the 95% confidence interval of the median.
        n: Number of timed runs; 0 for a prediction.
        steady_ms: Latency at the machine's usual speed: the ratio to the reference network,
            which ran in alternation with this one, times the reference's usual time (see
            `Timing.steady_ms`). Use this to compare networks measured at different times.
        reference_ms: Median time of the reference network during the measurement.
        noise: Remarks on disturbances during the measurement; empty on a quiet machine.
        resolution: Side length of the images, in pixels.
        source: ``measured`` or ``predicted``.
        when: UTC time.
        form: Name of the form in which a lowered network was measured, the fastest of a few (see
            `nas.latency.deployment`); empty if it was not chosen.
        forms_ms: Times of these few by name, in milliseconds, as they were compared before the
            measurement: rough, and at the machine's speed at that moment. Use their ratios.
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
    form: str = ""
    forms_ms: Annotated[dict[str, _Milliseconds], Field(max_length=_MOST_FORMS)] = (
        dataclasses.field(default_factory=dict)
    )

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Latency:
        """Return the latency that `to_dict` wrote."""
        return Latency(**data)

    def chosen_among(self, form: str, times_ms: Mapping[str, float]) -> Latency:
        """Return the latency with the name of the form that was measured, and the times of all."""
        times = {name: round(ms, 4) for name, ms in times_ms.items()}
        return dataclasses.replace(self, form=form, forms_ms=times)

    @property
    def conditions(self) -> Conditions:
        """The conditions under which the latency holds."""
        names = [field.name for field in dataclasses.fields(Conditions)]
        return Conditions(**{name: getattr(self, name) for name in names})


def utc_now() -> str:
    """Return the present UTC time in ISO 8601 format, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
