"""Studies that another version of Optuna wrote are told, and left as they are."""

import shlex
import sqlite3

import pytest

from nas.errors import MixnasError
from nas.study.storage import open_storage, study_attributes


@pytest.fixture
def database(tmp_path):
    """Write a study, then give its tables another version; return its path."""

    def write(revision, writer):
        path = tmp_path / "study.db"
        open_storage(f"sqlite:///{path}")
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
            connection.execute("UPDATE version_info SET library_version = ?", (writer,))
            connection.execute("DROP TABLE trial_heartbeats")  # which older versions lack
        connection.close()
        return path

    return write


@pytest.mark.parametrize(
    ("revision", "writer", "remedy"),
    [
        (
            "v2.4.0.a",
            "2.10.1",
            "copy it, then convert it: optuna storage upgrade --storage sqlite:///",
        ),
        ("v99.0.0.a", "99.1.0", "install a version that can read it: pip install 'optuna>=99"),
    ],
)
def test_another_version_is_told_with_the_remedy(database, tmp_path, revision, writer, remedy):
    path = database(revision, writer)
    before = path.read_bytes()
    with pytest.raises(MixnasError) as told:
        study_attributes(f"sqlite:///{path}", "search")
    assert f"was written by Optuna {writer}, whose tables Optuna" in str(told.value)
    assert remedy in str(told.value)
    assert "\n" not in str(told.value)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["study.db"]


def test_what_a_storage_says_of_its_writer_is_no_part_of_a_command(database):
    path = database("v99.0.0.a", "9'; touch PWNED; '")
    with pytest.raises(MixnasError) as told:
        study_attributes(f"sqlite:///{path}", "search")
    assert "PWNED" not in str(told.value)
    assert str(told.value).endswith("pip install --upgrade optuna")


def test_the_command_for_a_storage_can_be_pasted(database):
    path = database("v2.4.0.a", "2.10.1")
    there = path.rename(path.with_name("my study.db"))
    with pytest.raises(MixnasError) as told:
        study_attributes(f"sqlite:///{there}", "search")
    assert shlex.split(str(told.value).partition("convert it: ")[2])[-1] == f"sqlite:///{there}"
