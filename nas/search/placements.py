"""Where a search trains: its preparation and retraining here, its trials here or on a cluster."""

from __future__ import annotations

from dataclasses import dataclass

from nas.errors import MixnasError
from nas.executors.base import Resources
from nas.executors.gpus import remark_on, with_gpus
from nas.search.config import TRAINABLE, SearchConfig
from nas.train.placement import find_placement
from nas.train.settings import ON_THE_CPU, PlacementSettings


@dataclass(frozen=True)
class SearchPlacements:
    """Where the networks of a search are trained and evaluated.

    Attributes:
        here: On this machine, where a supernet is trained and the best networks are retrained.
        trials: Of the trials, which on a Ray cluster run elsewhere.
        gpus: GPUs of one trial; None for the default.
        cluster: Whether trials run on a Ray cluster.
    """

    here: PlacementSettings
    trials: PlacementSettings
    gpus: float | None
    cluster: bool

    @property
    def gpus_per_trial(self) -> float:
        """GPUs that a trial on a cluster reserves."""
        if self.gpus is not None:
            return self.gpus
        return 1.0 if self.trials.kind == "cuda" else 0.0

    def for_trials(self, resources: Resources) -> Resources:
        """Return the resources of trials, divided among the GPUs of this machine if need be.

        Raises:
            MixnasError: If the GPUs cannot be divided in this way.
        """
        return resources if self.cluster else with_gpus(resources, self.trials, self.gpus)

    def for_retraining(self, resources: Resources) -> Resources:
        """Return the resources of the retraining, divided among this machine's GPUs if need be.

        Raises:
            MixnasError: If the GPUs cannot be divided in this way.
        """
        return with_gpus(resources, self.here, None if self.cluster else self.gpus)

    def remark(self, resources: Resources) -> str | None:
        """Return a line for the user on the accelerator in use; None on the CPU.

        Args:
            resources: The workers of this machine.
        """
        if self.cluster and self.trials.kind == "cuda":
            return f"training on GPUs of the cluster, {self.gpus_per_trial:g} per trial"
        return remark_on(self.trials, resources)


def find_placements(config: SearchConfig) -> SearchPlacements:
    """Find out where a search trains; on a Ray cluster, this process is connected to it.

    Raises:
        MixnasError: If there is no such device, or its GPUs are of no use to the estimator.
    """
    kind = config.estimator.partition(":")[0]
    if config.ray is None:
        here = trials = find_placement(config.on, config.precision)
    else:
        here, trials = _with_cluster(config)
    if config.on == "auto" and kind not in TRAINABLE:
        trials = ON_THE_CPU  # a table needs no GPU; who has an estimator that does gives --on
    if config.gpus and trials.kind != "cuda" and kind in TRAINABLE:
        raise MixnasError(
            f"--gpus {config.gpus:g} gives GPUs to trials that are trained on {trials.on}; leave "
            "it out, or give --on cuda"
        )
    found = SearchPlacements(here, trials, config.gpus, config.ray is not None)
    if trials.kind == "cuda" and found.gpus_per_trial == 0:
        raise MixnasError("--gpus 0 leaves trials that are trained on cuda without a GPU")
    found.for_trials(Resources(1))  # raises if the share is not possible
    return found


def _with_cluster(config: SearchConfig) -> tuple[PlacementSettings, PlacementSettings]:
    """Return where this process trains and where trials do, which a cluster assigns to GPUs."""
    from nas.executors.ray_cluster import cluster_gpus  # Ray takes seconds to import

    if config.on.startswith("cuda:"):
        raise MixnasError(
            f"--on {config.on} names a GPU of one machine; with --ray give --on cuda, and Ray "
            "assigns the GPUs"
        )
    if config.on not in ("auto", "cuda"):
        here = find_placement(config.on, config.precision)
        return here, here
    here = find_placement("auto", config.precision)
    if not cluster_gpus():
        if config.on == "cuda":
            raise MixnasError("--on cuda: the Ray cluster has no GPUs; give --on cpu")
        here = find_placement("cpu", config.precision)
        return here, here
    if here.kind != "cuda" and config.estimator.partition(":")[0] == "supernet":
        if config.on == "cuda":
            raise MixnasError(
                "--on cuda: the supernet is trained on this machine, where torch finds no GPU; "
                "start the search on a node that has one, or give --on cpu"
            )
        return here, here
    return here, PlacementSettings("cuda", config.precision)
