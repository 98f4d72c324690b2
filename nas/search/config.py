"""The configuration of a search, and its defaults."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from nas import defaults
from nas.document import Document, read_document, validate

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
        space: Name of the space, or path of its YAML file.
        limits: Limits by metric, as written on the command line.
        data: Name or path of the data set.
        images_per_class: Number of images of each class to use, at most; None for all.
        estimator: Estimator of accuracy, with its settings behind a colon.
        device: Device on which latency is measured.
        sampler: Sampler that proposes networks.
        references: Networks that are trained and measured for comparison.
        trials: Number of networks to evaluate.
        seed: Random seed.
        workers: Number of training processes.
        threads: Threads of each training process.
        objective: What the search optimizes.
        target: Latency that a reward aims at, as written on the command line.
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
    device: str = defaults.DEVICE
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
    latency: Literal["auto", "measured", "predicted"] = "auto"
    command: str = ""
    version: str = ""

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


def adapted(config: SearchConfig, document: Document) -> SearchConfig:
    """Return a configuration without what only meant something to versions that had no ``on``.

    They recorded ``gpus: 0``, which would now leave networks that are trained on GPUs without one.
    """
    recorded = document.data if isinstance(document.data, dict) else {}
    kind = config.estimator.partition(":")[0]
    if "on" in recorded or kind not in TRAINABLE:
        return config
    return dataclasses.replace(config, gpus=None)
