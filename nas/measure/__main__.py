"""``python -m nas.measure``: measure the latency of networks on a device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from nas import cli, defaults
from nas.errors import MixnasError
from nas.latency import (
    EXAMPLES,
    Device,
    Latency,
    check_measurable,
    measure_quietly,
    open_device,
)
from nas.latency.conditions import measurement_settings, pause_text
from nas.latency.quiet import refuse_noise
from nas.named import AnyNetwork, is_timm, open_network
from nas.units import number_of

app = cli.new_app()


@app.command()
def measure(
    networks: Annotated[
        list[str],
        typer.Argument(help="Names of reference networks, paths of spec files, or timm:NAME."),
    ],
    device: Annotated[
        str,
        typer.Option(metavar="DEVICE", help=f"Device to measure latency on, such as {EXAMPLES}."),
    ] = defaults.DEVICE,
    plain: Annotated[
        bool, typer.Option("--plain", help="Measure the form as trained, not the lowered form.")
    ] = False,
    both: Annotated[
        bool, typer.Option("--both", help="Measure both forms of each network.")
    ] = False,
    threads: cli.Threads = None,
    batch: cli.Batch = 1,
    resolution: cli.Resolution = None,
    precision: cli.Precision = "fp32",
    interval: cli.Interval = "0ms",
    attempts: Annotated[
        int,
        typer.Option(
            min=1,
            max=100,
            metavar="N",
            help="Maximum number of attempts to obtain a quiet measurement.",
        ),
    ] = 3,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail if all attempts were noisy.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help=cli.JSON_HELP)] = False,
) -> None:
    """Measure the latency of networks on a device.

    By default, each network is lowered to the layer forms that are fastest on the device. Its runs
    alternate with those of a reference network, which shows whether the machine is quiet. With
    int8, networks are measured with fp32 as well. Networks of timm have one form, as trained.
    """
    forms = [True, False] if both else [not plain]
    if all(is_timm(name) for name in networks):
        forms = [False]  # for the lowered form of nothing, no device needs to be examined for long
    precisions = ["fp32", "int8"] if precision == "int8" else [precision]
    # All settings are tried before anything takes long.
    devices = [
        open_device(device, measurement_settings(threads, batch, name, lowered, interval))
        for lowered in forms
        for name in precisions
    ]
    opened_networks = [open_network(name, resolution=resolution) for name in networks]
    for opened in devices:
        for network in opened_networks:
            check_measurable(opened, network)
    console = cli.error_console()
    rows: dict[tuple[int, int, int], dict[str, Any]] = {}
    failures: list[str] = []
    for place, opened in enumerate(devices):
        form, precision_place = divmod(place, len(precisions))
        with cli.examining(console, device) as step:
            opened.prepare(step)
        for index, network in enumerate(opened_networks):
            try:
                latency = _measure(opened, network, attempts, strict)
            except MixnasError as error:  # the others are told all the same
                failures.append(str(error))
                continue
            row = {"name": network.name, **latency.to_dict()}
            rows[form, index, precision_place] = row
            if not json:
                for remark in latency.noise:
                    console.print(
                        f"warning: {network.name}: {remark}", style="yellow", soft_wrap=True
                    )
    ordered = _beside(rows)
    if json:
        cli.print_json(ordered)
    elif ordered:
        _print(ordered)
    if failures:
        raise MixnasError("\n".join(dict.fromkeys(failures)))


def _beside(rows: dict[tuple[int, int, int], dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows with int8 below fp32, and how many times as long it takes.

    Args:
        rows: Rows by the places of form, network and precision; those that failed are missing.
    """
    ordered = []
    for (form, network, precision), row in sorted(rows.items()):
        fp32 = rows.get((form, network, 0)) if precision else None
        times = {} if fp32 is None else {"times_fp32": row["steady_ms"] / fp32["steady_ms"]}
        ordered.append({**row, **times})
    return ordered


def _form(row: dict[str, Any]) -> str:
    if not row["lowered"]:
        return "plain"
    return f"lowered, {row['form']}" if row["form"] else "lowered"


def _measure(device: Device, network: AnyNetwork, attempts: int, strict: bool) -> Latency:
    latency = measure_quietly(device, network, attempts)
    if strict:
        refuse_noise(latency, network.name)
    return latency


def _print(rows: list[dict[str, Any]]) -> None:
    first = rows[0]
    compared = any("times_fp32" in row for row in rows)
    columns: dict[str, Callable[[dict[str, Any]], str]] = {
        "network": lambda row: row["name"],
        "form": _form,
        "precision": lambda row: row["precision"],
        "median (ms)": lambda row: f"{row['median_ms']:.2f}",
        "95% CI (ms)": lambda row: f"{row['low_ms']:.2f} to {row['high_ms']:.2f}",
        "p10 to p90 (ms)": lambda row: f"{row['p10_ms']:.2f} to {row['p90_ms']:.2f}",
        "steady (ms)": lambda row: f"{row['steady_ms']:.2f}",
        "int8 / fp32": lambda row: f"{row['times_fp32']:.2f}" if "times_fp32" in row else "",
        "runs": lambda row: str(row["n"]),
        "": lambda row: "noisy" if row["noise"] else "",
    }
    if not compared:
        del columns["precision"], columns["int8 / fp32"]
    precision = "" if compared else f", {first['precision']}"
    cli.print_table(
        "Latency",
        list(columns),
        [[cell(row) for cell in columns.values()] for row in rows],
        f"{first['device']}, {first['runtime']}, {first['machine']}, "
        f"{number_of(first['threads'], 'thread')}, "
        f"batch {first['batch']}{precision}{pause_text(first)}; steady: median at the machine's "
        "usual speed",
    )


if __name__ == "__main__":
    cli.run(app)
