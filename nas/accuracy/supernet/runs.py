"""The supernet that a run directory keeps, of which networks are trained on or deployed.

A network's slice is the one that it was judged by: the same shared weights, calibrated on the same
images. What it takes is in the run directory, apart from the images themselves::

    config.yaml  conditions.yaml  space.yaml  supernet.safetensors
"""

from __future__ import annotations

import dataclasses
import random
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as validated_dataclass

from analysis.errors import AnalysisError
from analysis.read.runs import read_run
from nas.accuracy.base import EstimateError
from nas.accuracy.fidelity import AtLeastOne, Images, Resolution, WidthFactor
from nas.accuracy.pool import SpacePool
from nas.accuracy.supernet.slices import (
    SUPERNET_FILE,
    NetworkSlice,
    TrainedSupernet,
    weights_digest,
)
from nas.data import DataSource, load_data
from nas.document import Document, read_document, require_keys, validate
from nas.errors import MixnasError
from nas.space import Space, load_space
from nas.spec import NetworkSpec
from nas.torch_model import TrainedWeights
from nas.train.loop import TrainingError
from nas.train.models import metadata_of
from nas.train.placement import find_placement
from nas.train.recipe import Recipe
from nas.train.settings import SUPERNET, PlacementSettings

Seed = Annotated[int, Field(ge=0)]


@validated_dataclass(frozen=True, config=ConfigDict(extra="ignore"))
class _Config:
    """What of ``config.yaml`` a slice depends on; see `nas.search.config.SearchConfig`."""

    data: str
    estimator: str
    seed: Seed
    images_per_class: AtLeastOne | None = None
    on: str = "cpu"
    precision: str = "auto"
    command: str = ""


@validated_dataclass(frozen=True, config=ConfigDict(extra="ignore"))
class _Scores:
    """What of the facts behind the scores a slice depends on; see `Supernet.fingerprint`."""

    data_fingerprint: str
    resolution: Resolution
    width: WidthFactor
    calibration: AtLeastOne
    validation: AtLeastOne
    seed: Seed
    weights: str


@dataclass(frozen=True)
class RunSupernet:
    """The supernet of a run directory.

    Attributes:
        path: The run directory.
        space: Space of the networks that it has weights for.
        trained: The shared weights.
        data: Images that it was trained on.
        data_fingerprint: Their fingerprint.
        seed: Chooses the images that calibrate a network, as for its score.
        command: Command line of the search.
        remarks: Remarks for the user.
    """

    path: Path
    space: Space
    trained: TrainedSupernet
    data: DataSource
    data_fingerprint: str
    seed: int
    command: str
    remarks: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the weights, as the user gives it."""
        return f"{SUPERNET}{self.path}"

    def slice_of(self, spec: NetworkSpec) -> NetworkSlice:
        """Return a network with the weights that it was judged by.

        Args:
            spec: The network, with any number of classes and any side of images.

        Raises:
            MixnasError: If it is not in the space of the supernet, saying in which part; or the
                supernet lacks weights of it.
        """
        self._check_member(spec)
        try:
            return self.trained.slice_of(spec.replace(num_classes=self.data.num_classes), self.seed)
        except EstimateError as error:
            raise MixnasError(f"{self.name}: '{spec.name or 'the network'}': {error}") from None

    def _check_member(self, spec: NetworkSpec) -> None:
        """Refuse networks of another space; the side of the images makes no difference here."""
        if self.space.contains(spec):
            return
        side = SpacePool(self.space).draw(random.Random(0)).input.resolution
        try:
            self.space.encode_spec(spec.replace(input=spec.at(side).input))
        except MixnasError as error:
            raise MixnasError(f"{self.name} has no weights for it: {error}") from None

    def weights(self, spec: NetworkSpec) -> TrainedWeights:
        """Return the weights of a network's slice (see `slice_of`)."""
        found = self.slice_of(spec)
        augmentation = found.augmentation
        return TrainedWeights(
            source=self.name,
            tensors=found.tensors(),
            metadata=metadata_of(
                data=self.data,
                fingerprint=self.data_fingerprint,
                name=self.trained.shown.name,
                spec=found.spec,
                resolution=self.trained.shown.resolution,
                statistics=(augmentation.mean, augmentation.std),
                command=self.command,
            ),
            data=self.trained.shown.name,
            images_per_class=self.trained.shown.per_class,
            judge=lambda: self._judged(found, spec),
            remarks=self.remarks,
        )

    def _judged(self, found: NetworkSlice, spec: NetworkSpec) -> dict[str, Any]:
        """Return a slice's accuracies on validation and test images, and that of its trial.

        Raises:
            MixnasError: If it cannot be evaluated.
        """
        try:
            validation, test = found.evaluate("validation"), found.evaluate("test")
        except TrainingError as error:
            raise MixnasError(f"{self.name}: {error}") from None
        return {
            "weights": self.name,
            "data": self.trained.shown.name,
            "test": {"top1": test.accuracy, "top5": test.top5, "loss": test.loss},
            "validation": {"top1": validation.accuracy, "loss": validation.loss},
            "in_search": self._in_search(spec),
        }

    def _in_search(self, spec: NetworkSpec) -> float | None:
        """Return the accuracy of a slice that the search recorded; None if there is none."""
        try:
            trials = read_run(self.path).completed
        except AnalysisError:  # it has not come to its end yet, or its tables were not copied
            return None
        own = spec.replace(num_classes=self.data.num_classes).digest()
        accuracies = trials.loc[trials["spec_hash"] == own, "accuracy"].dropna()
        return float(accuracies.iloc[0]) if len(accuracies) else None


def open_run_supernet(path: Path, data: str | None = None) -> RunSupernet:
    """Open the supernet of a run directory, which may come from anybody.

    Args:
        path: The run directory.
        data: Name or path of a data set that may be the run's, if that has been moved.

    Raises:
        MixnasError: If the run has no supernet, a file of it is missing or damaged, or its images
            cannot be read or have changed.
    """
    if not (path / "config.yaml").is_file():
        raise MixnasError(
            f"{SUPERNET}{path}: there is no run directory of nas.search: it has no config.yaml"
        )
    document = read_document(path / "config.yaml")
    config: _Config = validate(_Config, document)
    facts = _facts(path, config)
    scores: _Scores = validate(_Scores, facts)
    if scores.width != 1:
        raise MixnasError(
            f"{SUPERNET}{path}: the supernet has networks of {scores.width:g} times the width, "
            "whose weights do not fit; search with a supernet of width=1"
        )
    _check_file(path, scores)
    name, source = _images(path, config, scores, data)
    placement, remarks = _placement(path, config)
    recipe = {
        f.name: facts.data[f.name] for f in dataclasses.fields(Recipe) if f.name in facts.data
    }
    trained = TrainedSupernet(
        path=(path / SUPERNET_FILE).resolve(),
        shown=Images(name, scores.resolution, config.images_per_class, scores.validation),
        width=scores.width,
        calibration=scores.calibration,
        recipe=validate(Recipe, Document(facts.source, recipe)),
        seed=scores.seed,
        placement=placement,
    )
    return RunSupernet(
        path=path,
        space=load_space(str(path / "space.yaml")).with_classes(source.num_classes),
        trained=trained,
        data=source,
        data_fingerprint=scores.data_fingerprint,
        seed=config.seed,
        command=config.command,
        remarks=remarks,
    )


def _facts(path: Path, config: _Config) -> Document:
    """Return what the scores of a run rest on, those of a supernet.

    Raises:
        MixnasError: If it had another estimator, or keeps no supernet.
    """
    if config.estimator.partition(":")[0] != "supernet":
        raise MixnasError(
            f"{SUPERNET}{path}: the run has no supernet, since its estimator is "
            f"'{config.estimator}'; search with --estimator supernet"
        )
    if not (path / SUPERNET_FILE).is_file():
        raise MixnasError(
            f"{SUPERNET}{path}: the run has no {SUPERNET_FILE}; add it from the cache of the "
            f"machine that searched: python -m nas.search --resume {shlex.quote(str(path))}"
        )
    document = read_document(path / "conditions.yaml")
    require_keys(document, ("scores",))
    facts = Document(f"{document.source}: scores", document.data["scores"])
    require_keys(facts, ("data_fingerprint", "resolution", "weights", "normalisation"))
    return facts


def _check_file(path: Path, scores: _Scores) -> None:
    """Refuse weights that are not those of the run's scores."""
    file = path / SUPERNET_FILE
    if weights_digest(file.read_bytes()) != scores.weights:
        raise MixnasError(
            f"{file} is damaged, or of another run: its content is not what the run's scores were "
            "computed with; restore it, or remove it and add it again with python -m nas.search "
            f"--resume {shlex.quote(str(path))}"
        )


def _images(
    path: Path, config: _Config, scores: _Scores, other: str | None
) -> tuple[str, DataSource]:
    """Return the name and the images of the run's data set, where it is now.

    Raises:
        MixnasError: If it cannot be read, or has changed.
    """
    reasons = []
    for name in dict.fromkeys(filter(None, (config.data, other))):
        try:
            source = load_data(name, config.images_per_class)
            if source.fingerprint() == scores.data_fingerprint:
                return name, source
        except (MixnasError, OSError) as error:
            reasons.append(str(error))
            continue
        reasons.append(f"{name} has other images, or another split, than the run had")
    raise MixnasError(
        f"{SUPERNET}{path}: the weights are calibrated on images of the run's data set, which "
        f"cannot be had: {reasons[0]}; name the place that it was moved to with --data"
    )


def _placement(path: Path, config: _Config) -> tuple[PlacementSettings, tuple[str, ...]]:
    """Return where to calibrate: on the kind of device that the run's scores come from, if any."""
    try:
        return find_placement(config.on, config.precision), ()
    except MixnasError:
        remark = (
            f"{SUPERNET}{path}: the run's scores were computed on {config.on}, which is not here; "
            "on the CPU they may differ a little"
        )
        return find_placement("cpu", "auto"), (remark,)
