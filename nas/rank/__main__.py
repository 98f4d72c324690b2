"""``python -m nas.rank``: how well a cheap accuracy estimate ranks networks."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas import cli
from nas.errors import MixnasError
from nas.units import parse_seconds

if TYPE_CHECKING:
    from analysis.statistics.ranking import RankingCard
    from nas.rank.run import RankingRun

app = cli.new_app(
    "Judge an accuracy estimator on networks that were fully trained: does it put them in the "
    "right order, and better than their parameters and multiply-adds do?"
)


@app.command()
def rank(
    table: Annotated[
        Path, typer.Option(help="Trained networks: JSON, CSV, or a run's trials.csv.")
    ],
    estimator: Annotated[
        str, typer.Option("--estimator", "-e", help="As of nas.search: zero-cost:zico, ...")
    ] = "supernet",
    data: Annotated[str, typer.Option(help="Data set, as of nas.search.")] = "digits",
    n: Annotated[int, typer.Option("-n", min=3, help="Networks, drawn from the table.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Of drawing, estimator and bootstrap.")] = 0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Networks judged at once. [one a core]")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each worker.")] = 1,
    trial_timeout: Annotated[
        str | None, typer.Option(help="A network may take so long, as 600s. [any time]")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to keep, or to go on in. [runs/rank-TIME]")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help=cli.JSON_HELP)] = False,
) -> None:
    """Print Kendall's tau, Spearman's rho and precision, with what a score must beat beside."""
    from nas.accuracy.naming import open_estimator
    from nas.accuracy.pool import ListedPool
    from nas.accuracy.preparation import prepare_estimator
    from nas.accuracy.table import read_networks
    from nas.data import load_data
    from nas.executors.local import Resources, default_resources
    from nas.rank.run import RankingRun, drawn

    classes = load_data(data).num_classes
    found = read_networks(table, classes)
    if {network.spec.num_classes for network in found} != {classes}:
        raise MixnasError(
            f"{data} has {classes} classes, but networks of {table} tell others apart; "
            "give the data that they were trained on"
        )
    judge = open_estimator(estimator, data, ListedPool([row.spec for row in found]), seed)
    settings = {"table": str(table), "estimator": estimator, "data": data, "n": n, "seed": seed}
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    path = out or Path("runs") / f"rank-{now}"
    run = RankingRun(path, judge, drawn(found, n, seed), seed, settings)
    console = cli.error_console()
    prepare_estimator(judge, f"preparing {estimator} on {data}", console)
    run.open()
    limit = None if trial_timeout is None else parse_seconds(trial_timeout)
    try:
        with cli.progress_bar(console, "judging networks") as step:
            run.run(Resources(workers or default_resources()[0], threads, limit), step)
    except KeyboardInterrupt:
        console.print(f"stopped; go on with the same command and --out {path}")
        raise
    card = run.finish()
    if json:
        cli.print_json(run.summary(card))
    else:
        _print(run, card)


def _print(run: RankingRun, card: RankingCard) -> None:
    from analysis.report.ranking import ranking_header, ranking_rows

    first = card.rankings[0]
    summary = run.summary(card)
    failed = summary["without_score"]
    cli.print_table(
        f"{run.settings['estimator']} on {card.n} networks of {run.settings['table']}",
        ranking_header(card),
        ranking_rows(card),
        f"95% bootstrap intervals; {first.band_pairs} pairs at like MAdds (5% apart at most); "
        f"best k: share of the k best by score among the k truly best; "
        f"{summary['seconds_per_network']:g} s a network"
        + (f"; {failed} networks without a score" if failed else ""),
    )
    print(f"card:   {run.path / 'card.json'}")
    print(f"figure: {run.path / 'ranking.png'}")


if __name__ == "__main__":
    cli.run(app)
