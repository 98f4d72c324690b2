"""``python -m nas.measure``: measure the latency of networks on a device."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nas import cli, defaults
from nas.latency import EXAMPLES, Device, Latency, measure_quietly, open_device
from nas.latency.conditions import measurement_settings
from nas.latency.device import refuse_noise
from nas.spec import NetworkSpec, load_network
from nas.units import number_of

app = cli.new_app()


@app.command()
def measure(
    networks: Annotated[
        list[str], typer.Argument(help="Names of reference networks, or paths of spec files.")
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
    resolution: Annotated[
        int | None,
        typer.Option(
            min=8,
            max=2048,
            metavar="PIXELS",
            help="Side length of the images in pixels. [the network's own]",
        ),
    ] = None,
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
    alternate with those of a reference network, which shows whether the machine is quiet.
    """
    forms = [True, False] if both else [not plain]
    settings = [
        measurement_settings(threads, batch, precision, lowered, interval) for lowered in forms
    ]
    specs = [load_network(name).at(resolution) for name in networks]
    console = cli.error_console()
    rows: list[dict[str, Any]] = []
    for form_settings in settings:
        opened = open_device(device, form_settings)
        with cli.progress_bar(console, f"examining {device}") as step:
            opened.prepare(step)
        for spec in specs:
            latency = _measure(opened, spec, attempts, strict)
            rows.append({"name": spec.name, **latency.to_dict()})
            if not json:
                for remark in latency.noise:
                    console.print(f"warning: {spec.name}: {remark}", style="yellow", soft_wrap=True)
    if json:
        cli.print_json(rows)
    else:
        _print(rows)


def _measure(device: Device, spec: NetworkSpec, attempts: int, strict: bool) -> Latency:
    latency = measure_quietly(device, spec, attempts)
    if strict:
        refuse_noise(latency, spec.name)
    return latency


def _print(rows: list[dict[str, Any]]) -> None:
    first = rows[0]
    interval = first["interval_ms"]
    pauses = f", a pause of {interval:g} ms before each run" if interval else ""
    cli.print_table(
        "Latency",
        [
            "network",
            "form",
            "median (ms)",
            "95% CI (ms)",
            "p10 to p90 (ms)",
            "steady (ms)",
            "runs",
            "",
        ],
        [
            [
                row["name"],
                "lowered" if row["lowered"] else "plain",
                f"{row['median_ms']:.2f}",
                f"{row['low_ms']:.2f} to {row['high_ms']:.2f}",
                f"{row['p10_ms']:.2f} to {row['p90_ms']:.2f}",
                f"{row['steady_ms']:.2f}",
                str(row["n"]),
                "noisy" if row["noise"] else "",
            ]
            for row in rows
        ],
        f"{first['device']}, {first['runtime']}, {first['machine']}, "
        f"{number_of(first['threads'], 'thread')}, "
        f"batch {first['batch']}, {first['precision']}{pauses}; steady: median at the machine's "
        "usual speed",
    )


if __name__ == "__main__":
    cli.run(app)
