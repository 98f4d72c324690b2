"""``python -m nas.search``: find the networks that are most accurate for their latency."""

from __future__ import annotations

import dataclasses
import secrets
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import nas
from nas import cli
from nas.document import Document, validate
from nas.errors import MixnasError
from nas.limits import parse_limit, split_limits, with_budget
from nas.units import parse_seconds

if TYPE_CHECKING:
    from nas.search.directory import RunDirectory, SearchConfig

DEFAULTS: dict[str, Any] = {
    "space": "mixnet",
    "limits": {},
    "data": "digits",
    "estimator": "supernet",
    "device": "onnxruntime:cpu",
    "sampler": "known-cost",
    "references": ["mixnet_s", "mixnet_m", "mobilenet_v2", "efficientnet_b0"],
    "trials": 24,
    "seed": 0,
}

CHANGEABLE = {
    "trials",
    "workers",
    "threads",
    "trial_timeout",
    "storage",
    "ray",
    "gpus",
    "confirm",
    "retrain",
}
"""What may be another for the rest of a run: how much is run and where, not what is searched."""

MANY = 1_024  # workers, of which a cluster runs as many as it has room for

app = cli.new_app(
    "Search a space for networks that are accurate and fast: judge candidates by weights that they "
    "share, measure their latency, retrain the best, and show the Pareto front with reference "
    "networks beside."
)


@app.command()
def search(
    space: Annotated[
        str | None, typer.Option(help="Name of a space, or path of its YAML file. [mixnet]")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="MAdds of a network: 400M at most, or 390M..400M.")
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(help="Another limit, as params=5M or latency=8ms; may be repeated."),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Data set: a folder of class folders, or digits. [digits]")
    ] = None,
    estimator: Annotated[
        str | None,
        typer.Option(
            help="Of accuracy: supernet, short, zero-cost, table:FILE, or an import path; settings "
            "behind a colon, as supernet:images=400000 or zero-cost:zico. [supernet]"
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="That latency is measured on. [onnxruntime:cpu]")
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            help="Proposes networks: known-cost, random, evolution, controller, tpe, nsga2, nsga3, "
            "gp, qmc, or an import path. [known-cost]"
        ),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(help="pareto, or a reward: mnasnet, mnasnet-hard, absolute. [pareto]"),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Latency that a reward aims at, as 8ms.")
    ] = None,
    latency: Annotated[
        str | None,
        typer.Option(help="measured, predicted, or auto: predicted once a predictor fits. [auto]"),
    ] = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(
            help="Network to measure and retrain beside; may be repeated; 'none' for none."
        ),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Networks to judge and measure. [24]")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of everything random. [0]")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Trainings at once. [one a core, or all of a cluster]")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of each training process. [1]")
    ] = None,
    trial_timeout: Annotated[
        str | None, typer.Option(help="A training may take so long, as 600s or 2h. [any time]")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(help="Of the study: postgresql://user@host/database. [SQLite in the run]"),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(help="Train on a Ray cluster: local, auto or HOST:PORT; 'none' for here."),
    ] = None,
    gpus: Annotated[
        float | None, typer.Option(min=0, help="GPUs of one trial, on Ray; 0.5 shares one. [0]")
    ] = None,
    confirm: Annotated[
        int | None,
        typer.Option(min=0, help="Best networks to retrain at the end, with 3 seeds. [2]"),
    ] = None,
    retrain: Annotated[
        str | None,
        typer.Option(
            help="How they are retrained, as images=200000,flip=true. "
            "[2 epochs, from 4,800 to 100,000 images]"
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Run directory to make. [runs/SPACE-TIME]")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Run directory to continue, with its own settings.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="config.yaml of a run to repeat; options override it.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help=cli.JSON_HELP)] = False,
) -> None:
    """Search, and leave a run directory with tables, figures, a report and the best network."""
    given = {
        "space": space,
        "limits": _limits(budget, limit),
        "data": data,
        "estimator": estimator,
        "device": device,
        "sampler": sampler,
        "objective": objective,
        "target": target,
        "latency": latency,
        "references": _references(reference),
        "trials": trials,
        "seed": seed,
        "workers": workers,
        "threads": threads,
        "trial_timeout": None if trial_timeout is None else parse_seconds(trial_timeout),
        "storage": storage,
        "ray": ray,
        "gpus": gpus,
        "confirm": confirm,
        "retrain": retrain,
    }
    given = {key: value for key, value in given.items() if value is not None}
    if ray is not None:  # another place, and as many workers as that has room for
        given.setdefault("workers", _best_workers(ray))
    if resume is not None:
        run, settings = _resumed(resume, given, out, config)
    else:
        settings = _settings(given, config)
        run = None
    # Heavy imports (torch, optuna) wait until the options have been read.
    from nas.search.directory import RunDirectory
    from nas.search.loop import Search

    console = cli.error_console()
    if run is None:
        path = out or RunDirectory.new_name(settings.space)
        searching = Search.prepare(settings, path, console)
    else:
        searching = Search.resume(run, settings, console)
    finished = searching.run(console)
    searching.tables.report(json)
    if not finished:
        raise typer.Exit(130)


def _limits(budget: str | None, texts: list[str] | None) -> dict[str, str] | None:
    """Return limits by metric as they were written, each checked."""
    limits = split_limits(with_budget(budget, texts))
    for metric, value in limits.items():
        parse_limit(metric, value)
    return limits or None


def _references(names: list[str] | None) -> list[str] | None:
    if names is None:
        return None
    return [] if names == ["none"] else names


def _settings(given: dict[str, Any], config: Path | None) -> SearchConfig:
    """Lay the options over a config file, and that over the defaults."""
    from nas.executors.local import default_resources
    from nas.search.directory import SearchConfig, read_config
    from nas.study.storage import without_password

    base: dict[str, Any] = {**DEFAULTS, "threads": default_resources()[1]}
    base["workers"] = _best_workers(None)
    if config is not None:
        base = dataclasses.asdict(read_config(config))
        kept = config.parent / "space.yaml"
        if kept.is_file():  # the space as it was, whatever became of the file it came from
            base["space"] = str(kept)
        given = {**given, "limits": {**base["limits"], **given.get("limits", {})}}
        if "objective" in given:  # another objective, another target, or none
            base["target"] = None
    words = ["python", "-m", "nas.search", *sys.argv[1:]]
    values = {**base, **given, "command": shlex.join(words), "version": nas.__version__}
    values["study"] = "search"
    if Path(values["data"]).expanduser().exists():  # a run may go on from another folder
        values["data"] = str(Path(values["data"]).expanduser().resolve())
    kind, _, file = values["estimator"].partition(":")
    if kind == "table" and Path(file).expanduser().exists():
        values["estimator"] = f"table:{Path(file).expanduser().resolve()}"
    if values.get("ray") == "none":
        values["ray"] = None
    if values.get("storage") is not None:  # a server holds studies of many runs
        values["study"] = f"{Path(values['space']).stem}-{secrets.token_hex(4)}"
        values["command"] = values["command"].replace(
            values["storage"], without_password(values["storage"])
        )
    return validate(SearchConfig, Document("options", values))


def _best_workers(ray: str | None) -> int:
    """Return how many trainings run at once: what the machine, or the cluster, has room for."""
    from nas.executors.local import default_resources

    return default_resources()[0] if ray in (None, "none", "local") else MANY


def _resumed(
    path: Path, given: dict[str, Any], out: Path | None, config: Path | None
) -> tuple[RunDirectory, SearchConfig]:
    """Return a run to go on with; only how much is run, and where, may change.

    Raises:
        MixnasError: when there is no such run, or an option would make it another search.
    """
    from nas.search.directory import RunDirectory

    fixed = sorted(set(given) - CHANGEABLE)
    if fixed or out is not None or config is not None:
        what = [*fixed, *(["out"] if out else []), *(["config"] if config else [])]
        may = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(CHANGEABLE))
        raise MixnasError(
            f"--resume goes on with the run's own settings; only {may} may be given beside it, "
            f"not {', '.join(what)}"
        )
    run = RunDirectory.open(path)
    if "storage" in given:
        _check_same_storage(given["storage"], run.read_config().storage, path)
    settings = dataclasses.replace(run.read_config(), **given)
    if settings.ray == "none":
        settings = dataclasses.replace(settings, ray=None)
    return run, settings


def _check_same_storage(given: str, kept: str | None, path: Path) -> None:
    """Let --storage bring a password to a resumed run, and nothing else.

    Raises:
        MixnasError: when it names another storage.
    """
    from nas.study.storage import without_password

    if kept is None or without_password(given) != kept:
        where = kept or f"{path / 'study.db'}"
        raise MixnasError(
            f"the run's study is in {where}; a study does not move to another storage"
        )


if __name__ == "__main__":
    cli.run(app)
