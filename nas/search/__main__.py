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
from nas.search.config import (
    CHANGEABLE,
    FEWEST_IMAGES,
    JOINING,
    MOST_IMAGES,
    REPEATABLE,
    RETRAINED_NETWORKS,
    RETRAINING_EPOCHS,
    RETRAINING_SEEDS,
    SearchConfig,
    default_of,
    read_config,
    refuse_unconfirmed,
    resumed_config,
    with_absolute_paths,
)
from nas.search.effort.presets import Preset, asked_for, settings_of
from nas.train.settings import ON_HELP, PRECISION_HELP
from nas.units import parse_interval, parse_seconds

if TYPE_CHECKING:
    from nas.search.directory import RunDirectory

MANY_WORKERS = 1_024  # more than a cluster has room for; it runs as many as it can

app = cli.new_app()


@app.command()
def search(
    space: Annotated[
        str | None,
        typer.Option(
            metavar="SPACE",
            help="Name of a space, path of its YAML file, or around:NETWORK for the networks one "
            f"step around a reference network or a spec file. [{default_of('space')}]",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(metavar="RANGE", help="Limit on MAdds: 400M (at most), or 390M..400M."),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC=RANGE",
            help="Additional limit, such as params=5M, latency=8ms or latency@litert:cpu=8ms; may "
            "be repeated.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="Data set: digits, a folder with one subfolder per class, an .npz file, or "
            f"WebDataset shards such as 'train-{{000..146}}.tar'. [{default_of('data')}]",
        ),
    ] = None,
    images_per_class: cli.ImagesPerClass = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Take a first look, with a supernet that is trained briefly, fewer trials and "
            "less retraining; the default for digits.",
        ),
    ] = False,
    thorough: Annotated[
        bool,
        typer.Option(
            "--thorough",
            help="Search for hours, with a supernet that is trained for long and 200 trials.",
        ),
    ] = False,
    estimator: Annotated[
        str | None,
        typer.Option(
            metavar="ESTIMATOR",
            help="Accuracy estimator: supernet, short, zero-cost, table:FILE, or an import "
            "path. Settings follow a colon, as in supernet:images=400000 or zero-cost:zico; "
            "supernet and short start from a pretrained network with weights=FILE or "
            "weights=timm:NAME. "
            f"[{default_of('estimator')}]",
        ),
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DEVICE",
            help="Device to measure latency on; may be repeated, to search for several devices at "
            f"once, or with --resume for a device that joins the run. [{default_of('device')}]",
        ),
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            metavar="SAMPLER",
            help="Sampler that proposes networks: known-cost, random, evolution, controller, tpe, "
            f"nsga2, nsga3, gp, qmc, or an import path. [{default_of('sampler')}]",
        ),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            metavar="OBJECTIVE",
            help="Objective: pareto, or one of the rewards mnasnet, mnasnet-hard and absolute. "
            f"[{default_of('objective')}]",
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="TIME", help="Target latency of a reward, such as 8ms.")
    ] = None,
    latency: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Source of latencies: measured, predicted, or auto (predicted if there is a "
            "matching predictor). "
            f"[{default_of('latency')}]",
        ),
    ] = None,
    device_threads: cli.DeviceThreads = None,
    device_batch: cli.DeviceBatch = None,
    interval: cli.DeviceInterval = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NETWORK",
            help="Reference network, spec file or timm:NAME to measure and retrain for comparison; "
            f"may be repeated; 'none' for none. [{', '.join(default_of('references'))}]",
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help=f"Number of trials: networks to evaluate. [{default_of('trials')}]",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="N", help=f"Random seed. [{default_of('seed')}]")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Number of worker processes. [one per core, or as many as a cluster has room for]",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Threads of each worker process. [cores per worker]"),
    ] = None,
    trial_timeout: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Time limit per trial, such as 600s or 2h. [no limit]"),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Storage of the study: postgresql://user@host/database. "
            "[SQLite file in the run directory]",
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Ray cluster to train on: local, auto or HOST:PORT; 'none' for this machine.",
        ),
    ] = None,
    on: Annotated[
        str | None, typer.Option(metavar="DEVICE", help=f"{ON_HELP} [{default_of('on')}]")
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(metavar="PRECISION", help=f"{PRECISION_HELP} [{default_of('precision')}]"),
    ] = None,
    gpus: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="N",
            help="GPUs per trial; 0.5 lets two trials share a GPU. [1 on GPUs, else 0]",
        ),
    ] = None,
    confirm: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Number of best networks of each device to retrain at the end, with "
            f"{RETRAINING_SEEDS} seeds each. [{RETRAINED_NETWORKS}, with --quick 1]",
        ),
    ] = None,
    retrain: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=VALUE,...",
            help="Retraining settings, such as images=200000,flip=true; from=supernet starts from "
            "the supernet's weights, weights=FILE from what networks share with pretrained ones. "
            f"[{RETRAINING_EPOCHS} epochs, but at least {FEWEST_IMAGES:,} and at most "
            f"{MOST_IMAGES:,} images]",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Run directory to create. [runs/SPACE-TIME]"),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Run directory to resume, with its own settings; --data names a data set that was "
            "moved, and --device a device that joins.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="config.yaml of a run to repeat; options take precedence over it."
        ),
    ] = None,
    trust_config: Annotated[
        bool,
        typer.Option(
            "--trust-config",
            help="Accept the code, the addresses and the storage that the configuration of "
            "--resume or --config names, without giving them again.",
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help=cli.JSON_HELP)] = False,
) -> None:
    """Search a space for networks that are both accurate and fast.

    Candidates are evaluated with shared weights and their latency is measured. The best ones are
    retrained, and the Pareto front is shown together with reference networks. The run directory
    holds tables, figures, a report and the best network.
    """
    options = {
        "space": space,
        "limits": _limits(budget, limit),
        "data": data,
        "images_per_class": images_per_class,
        "estimator": estimator,
        "device": device[0] if device and len(device) == 1 else device,
        "sampler": sampler,
        "objective": objective,
        "target": target,
        "latency": latency,
        "device_threads": device_threads,
        "device_batch": device_batch,
        "interval": None if interval is None else parse_interval(interval),
        "references": _references(reference),
        "trials": trials,
        "seed": seed,
        "workers": workers,
        "threads": threads,
        "trial_timeout": None if trial_timeout is None else parse_seconds(trial_timeout),
        "storage": storage,
        "ray": ray,
        "on": on,
        "precision": precision,
        "gpus": gpus,
        "confirm": confirm,
        "retrain": retrain,
    }
    given = {key: value for key, value in options.items() if value is not None}
    if ray is not None:  # another machine, which may have room for another number of workers
        given.setdefault("workers", _default_workers(ray))
    preset = asked_for(quick, thorough, new=resume is None and config is None)
    if trust_config and resume is None and config is None:
        raise MixnasError("--trust-config goes with --resume or --config; omit it")
    if resume is not None:
        run, settings = _resumed(resume, given, out, config, trust_config)
    else:
        run, settings = None, _settings(given, config, trust_config, preset)
    # Heavy imports (torch, optuna) wait until the options have been read.
    from nas.search.loop import Search

    console = cli.error_console()
    if run is None:
        searching = Search.prepare(settings, out, console)
    else:
        searching = Search.resume(run, settings, console)
    finished = searching.run(console)
    searching.tables.report(json)
    if not finished:
        raise typer.Exit(130)


def _limits(budget: str | None, texts: list[str] | None) -> dict[str, str] | None:
    """Return the limits by metric as they were written, each of them checked."""
    limits = split_limits(with_budget(budget, texts))
    for metric, value in limits.items():
        parse_limit(metric, value)
    return limits or None


def _references(names: list[str] | None) -> list[str] | None:
    return names and [name for name in names if name != "none"]


def _settings(
    given: dict[str, Any], config: Path | None, trusted: bool, preset: Preset | None
) -> SearchConfig:
    """Return the configuration: the given options, else the config file's or the preset's.

    Raises:
        MixnasError: If the file names code or addresses that neither the options name nor the user
            trusts.
    """
    from nas.space.loader import short_name
    from nas.study.storage import without_password

    base = SearchConfig() if config is None else read_config(config)
    values = dataclasses.asdict(base)
    if config is None:
        values |= settings_of(preset, given.get("data", base.data))
    else:
        if not trusted:
            refuse_unconfirmed(base, given, config)
        kept = config.parent / "space.yaml"
        if kept.is_file():  # the space as it was, whatever became of the file that it came from
            values["space"] = str(kept)
        given = {**given, "limits": {**base.limits, **given.get("limits", {})}}
        if "objective" in given:  # the target belongs to the objective
            values["target"] = None
    values |= given
    values["command"] = shlex.join(["python", "-m", "nas.search", *sys.argv[1:]])
    values["version"] = nas.__version__
    values["study"] = "search"
    values = with_absolute_paths(values)
    if values["ray"] == "none":
        values["ray"] = None
    if values["storage"] is not None:  # a server holds the studies of many runs
        values["study"] = f"{short_name(values['space'])}-{secrets.token_hex(4)}"
        values["command"] = values["command"].replace(
            values["storage"], without_password(values["storage"])
        )
    return validate(SearchConfig, Document("options", values))


def _default_workers(ray: str) -> int:
    """Return how many training runs fit on the machine, or on the cluster, at once."""
    here = ray in ("none", "local")
    return SearchConfig().workers if here else MANY_WORKERS


def _resumed(
    path: Path, given: dict[str, Any], out: Path | None, config: Path | None, trusted: bool
) -> tuple[RunDirectory, SearchConfig]:
    """Return a run to continue, and its configuration.

    Raises:
        MixnasError: If there is no such run, an option would make it another search, or its
            configuration names code or addresses that the user has not confirmed.
    """
    from nas.search.directory import RunDirectory

    fixed = sorted(set(given) - CHANGEABLE - REPEATABLE - (JOINING if "device" in given else set()))
    if fixed or out is not None or config is not None:
        wrong = [*fixed, *(["out"] if out else []), *(["config"] if config else [])]
        names = sorted(CHANGEABLE | {"device"})
        allowed = ", ".join(f"--{name.replace('_', '-')}" for name in names)
        raise MixnasError(
            f"--resume continues a run with its own settings; only {allowed} may be given with "
            f"it, not {', '.join(wrong)}"
        )
    run = RunDirectory.open(path)
    return run, resumed_config(run.read_config(), with_absolute_paths(given), path, trusted)


if __name__ == "__main__":
    cli.run(app)
