"""Reference networks beside a search."""

from dataclasses import replace

import pandas as pd
import pytest

from nas.accuracy import Estimate
from nas.errors import UnrunnableError
from nas.named import TimmNetwork
from nas.search.devices import SearchDevice
from nas.search.directory import RunDirectory
from nas.search.references import References, read_references
from nas.spec import load_network
from nas.testing.fakes import InstantDevice, exact_latency
from tests.networks import TINY


def devices(*found):
    return [SearchDevice(f"device {i}", device) for i, device in enumerate(found)]


class Picky:
    """A device that one network is too large for."""

    def measure(self, spec, effort=None):
        raise UnrunnableError("it does not fit")


def test_a_reference_that_the_device_cannot_run_is_told():
    references = References({"mixnet_s": load_network("mixnet_s")}, None)
    assert references.measure(devices(Picky())) == {}
    table = references.table()
    assert list(table["state"]) == ["fail"]
    assert list(table["reason"]) == ["it does not fit"]
    assert references.missing() == []


class Telling(InstantDevice):
    """Answers with one latency and its remark after the other."""

    def __init__(self, *answers):
        super().__init__()
        self.answers = list(answers)

    def measure(self, spec, effort=None):
        milliseconds, remark = self.answers.pop(0)
        noise = (remark,) if remark else ()
        return replace(exact_latency(self.conditions, spec, milliseconds), noise=noise)


def references_of(*answers):
    """A reference that was measured as told, three times at most, and evaluated."""
    references = References({"mixnet_s": load_network("mixnet_s")}, None)
    used = devices(Telling(*answers))
    (latencies,) = references.measure(used).values()
    references.add("mixnet_s", latencies, Estimate(0.9, 0.1, 1.0, 0), 0, used)
    return references


NOISY = [(17.0, "others")] * 3


def test_a_noisy_reference_is_measured_again_until_it_is_quiet():
    references = references_of(*NOISY)
    (row,) = references.rows
    assert (row["latency_ms"], row["latency_noise"]) == (17.0, "others")
    begun = []
    device = Telling((16.0, "others"), (10.0, ""))
    references.measure_again(devices(device), lambda: begun.append("begun"), attempts=2)
    (row,) = references.rows
    assert (row["latency_ms"], row["latency_p90_ms"], row["latency_noise"]) == (10.0, 10.0, "")
    assert (row["accuracy"], row["state"], row["name"]) == (0.9, "complete", "mixnet_s")
    assert begun == ["begun"]


def test_a_reference_that_stays_noisy_keeps_its_remark():
    references = references_of(*NOISY)
    references.measure_again(
        devices(Telling((9.0, "a fan"), (8.0, "a fan"))), lambda: None, attempts=2
    )
    (row,) = references.rows
    assert (row["latency_ms"], row["latency_noise"]) == (17.0, "others")
    references.measure_again(devices(Picky()), lambda: None, attempts=2)
    assert references.rows == [row]


def test_a_quiet_reference_is_left_alone():
    references = references_of((10.0, ""))
    references.measure_again(
        devices(Telling()), lambda: pytest.fail("nothing is noisy"), attempts=2
    )
    assert references.rows[0]["latency_ms"] == 10.0


def test_a_noisy_reference_of_an_earlier_process_is_measured_again():
    rows = references_of(*NOISY).table()
    other = rows.assign(name="removed")
    references = References({"mixnet_s": load_network("mixnet_s")}, pd.concat([rows, other]))
    references.measure_again(devices(Telling((10.0, ""))), lambda: None, attempts=2)
    assert [row["latency_ms"] for row in references.rows] == [10.0, 17.0]


def test_a_table_with_a_header_only_lacks_every_reference(tmp_path):
    columns = ["name", "latency_ms", "latency_p10_ms", "latency_p90_ms", "madds", "params"]
    table = pd.DataFrame(columns=[*columns, "accuracy"])
    table.to_csv(tmp_path / "references.csv", index=False)
    known = read_references(RunDirectory(tmp_path))
    assert References({"tiny": TINY}, known).missing() == ["tiny"]


class AnyNetworkDevice(InstantDevice):
    """Measures networks of timm, too."""

    def check_timm(self, network):
        """Take all of them."""

    def measure_timm(self, network, effort=None):
        return exact_latency(self.conditions, TINY, 3.0)


def test_a_network_of_timm_is_a_reference_with_its_name(stand_in_for_timm, tmp_path):
    network = TimmNetwork("timm:resnet18", 10, 32)
    references = References({"timm:resnet18": network}, None)
    used = devices(AnyNetworkDevice())
    (latencies,) = references.measure(used).values()
    references.add("timm:resnet18", latencies, Estimate(0.9, 0.1, 1.0, 0), 0, used)
    (row,) = references.rows
    assert (row["name"], row["architecture"]) == ("timm:resnet18", "timm:resnet18")
    assert row["spec_hash"] == network.digest()
    assert (row["params"], row["madds"]) == (4 * 27 + 4 + 50, 30 * 30 * 4 * 27 + 40)
    assert (row["latency_ms"], row["accuracy"]) == (3.0, 0.9)
    references.table().to_csv(tmp_path / "references.csv", index=False)
    again = References({"timm:resnet18": network}, read_references(RunDirectory(tmp_path)))
    assert again.missing() == []


def test_a_device_that_measures_no_network_of_timm_is_told(stand_in_for_timm):
    references = References({"timm:resnet18": TimmNetwork("timm:resnet18", 10, 32)}, None)
    assert references.measure(devices(InstantDevice())) == {}
    assert "has none; measure it on this machine" in references.rows[0]["reason"]


def test_references_are_kept_as_specs_where_they_have_one(tmp_path):
    spec = load_network("mixnet_s")
    path = "somewhere/mine.yaml"
    specs = {
        "mixnet_s": spec,
        path: spec.replace(name=path),
        "timm:x": TimmNetwork("timm:x", 5, 32),
    }
    table = pd.DataFrame({"name": [*specs, "gone"]})
    directory = RunDirectory.create(tmp_path / "run")
    References(specs, table).write_specs(directory)
    folder = tmp_path / "run" / "references"
    assert sorted(file.name for file in folder.iterdir()) == ["mine.yaml", "mixnet_s.yaml"]
    kept = load_network(str(folder / "mine.yaml"))
    assert kept == spec
    assert kept.name == "mine"
