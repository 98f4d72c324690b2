"""The configuration of a search, its defaults, and what of a recorded one counts."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from nas import defaults
from nas.document import Document, read_document, validate
from nas.errors import MixnasError
from nas.files import absolute_path
from nas.imports import looks_like_import
from nas.units import LARGEST_BATCH, LONGEST_INTERVAL_MS, MOST_THREADS

AtLeastOne = Annotated[int, Field(ge=1, le=1_000_000)]

RETRAINED_NETWORKS = 2
"""Networks of the front that are retrained at the end, unless the user gives a number."""
RETRAINING_SEEDS = 3
"""Training runs per retrained network."""
RETRAINING_EPOCHS = 2
"""Passes over the training split, unless that is outside the two numbers of images."""
FEWEST_IMAGES, MOST_IMAGES = 4_800, 100_000
TRAINABLE = ("short", "zero-cost", "supernet")
"""Estimators that evaluate networks on the data set, so that retraining on it makes sense."""
BUILT_IN_ESTIMATORS = (*TRAINABLE, "table")
"""Kinds of estimators that run none of the user's code."""
CHANGEABLE = {
    "trials",
    "workers",
    "threads",
    "trial_timeout",
    "storage",
    "ray",
    "on",
    "gpus",
    "confirm",
    "retrain",
    "data",
}
"""Options that may change when a run is resumed: how much is run and where, not what."""
REPEATABLE = {"sampler", "estimator"}
"""Options that may be repeated when a run is resumed, with the values that it was begun with."""
JOINING = {"device", "limits"}
"""Options with which further devices join a run that is resumed."""


def _default_workers() -> int:
    from nas.executors.base import default_resources

    return default_resources()[0]


def _default_threads() -> int:
    from nas.executors.base import default_resources

    return default_resources()[1]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class SearchConfig:
    """The configuration of a search, saved as ``config.yaml`` in its run directory.

    Attributes:
        space: Name of the space, path of its YAML file, or ``around:NETWORK``.
        limits: Limits by metric, as written on the command line.
        data: Name or path of the data set.
        images_per_class: Number of images of each class to use, at most; None for all.
        estimator: Estimator of accuracy, with its settings behind a colon.
        device: Device on which latency is measured, or a list of several; networks are judged on
            each of them, and the first one is that of the plain columns of tables.
        sampler: Sampler that proposes networks.
        references: Networks that are trained and measured for comparison.
        trials: Number of networks to evaluate.
        seed: Random seed.
        workers: Number of training processes.
        threads: Threads of each training process.
        objective: What the search optimizes.
        target: Latency that a reward aims at, as written on the command line.
        device_threads: Threads of a device's runtime while latency is measured; None for one per
            usable core.
        device_batch: Images per run of a measurement.
        interval: Length of the pause before each run of a measurement, in milliseconds.
        latency: ``measured``, ``predicted``, or ``auto``: predicted if a predictor fits.
        storage: URL of the study's storage, without a password; None for ``study.db``.
        study: Name of the study in its storage.
        trial_timeout: Wall-clock limit of one trial's training, in seconds; None for no limit.
        ray: Ray cluster on which trials run; None for worker processes on this machine.
        on: Device that networks are trained on, as torch names it, or ``auto``.
        precision: Precision of training: ``fp32``, ``bf16``, ``fp16`` or ``auto``.
        gpus: GPUs of one trial; None for one if it is trained on GPUs, else for none.
        confirm: Networks of the front to retrain at the end, in addition to the references;
            None to decide by the estimator (see `networks_to_retrain`).
        retrain: Settings of the retraining (see `nas.search.retraining.retraining`).
        command: Command line that the configuration came from.
        version: Version of mixnas.
    """

    space: str = defaults.SPACE
    limits: dict[str, str] = dataclasses.field(default_factory=dict)
    data: str = defaults.DATA
    images_per_class: AtLeastOne | None = None
    estimator: str = defaults.ESTIMATOR
    device: str | list[str] = defaults.DEVICE
    sampler: str = "known-cost"
    references: list[str] = dataclasses.field(
        default_factory=lambda: ["mixnet_s", "mixnet_m", "mobilenet_v2", "efficientnet_b0"]
    )
    trials: AtLeastOne = 24
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    workers: AtLeastOne = dataclasses.field(default_factory=_default_workers)
    threads: AtLeastOne = dataclasses.field(default_factory=_default_threads)
    objective: str = "pareto"
    target: str | None = None
    storage: str | None = None
    study: str = "search"
    trial_timeout: Annotated[float, Field(gt=0)] | None = None
    ray: str | None = None
    on: str = "auto"
    precision: str = "auto"
    gpus: Annotated[float, Field(ge=0)] | None = None
    confirm: Annotated[int, Field(ge=0)] | None = None
    retrain: str = ""
    device_threads: Annotated[int, Field(ge=1, le=MOST_THREADS)] | None = None
    device_batch: Annotated[int, Field(ge=1, le=LARGEST_BATCH)] = 1
    interval: Annotated[float, Field(ge=0, le=LONGEST_INTERVAL_MS)] = 0.0
    latency: Literal["auto", "measured", "predicted"] = "auto"
    command: str = ""
    version: str = ""

    @property
    def devices(self) -> list[str]:
        """The devices on which latency is measured, one or several."""
        return [self.device] if isinstance(self.device, str) else self.device

    @property
    def networks_to_retrain(self) -> int:
        """Number of networks of the front to retrain.

        By default, some are retrained if the estimator evaluates networks on the data set itself.
        """
        if self.confirm is not None:
            return self.confirm
        kind = self.estimator.partition(":")[0]
        return RETRAINED_NETWORKS if self.retrain or kind in TRAINABLE else 0


def default_of(name: str) -> Any:
    """Return the default of a field of `SearchConfig` that does not depend on the machine."""
    for field in dataclasses.fields(SearchConfig):
        if field.name == name:
            if field.default is not dataclasses.MISSING:
                return field.default
            assert field.default_factory is not dataclasses.MISSING
            return field.default_factory()
    raise KeyError(name)


def read_config(path: Path) -> SearchConfig:
    """Read a search's configuration; missing keys take their defaults.

    Raises:
        DocumentError: If the file is missing, or is not a configuration.
    """
    document = read_document(path)
    return adapted(validate(SearchConfig, document), document)


def with_absolute_paths(values: dict[str, Any]) -> dict[str, Any]:
    """Return options whose files are found from any folder, in which a run may be resumed.

    Raises:
        MixnasError: If an absolute path cannot be part of an option.
    """
    from nas.accuracy.naming import with_absolute_files  # imports nas.named

    change: dict[str, Callable[[str], str]] = {
        "data": lambda name: absolute_path(name, defaults.DATA_SETS),
        "estimator": with_absolute_files,
        "retrain": with_absolute_files,
    }
    changed = {name: change[name](values[name]) for name in change.keys() & values.keys()}
    return {**values, **changed}


def adapted(config: SearchConfig, document: Document) -> SearchConfig:
    """Return a configuration without what only meant something to versions that had no ``on``.

    They recorded ``gpus: 0``, which would now leave networks that are trained on GPUs without one.
    """
    recorded = document.data if isinstance(document.data, dict) else {}
    kind = config.estimator.partition(":")[0]
    if "on" in recorded or kind not in TRAINABLE:
        return config
    return dataclasses.replace(config, gpus=None)


# -- what a file may not decide alone -------------------------------------------------------------


def code_and_addresses(config: SearchConfig) -> dict[str, list[str]]:
    """Return the settings that name code to run, or an address or a storage to connect to.

    A configuration may come from anybody; these settings count only if the user repeats them.
    """
    found = {}
    if looks_like_import(config.sampler):
        found["sampler"] = [config.sampler]
    kind = config.estimator.partition(":")[0]
    if kind not in BUILT_IN_ESTIMATORS and looks_like_import(config.estimator):
        found["estimator"] = [config.estimator]
    if named := [device for device in config.devices if not _is_runtime(device)]:
        found["device"] = named
    if config.storage is not None:
        found["storage"] = [_without_password(config.storage)]
    if config.ray not in (None, "none", "local", "auto"):
        found["ray"] = [str(config.ray)]
    return found


def _is_runtime(device: str) -> bool:
    from nas.latency.runtimes import FAMILIES  # imports numpy

    return device.partition(":")[0] in FAMILIES


def _without_password(storage: str) -> str:
    from nas.study.storage import without_password  # imports Optuna

    return without_password(storage)


def refuse_unconfirmed(config: SearchConfig, given: Mapping[str, Any], source: Path) -> None:
    """Refuse code, addresses and storages that a file names and the user does not.

    Args:
        config: Configuration that was read from the file.
        given: Options of the command line, by name.
        source: The file.

    Raises:
        MixnasError: With the options to give.
    """
    unconfirmed = {n: v for n, v in code_and_addresses(config).items() if n not in given}
    if unconfirmed:
        raise MixnasError(
            f"{source} names code to run or addresses to connect to, which count only if you give "
            f"them yourself: add {_as_options(unconfirmed)}, or --trust-config if you trust the "
            "file"
        )


def _as_options(options: Mapping[str, Sequence[str]]) -> str:
    return shlex.join(
        word
        for name, values in options.items()
        for value in values
        for word in (f"--{name}", value)
    )


def resume_command(path: Path, config: SearchConfig) -> str:
    """Return the command that continues a run, with the options that it needs for that."""
    options = _as_options(code_and_addresses(config))
    command = shlex.join(["python", "-m", "nas.search", "--resume", str(path)])
    return f"{command} {options}".strip()


def resumed_config(
    recorded: SearchConfig, given: Mapping[str, Any], path: Path, trusted: bool
) -> SearchConfig:
    """Return the configuration with which a run is continued.

    Args:
        recorded: Configuration that the run directory holds.
        given: Options of the command line, by name; only `CHANGEABLE`, `REPEATABLE` and `JOINING`
            ones.
        path: Run directory.
        trusted: Whether the user trusts everything that the recorded configuration names.

    Raises:
        MixnasError: If an option would make it another search, or the user has not confirmed what
            the recorded configuration names.
    """
    for name in sorted(REPEATABLE & set(given)):
        if given[name] != getattr(recorded, name):
            raise MixnasError(
                f"--{name} {given[name]}: the run was begun with {getattr(recorded, name)}, and "
                "with another one its results could not be compared; start a new run"
            )
    if "storage" in given:
        _check_same_storage(given["storage"], recorded.storage, path)
    _check_same_device(given.get("on"), recorded.on)
    if "data" in given and recorded.estimator.partition(":")[0] not in TRAINABLE:
        raise MixnasError(
            f"--data {given['data']}: whether these are still the run's images is known only of "
            f"the estimators {', '.join(TRAINABLE)}; omit --data"
        )
    devices = _names(given.get("device"))
    if not trusted:
        confirmed = dict(given)
        if not set(code_and_addresses(recorded).get("device", ())) <= set(devices):
            confirmed.pop("device", None)  # another device; it does not take the place of these
        refuse_unconfirmed(recorded, confirmed, path / "config.yaml")
    given = {**given, **_with_further_devices(recorded, devices, given.get("limits", {}))}
    settings = dataclasses.replace(recorded, **given)
    return dataclasses.replace(settings, ray=None) if settings.ray == "none" else settings


def _names(device: str | Sequence[str] | None) -> list[str]:
    return [] if device is None else [device] if isinstance(device, str) else list(device)


def _with_further_devices(
    recorded: SearchConfig, named: Sequence[str], limits: Mapping[str, str]
) -> dict[str, Any]:
    """Return the devices and limits of a resumed run, which further devices may join.

    A limit on latency that named no device keeps to the devices that the run had.

    Raises:
        MixnasError: If a limit is not one on the latency of a device that joins, or the run's
            objective has room for one device only.
    """
    joining = [device for device in dict.fromkeys(named) if device not in recorded.devices]
    allowed = {f"latency@{device}" for device in joining}
    if wrong := [metric for metric in limits if metric not in allowed]:
        raise MixnasError(
            f"--limit {wrong[0]}: a resumed run keeps its limits; only a device that joins it may "
            "bring one, as --device litert:cpu --limit latency@litert:cpu=8ms"
        )
    if not joining:
        return {"device": recorded.device}
    if recorded.objective != "pareto":
        raise MixnasError(
            f"--device {joining[0]}: the run's objective '{recorded.objective}' combines accuracy "
            "with the latency on one device, so no other can join it; start a new run"
        )
    kept = dict(recorded.limits)
    plain = kept.pop("latency", None)
    if plain is not None:
        kept = {**{f"latency@{device}": plain for device in recorded.devices}, **kept}
    return {"device": [*recorded.devices, *joining], "limits": {**kept, **limits}}


def _check_same_device(given: str | None, recorded: str) -> None:
    """Let --on choose another device of the same kind for a resumed run.

    Raises:
        MixnasError: If it is of another kind, whose scores could not be compared.
    """
    kind = recorded.partition(":")[0]
    if given is not None and kind not in ("auto", given.partition(":")[0]):
        raise MixnasError(
            f"--on {given}: the run's networks were trained on {recorded}, and scores of different "
            f"kinds of devices cannot be compared; give {kind}, or start a new run"
        )


def _check_same_storage(given: str, recorded: str | None, path: Path) -> None:
    """Let --storage supply a resumed run with a password, and nothing else.

    Raises:
        MixnasError: If it names another storage.
    """
    if recorded is None or _without_password(given) != recorded:
        where = recorded or f"{path / 'study.db'}"
        raise MixnasError(
            f"the run's study is in {where} and cannot be moved; omit --storage, which may only "
            "add the password of that storage"
        )
