import json
import random
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass

import pytest

from experiments.benchmarks.regnet_populations import (
    LIMITS,
    SPACES,
    Study,
    draw,
    shown_small,
    turns,
)
from nas.accuracy.base import Estimate, EstimateError
from nas.cost import count
from nas.errors import MixnasError
from nas.limits import parse_limits
from nas.space import load_space
from tests.conftest import ROOT

PAIR = ("anynet_a", "anynet_c")  # quick to draw


@dataclass(frozen=True)
class Judge:
    """An estimator that rewards depth, and cannot train networks of an even depth if told so."""

    refuses: bool = False
    version: int = 1

    def fingerprint(self):
        return {"estimator": "judge", "version": self.version}

    def estimate(self, spec, seed):
        depth = sum(len(stage) for stage in spec.stages)
        if self.refuses and depth % 2 == 0:
            raise EstimateError("the loss is not finite")
        return Estimate(accuracy=1 - 1 / (2 + depth), loss=1.0, seconds=0.01, seed=seed)


def collected(folder, networks, estimator=None, spaces=PAIR):
    study = Study(folder)
    study.begin(estimator or Judge())
    return list(study.continued(estimator or Judge(), spaces, networks))


def test_the_spaces_take_turns_and_what_is_there_is_left_out():
    assert list(turns(("a", "b"), 2, ())) == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert list(turns(("a", "b"), 2, {("a", 0), ("b", 1)})) == [("b", 0), ("a", 1)]


@pytest.mark.parametrize("name", [name for name in SPACES if name != "anynet_e"])  # takes seconds
def test_drawn_networks_are_members_in_the_papers_regime(name):
    space = load_space(name)
    spec = space.decode(draw(space, parse_limits(LIMITS), random.Random(0)))
    assert space.contains(spec)
    assert spec.input.resolution == 224
    assert 360e6 <= count(spec).madds <= 400e6


@pytest.mark.parametrize(("side", "largest"), [(24, (2 / 7) ** 2), (32, (2 / 7) ** 2)])
def test_small_images_take_the_multiply_adds_that_the_program_says(side, largest):
    space = load_space("anynet_a")
    spec = space.decode(draw(space, parse_limits(LIMITS), random.Random(1)))
    small = shown_small(spec)
    assert (small.num_classes, small.stages) == (10, spec.stages)
    ratio = count(small.at(side)).madds / count(spec).madds
    assert 0.98 * (side / 112) ** 2 <= ratio <= largest  # the classifier sees no pixels


def test_an_interrupted_study_ends_with_the_same_networks(tmp_path):
    whole = collected(tmp_path / "whole", 2)
    collected(tmp_path / "parts", 1)
    later = collected(tmp_path / "parts", 2)
    assert [(row["space"], row["number"]) for row in later] == [("anynet_a", 1), ("anynet_c", 1)]
    assert Study(tmp_path / "parts").rows == Study(tmp_path / "whole").rows == whole
    assert len({row["digest"] for row in whole}) == 4


def test_time_that_is_up_begins_no_training(tmp_path):
    study = Study(tmp_path)
    study.begin(Judge())
    assert list(study.continued(Judge(), PAIR, 2, until=time.monotonic() - 1)) == []


def test_a_killed_study_loses_nothing_that_was_finished(tmp_path):
    program = """
        import sys, time
        from pathlib import Path
        from tests.experiments.test_regnet_populations import Judge, Study

        class Slow(Judge):
            def estimate(self, spec, seed):
                if len(study.rows) == 3:
                    print("fourth", flush=True)
                    time.sleep(60)
                return super().estimate(spec, seed)

        study = Study(Path(sys.argv[1]))
        study.begin(Slow())
        list(study.continued(Slow(), ("anynet_a", "anynet_c"), 3))
    """
    words = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "fourth\n"
        process.send_signal(signal.SIGKILL)
    assert len(Study(tmp_path).rows) == 3
    later = collected(tmp_path, 3)
    assert len(later) == 3
    assert len({row["digest"] for row in Study(tmp_path).rows}) == 6


def test_networks_of_another_training_are_not_mixed_in(tmp_path):
    collected(tmp_path, 1)
    with pytest.raises(MixnasError, match="made with another training; give another --folder"):
        Study(tmp_path).begin(Judge(version=2))
    with pytest.raises(MixnasError, match="made with another seed"):
        Study(tmp_path, seed=1).begin(Judge())


def test_a_network_that_cannot_be_trained_is_recorded_with_the_reason(tmp_path):
    rows = collected(tmp_path, 4, Judge(refuses=True))
    refused = [row for row in rows if row["accuracy"] is None]
    assert refused
    assert all(sum(row["depths"]) % 2 == 0 for row in refused)
    assert {row["reason"] for row in refused} == {"the loss is not finite"}
    assert len(json.loads((tmp_path / "networks.json").read_text())["networks"]) == 8
