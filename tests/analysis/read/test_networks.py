import pytest

from analysis.errors import AnalysisError
from analysis.read.networks import MOST_BYTES, read_specs, reference_files, trial_file


def test_trials_have_files_by_their_names():
    assert trial_file("trial_17") == "networks/trial_17.yaml"


def test_references_have_files_of_different_names():
    names = ["mixnet_s", "runs/a/net.yaml", "other/net.yaml", "timm:res net", "../..", "v1.2"]
    files = reference_files(names)
    assert files == {
        "mixnet_s": "references/mixnet_s.yaml",
        "runs/a/net.yaml": "references/net.yaml",
        "other/net.yaml": "references/net-2.yaml",
        "timm:res net": "references/timm-res-net.yaml",
        "../..": "references/network.yaml",
        "v1.2": "references/v1.2.yaml",
    }
    assert len(reference_files(["x" * 5_000])["x" * 5_000]) < 150


def test_specs_of_a_run_are_read_but_not_through_links(tmp_path):
    run = tmp_path / "run"
    (run / "networks").mkdir(parents=True)
    (run / "networks" / "trial_1.yaml").write_text("name: a", encoding="utf-8")
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "mixnet_s.yaml").write_text("name: secret", encoding="utf-8")
    (run / "networks" / "trial_2.yaml").symlink_to(secret / "mixnet_s.yaml")
    (run / "references").symlink_to(secret)
    files = [trial_file(f"trial_{i}") for i in (1, 2, 3)] + ["references/mixnet_s.yaml"]
    assert read_specs(run, files) == {"networks/trial_1.yaml": "name: a"}


def test_a_spec_that_is_too_large_is_refused(tmp_path):
    (tmp_path / "networks").mkdir()
    (tmp_path / "networks" / "trial_1.yaml").write_text("#" * (MOST_BYTES + 1), encoding="utf-8")
    with pytest.raises(AnalysisError, match=r"trial_1.yaml cannot be read: it has more than"):
        read_specs(tmp_path, [trial_file("trial_1")])
