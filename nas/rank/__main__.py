"""``python -m nas.rank``: how well a cheap estimate of accuracy ranks networks."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas import cli
from nas.errors import MixnasError
from nas.rank.settings import FEWEST_NETWORKS, RankingSettings
from nas.train.settings import ON_HELP, ON_THE_CPU, PRECISION_HELP
from nas.units import number_of, parse_seconds

if TYPE_CHECKING:
    from analysis.statistics.ranking import RankingCard
    from nas.accuracy.table import TrainedNetwork
    from nas.rank.run import RankingRun

app = cli.new_app()


@app.command()
def rank(
    table: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="Trained networks: JSON, CSV, or the trials.csv of a search."
        ),
    ],
    estimator: Annotated[
        str,
        typer.Option(
            "--estimator",
            "-e",
            metavar="ESTIMATOR",
            help="Estimator to test, as for nas.search: supernet, short, zero-cost:zico, or an "
            "import path.",
        ),
    ] = RankingSettings.estimator,
    data: Annotated[
        str, typer.Option(metavar="DATA", help="Data set that the networks were trained on.")
    ] = RankingSettings.data,
    images_per_class: cli.ImagesPerClass = None,
    n: Annotated[
        int,
        typer.Option(
            "-n",
            min=FEWEST_NETWORKS,
            metavar="N",
            help="Number of networks to draw from the table.",
        ),
    ] = RankingSettings.n,
    seed: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Random seed of the sampling, the estimator and the bootstrap."
        ),
    ] = RankingSettings.seed,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Number of networks to evaluate at the same time. [one per core]",
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, metavar="N", help="Threads of each worker.")] = 1,
    on: Annotated[str, typer.Option(metavar="DEVICE", help=ON_HELP)] = "auto",
    precision: Annotated[str, typer.Option(metavar="PRECISION", help=PRECISION_HELP)] = "auto",
    gpus: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="N",
            help="GPUs per network; 0.5 lets two networks share a GPU. [1 on GPUs, else 0]",
        ),
    ] = None,
    trial_timeout: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Time limit per network, such as 600s. [no limit]"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder to create, or folder of a ranking to continue. [runs/rank-TIME]",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help=cli.JSON_HELP)] = False,
) -> None:
    """Report how well an accuracy estimator ranks networks that were fully trained.

    Kendall's tau, Spearman's rho and precision at k are compared with those of simple baselines:
    number of parameters, multiply-adds and depth.
    """
    from nas.accuracy.naming import open_estimator
    from nas.accuracy.pool import ListedPool
    from nas.accuracy.preparation import prepare_estimator
    from nas.data import load_data
    from nas.executors.base import Resources, default_resources
    from nas.executors.gpus import remark_on, with_gpus
    from nas.rank.run import RankingRun, claimed_folder, draw_networks
    from nas.train.placement import find_placement
    from nas.train.sources import announce

    limit = None if trial_timeout is None else parse_seconds(trial_timeout)
    console = cli.error_console()
    with claimed_folder(out) as (path, lock):
        networks = _trained_networks(table, data)
        pool = ListedPool([network.spec for network in networks])
        placement = find_placement(on, precision)
        opened = open_estimator(estimator, data, pool, seed, placement, images_per_class)
        if on == "auto" and not hasattr(opened, "placement"):
            placement = ON_THE_CPU  # it does not train, or decides for itself
        settings = RankingSettings(
            table=str(table),
            estimator=estimator,
            data=data,
            n=n,
            seed=seed,
            on=placement.kind,
            images_per_class=images_per_class,
        )
        resources = Resources(workers or default_resources()[0], threads, limit)
        resources = with_gpus(resources, placement, gpus)
        run = RankingRun(path, opened, draw_networks(networks, n, seed), settings, lock)
        run.check()
        announce(load_data(data, images_per_class), console)
        remark = remark_on(placement, resources)
        if remark is not None:
            console.print(remark, soft_wrap=True)
        prepare_estimator(opened, f"preparing {estimator} on {data}", console)
        run.open()
    try:
        with cli.progress_bar(console, "evaluating networks") as step:
            run.run(resources, step)
    except KeyboardInterrupt:
        console.print(
            f"stopped; continue with the same command and --out {shlex.quote(str(path))}",
            soft_wrap=True,
        )
        raise
    card = run.finish()
    if json:
        cli.print_json(run.summary(card))
    else:
        _print(run, card)


def _trained_networks(table: Path, data: str) -> list[TrainedNetwork]:
    """Read the networks of a table, and check that they tell the classes of the data set apart."""
    from nas.accuracy.table import read_networks
    from nas.data import load_data

    classes = load_data(data).num_classes
    networks = read_networks(table, classes)
    if len(networks) < FEWEST_NETWORKS:
        raise MixnasError(
            f"{table} has {number_of(len(networks), 'network')}, but a ranking needs at least "
            f"{FEWEST_NETWORKS}"
        )
    others = {network.spec.num_classes for network in networks} - {classes}
    if others:
        raise MixnasError(
            f"{data} has {classes} classes, but {table} has networks with "
            f"{', '.join(map(str, sorted(others)))}; give the data set that they were trained on"
        )
    return networks


def _print(run: RankingRun, card: RankingCard) -> None:
    from analysis.report.ranking import ranking_header, ranking_rows
    from analysis.statistics.ranking import MADDS_TOLERANCE

    summary = run.summary(card)
    without_score = summary["without_score"]
    notes = [
        "95% bootstrap intervals",
        f"similar MAdds: the {card.rankings[0].band_pairs} pairs whose MAdds differ by less than "
        f"{MADDS_TOLERANCE:.0%}",
        "best k: share of the k best networks by score that are among the k truly best",
        f"{summary['seconds_per_network']:g} s per network",
        *([f"without a score: {number_of(without_score, 'network')}"] if without_score else []),
    ]
    cli.print_table(
        f"{run.settings.estimator} on {number_of(card.n, 'network')} of {run.settings.table}",
        columns=ranking_header(card),
        rows=ranking_rows(card),
        caption="; ".join(notes),
    )
    cli.print_text(f"card:   {run.path / 'card.json'}")
    cli.print_text(f"figure: {run.path / 'ranking.png'}")


if __name__ == "__main__":
    cli.run(app)
