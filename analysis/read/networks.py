"""The networks of a run directory as spec files, which the commands of `nas` take.

A search keeps those that a report shows first: ``networks/trial_17.yaml`` for each trial that is or
was on a front, and ``references/mixnet_s.yaml`` for each reference network that has a spec.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis.document import read_text
from analysis.read.devices import distinct_stems

TRIALS = "networks"
"""Folder of the trials' networks in a run directory."""
REFERENCES = "references"
"""Folder of the reference networks."""
_ENDINGS = (".yaml", ".yml", ".json")
_LONGEST = 100  # characters of a file name, which systems bound
MOST_BYTES = 200_000
"""Largest spec that a page embeds, in bytes; one of a thousand blocks has about as many."""


def trial_file(name: str) -> str:
    """Return the path of a trial's network in its run directory, with slashes.

    Args:
        name: Name of the trial, such as ``trial_17``.
    """
    return f"{TRIALS}/{name}.yaml"


def reference_files(names: Sequence[str]) -> dict[str, str]:
    """Return the paths of reference networks in a run directory by name; all of them differ.

    Args:
        names: Names of the references in the order of their table; some are paths of files.
    """
    plain = [_without_folder(name)[-_LONGEST:] for name in names]
    stems = distinct_stems(plain, "network")
    return {name: f"{REFERENCES}/{stem}.yaml" for name, stem in zip(names, stems, strict=True)}


def _without_folder(name: str) -> str:
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    for ending in _ENDINGS:
        last = last.removesuffix(ending)
    return last


def read_specs(run: Path, files: Sequence[str]) -> dict[str, str]:
    """Return the text of those spec files that a run directory has, by their paths in it.

    Links are left out: a run directory may come from anybody, and a page must not show what lies
    outside of it.

    Raises:
        AnalysisError: If one is too large, or cannot be read.
    """
    texts = {}
    for file in files:
        path = run / file
        if path.is_symlink() or path.parent.is_symlink() or not path.is_file():
            continue
        texts[file] = read_text(path, MOST_BYTES)
    return texts
