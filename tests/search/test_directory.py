import dataclasses
import os

import pandas as pd
import pytest
import yaml

from nas.errors import MixnasError
from nas.search.config import SearchConfig
from nas.search.directory import RunDirectory

CONFIG = SearchConfig(workers=2, threads=1)


def test_a_run_directory_is_created_once(tmp_path):
    run = RunDirectory.create(tmp_path / "runs" / "mine")
    assert (run.path / "figures").is_dir()
    with pytest.raises(MixnasError, match=r"mine already exists; choose another --out$"):
        RunDirectory.create(run.path)
    run.write_config(CONFIG)
    with pytest.raises(MixnasError, match=r"continue it with --resume .*mine, or choose another"):
        RunDirectory.check_new(run.path)
    assert RunDirectory.open(run.path).read_config() == CONFIG


def test_what_is_no_run_directory_is_refused(tmp_path):
    with pytest.raises(MixnasError, match=r"is not a run directory: it has no config\.yaml"):
        RunDirectory.open(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_told(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(MixnasError, match="cannot be created"):
        RunDirectory.create(tmp_path / "run")


def test_a_file_in_the_way_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MixnasError, match=r"cannot be created .*; choose another --out"):
        RunDirectory.create(tmp_path / "file" / "run")


def test_passwords_are_not_written_down(tmp_path):
    run = RunDirectory.create(tmp_path / "run")
    url = "postgresql://nas:open's%3Fsesame@host:5432/db"
    command = "python -m nas.search --storage 'postgresql://nas:open'\"'\"'s%3Fsesame@host:5432/db'"
    run.write_config(dataclasses.replace(CONFIG, storage=url, command=command))
    text = (run.path / "config.yaml").read_text()
    assert "sesame" not in text
    assert run.read_config().storage == "postgresql://nas@host:5432/db"


def test_the_key_of_a_certificate_has_a_password_too(tmp_path):
    run = RunDirectory.create(tmp_path / "run")
    url = "postgresql://nas@host/db?sslmode=verify-full&sslpassword=sesame&password=open"
    command = f"python -m nas.search --storage '{url}' --trials 3"
    run.write_config(dataclasses.replace(CONFIG, storage=url, command=command))
    text = (run.path / "config.yaml").read_text()
    assert "sesame" not in text
    assert "open" not in text
    assert run.read_config().storage == "postgresql://nas@host/db?sslmode=verify-full"
    assert run.read_config().command.endswith("?sslmode=verify-full' --trials 3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n1\n", "it has no column 'name'"),
        ("name,ms\n3,1\n", "the column 'name' must hold text"),
        ("name\nx\n", "it has no column 'ms'"),
        ("name,ms\nx,fast\n", "Unable to parse string"),
        ("name,ms\nx,inf\n", "the column 'ms' must hold finite numbers"),
    ],
)
def test_tables_without_what_is_read_are_told(tmp_path, text, message):
    run = RunDirectory.create(tmp_path / "run")
    (run.path / "references.csv").write_text(text)
    with pytest.raises(
        MixnasError, match=rf"references.csv is damaged \(.*{message}.*\); remove or"
    ):
        run.read_table("references", text=["name"], numbers=["ms"])


def test_tables_come_back_and_damaged_ones_are_told(tmp_path):
    run = RunDirectory.create(tmp_path / "run")
    assert run.read_table("trials") is None
    table = pd.DataFrame({"name": ["a,b", "c"], "score": [0.5, None]})
    run.write_table("trials", table)
    pd.testing.assert_frame_equal(run.read_table("trials"), table)
    (run.path / "trials.csv").write_text("")
    with pytest.raises(MixnasError, match=r"trials.csv is damaged .*; remove or repair it"):
        run.read_table("trials")


def test_conditions_and_spaces_are_plain_yaml(tmp_path):
    run = RunDirectory.create(tmp_path / "run")
    run.write_conditions({"noise": ("a", "b"), "threads": 2})
    assert yaml.safe_load((run.path / "conditions.yaml").read_text()) == {
        "noise": ["a", "b"],
        "threads": 2,
    }
    assert run.read_conditions() == {"noise": ["a", "b"], "threads": 2}
    for damaged in ("a: [", "- 1"):
        (run.path / "conditions.yaml").write_text(damaged)
        assert run.read_conditions() == {}
    (run.path / "conditions.yaml").unlink()
    assert run.read_conditions() == {}
    run.write_space({"name": "mine", "stages": {}})
    assert list(yaml.safe_load((run.path / "space.yaml").read_text())) == ["name", "stages"]


def test_a_run_without_its_study_is_told(tmp_path):
    run = RunDirectory.create(tmp_path / "run")
    assert run.recorded(CONFIG) is None
    assert not (run.path / "study.db").exists()
    run.write_table("trials", pd.DataFrame({"number": [0]}))
    with pytest.raises(MixnasError, match=r"has trials.csv, but no study in its study.db"):
        run.recorded(CONFIG)


def test_paths_with_characters_that_mean_something_in_a_url_work(tmp_path):
    run = RunDirectory.create(tmp_path / "a?b#c%20")
    from nas.study.storage import open_storage

    assert open_storage(run.storage).get_all_studies() == []
    assert (run.path / "study.db").is_file()


def test_a_configuration_that_lost_a_setting_does_not_become_another_search(tmp_path):
    run = RunDirectory.create(tmp_path / "run")
    run.write_config(CONFIG)
    path = run.path / "config.yaml"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith("seed:")))
    with pytest.raises(MixnasError, match=r"config\.yaml: missing keys: seed; restore the file"):
        run.read_config()


def test_a_file_that_never_changes_is_written_once(tmp_path):
    directory = RunDirectory.create(tmp_path / "run")
    directory.write_once("networks/trial_1.yaml", lambda: "a")
    directory.write_once("networks/trial_1.yaml", lambda: pytest.fail("it is there"))
    assert (tmp_path / "run" / "networks" / "trial_1.yaml").read_text(encoding="utf-8") == "a"
