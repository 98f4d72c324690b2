"""A search of small networks whose estimator and device answer at once."""

from dataclasses import replace

import pytest

from nas.objective import Objective, open_objective
from nas.samplers.domain import SpaceDomain
from nas.samplers.random import RandomSampler
from nas.search.config import SearchConfig
from nas.search.devices import SearchDevice
from nas.search.directory import RunDirectory
from nas.search.references import References
from nas.search.tables import RunTables
from nas.search.trials import TrialRunner
from nas.space import load_space
from nas.spec import load_network
from nas.study import SearchStudy
from nas.study.storage import open_storage
from nas.testing.fakes import InstantDevice
from tests.searching import write_space


class Bench:
    """The parts of one search, put together without its commands.

    Attributes:
        runner: its trials.
        tables: its tables.
    """

    def __init__(
        self, folder, wanted=4, device=None, limits=(), reward=None, references=(), devices=None
    ):
        self.space = load_space(str(write_space(folder)))
        self.directory = RunDirectory.create(folder / "run")
        device = device or InstantDevice()
        self.devices = devices or [SearchDevice(device.name, device, list(limits))]
        names = [each.name for each in self.devices]
        self.config = SearchConfig(
            space="small", workers=2, threads=1, trials=wanted,
            device=names if len(names) > 1 else names[0],
        )  # fmt: skip
        self.directory.write_config(self.config)
        objective = Objective("pareto", devices=len(names))
        if reward is not None:
            objective = open_objective("absolute", reward)
        self.study = SearchStudy(
            storage=open_storage(self.directory.storage),
            name="search",
            space=self.space,
            sampler=RandomSampler(SpaceDomain(self.space, []), 0),
            objective=objective,
            seed=5,
            new=True,
            devices=names,
        )
        specs = {name: load_network(name).replace(name=name) for name in references}
        self.references = References(specs, None)
        self.runner = TrialRunner(
            path=self.directory.path,
            study=self.study,
            devices=self.devices,
            references=self.references,
            wanted=wanted,
        )
        self.tables = RunTables(
            directory=self.directory,
            config=self.config,
            space=self.space,
            study=self.study,
            references=self.references,
            devices=self.devices,
            label="validation accuracy",
        )


@pytest.fixture
def bench(tmp_path):
    """Put a search together; see `Bench`."""

    def make(**options):
        return Bench(tmp_path, **options)

    return make


class Here:
    """Evaluates networks in this process, at once."""

    def __init__(self, config, estimator, placements, path):
        self.estimator, self.workers = estimator, config.workers

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def recover(self, queue):
        return []

    def drain(self, queue):
        while not queue.finished:
            for key, task in queue.take(0, 0, self.workers).items():
                queue.finish(key, self.estimator.estimate(task.spec, task.seed))


class NoisyDevice(InstantDevice):
    """Noisy the first times that it measures."""

    def __init__(self, times):
        super().__init__()
        self.left = times

    def measure(self, spec, effort=None):
        self.left -= 1
        found = super().measure(spec, effort)
        return found if self.left < 0 else replace(found, noise=("a neighbour",))
