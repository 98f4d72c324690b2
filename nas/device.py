"""``python -m nas.device``: examine devices, fit latency predictors, and serve this machine."""

from __future__ import annotations

import dataclasses
import logging
import random
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas import cli, defaults
from nas.errors import MixnasError
from nas.latency.runtimes import EXAMPLES
from nas.latency.token import TOKEN
from nas.units import number_of

if TYPE_CHECKING:
    from nas.latency.agent.messages import ServedRuntimes
    from nas.latency.conditions import MeasurementSettings
    from nas.latency.prediction.predictor import ErrorCard
    from nas.latency.profile import DeviceProfile

app = cli.new_app(
    "Examine a device, fit a latency predictor for it, or serve this machine as a device for "
    "other machines."
)


@app.callback()
def device() -> None:
    """Examine a device, fit a latency predictor, or serve this machine as a device."""


@app.command()
def serve(
    device: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DEVICE",
            help="Runtime to serve, such as litert:cpu; may be repeated. Clients that name none "
            "get the first one. [all that are installed]",
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(metavar="ADDRESS", help="Address to listen on; 0.0.0.0 for all interfaces."),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(min=0, max=65535, metavar="PORT", help="Port to listen on; 0 for a free one."),
    ] = 7070,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"File with the token. [the environment variable {TOKEN}, or a new token, "
            "printed once]",
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificate chain for TLS, as a PEM file.")
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Private key of the certificate, as a PEM file."),
    ] = None,
    max_megabytes: Annotated[
        float, typer.Option(min=0.001, metavar="MB", help="Maximum size of a model, in megabytes.")
    ] = 256,
    max_seconds: Annotated[
        float,
        typer.Option(
            min=1, max=86_400, metavar="SECONDS", help="Time limit for a measurement, in seconds."
        ),
    ] = 120,
    max_memory: Annotated[
        int | None,
        typer.Option(
            min=64,
            metavar="MB",
            help="Memory limit for a measurement, in megabytes (Linux). "
            "[three quarters of the machine's memory]",
        ),
    ] = None,
) -> None:
    """Measure models sent by other machines, one at a time, until Ctrl-C.

    On the other machine, run MIXNAS_TOKEN=... python -m nas.measure mixnet_s --device http://HOST:PORT
    or --device http://HOST:PORT/litert:cpu.
    """
    from nas.latency.agent import startup
    from nas.latency.agent.messages import MEGABYTE, JobLimits
    from nas.latency.agent.run import listen, run_server  # fails before anything is promised
    from nas.machine import usable_memory

    if sys.platform == "win32":
        raise MixnasError("the device agent needs Linux or macOS; on Windows, run it in WSL")
    startup.check_tls(tls_cert, tls_key)
    token = startup.load_token(token_file)
    limits = JobLimits(
        body_bytes=round(max_megabytes * MEGABYTE),
        receive_seconds=max_seconds,
        seconds=max_seconds,
        profile_seconds=15 * max_seconds,
        memory_bytes=max_memory * MEGABYTE if max_memory else usable_memory() * 3 // 4,
    )
    runtimes = startup.find_runtimes(device or [], limits)
    with listen(host, port) as listener:
        startup.print_greeting(listener, runtimes, token, tls=tls_cert is not None)
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
        run_server(
            runtimes=runtimes,
            token=token.text,
            limits=limits,
            listener=listener,
            certificate=tls_cert,
            key=tls_key,
        )


@app.command()
def fit(
    space: Annotated[
        str,
        typer.Option(
            metavar="SPACE", help="Name of a space, path of its YAML file, or around:NETWORK."
        ),
    ] = defaults.SPACE,
    device: Annotated[
        str,
        typer.Option(metavar="DEVICE", help=f"Device to measure latency on, such as {EXAMPLES}."),
    ] = defaults.DEVICE,
    networks: Annotated[
        int,
        typer.Option(min=10, max=10_000, metavar="N", help="Number of networks for the fit."),
    ] = 100,
    checks: Annotated[
        int,
        typer.Option(min=5, max=10_000, metavar="N", help="Number of networks for validation."),
    ] = 30,
    budget: Annotated[
        str | None,
        typer.Option(metavar="RANGE", help="Limit on the MAdds of the networks, such as 400M."),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC=RANGE",
            help="Limit on another cost, such as params=5M, but not on latency; may be repeated.",
        ),
    ] = None,
    threads: cli.Threads = None,
    batch: cli.Batch = 1,
    precision: cli.Precision = "fp32",
    interval: cli.Interval = "0ms",
    plain: Annotated[
        bool, typer.Option("--plain", help="Measure the form as trained, not the lowered form.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Random seed.")] = 0,
    json: Annotated[bool, typer.Option("--json", help=cli.JSON_HELP)] = False,
) -> None:
    """Fit a latency predictor for a device: measure networks of a space, fit, validate and save.

    Searches of the space on the device then predict the latency of each candidate and measure the
    Pareto front at the end. Give them the same conditions: --threads and --batch are called
    --device-threads and --device-batch there. Searches measure the lowered form in fp32; predictors
    of others can only be used from Python. After an interruption, the same command continues with
    the measurements made so far.
    """
    from nas.latency import open_device
    from nas.latency.conditions import measurement_settings
    from nas.latency.prediction.fitting import fit_predictor
    from nas.latency.prediction.kept import KeptLatencies
    from nas.latency.prediction.predictor import space_digest
    from nas.limits import parse_limits, with_budget
    from nas.space import load_space

    settings = measurement_settings(threads, batch, precision, not plain, interval)
    limits, opened_space = parse_limits(with_budget(budget, limit)), load_space(space)
    opened_device, console = open_device(device, settings), cli.error_console()
    with cli.examining(console, device) as step:
        opened_device.prepare(step)
    kept = KeptLatencies(opened_device, space_digest(opened_space))
    with cli.progress_bar(console, "measuring networks") as step:
        predictor = fit_predictor(
            device=opened_device,
            space=opened_space,
            number=networks,
            rng=random.Random(seed),
            limits=limits,
            step=step,
            checks=checks,
            kept=kept,
        )
    path = predictor.save()
    kept.clear()
    card, learned = predictor.card, len(predictor.observations)
    low, high = predictor.range_ms
    assert card is not None
    if json:
        cli.print_json(
            {
                "path": str(path),
                "space": opened_space.name,
                "conditions": dataclasses.asdict(predictor.conditions),
                "networks": learned,
                "range_ms": [low, high],
                **dataclasses.asdict(card),
            }
        )
    else:
        _print_card(card, f"latency of '{opened_space.name}' on {device}")
        print(f"fitted to {number_of(learned, 'network')} of {low:.2f} to {high:.2f} ms")
        cli.print_text(f"predictor: {path}")


def _print_card(card: ErrorCard, subject: str) -> None:
    in_band = "-" if card.spearman_in_band is None else f"{card.spearman_in_band:.3f}"
    cli.print_table(
        f"Error card: {subject}, {number_of(card.n, 'network')} that the predictor was not "
        "fitted to",
        ["within 5%", "within 10%", "mean error", "Spearman", "Spearman in 5% band of MAdds"],
        [
            [
                f"{card.within_5:.0%}",
                f"{card.within_10:.0%}",
                f"{card.mean_error:.1%}",
                "-" if card.spearman is None else f"{card.spearman:.3f}",
                f"{in_band} ({number_of(card.n_in_band, 'network')})",
            ]
        ],
    )


@app.command()
def examine(
    device: Annotated[
        str, typer.Option(metavar="DEVICE", help="Device to examine, such as onnxruntime:cpu.")
    ] = defaults.DEVICE,
    threads: cli.Threads = None,
    batch: cli.Batch = 1,
    precision: cli.Precision = "fp32",
    interval: cli.Interval = "0ms",
    plain: Annotated[
        bool, typer.Option("--plain", help="Examine the form as trained, not the lowered form.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help=cli.JSON_HELP)] = False,
) -> None:
    """Remeasure a device's usual speed and the layer forms that are fastest on it.

    This is done automatically on first use, and the result is saved. Repeat it if the machine was
    busy at the time. Latency predictors must be refitted afterwards. Of an agent's address, the
    runtimes that it serves are shown, and what it found when it examined itself; a device of your
    own (MODULE:NAME) is prepared, and tells what it knows of itself.
    """
    from nas.latency import LocalDevice, open_device
    from nas.latency.conditions import measurement_settings
    from nas.latency.examination import describe
    from nas.latency.tuning import cliff

    settings = measurement_settings(threads, batch, precision, not plain, interval)
    if device.startswith(("http://", "https://")):
        profile = _examined_elsewhere(device, settings, show=not json)
    else:
        opened = open_device(device, settings)
        with cli.examining(cli.error_console(), device) as step:
            if isinstance(opened, LocalDevice):
                opened.examine(step)
            else:
                opened.prepare(step)
        profile = opened.profile
    if json:
        cli.print_json({**asdict(profile), "depthwise_cliff": cliff(profile.depthwise_ms)})
        return
    for line in describe(profile):
        print(line)


def _examined_elsewhere(address: str, settings: MeasurementSettings, show: bool) -> DeviceProfile:
    """Show what an agent serves, and return what it found when it examined itself."""
    from nas.latency.remote.device import RemoteDevice  # needs httpx, which no agent needs

    device = RemoteDevice(address, settings)
    if show:
        _print_runtimes(address, device.served())
    with cli.examining(cli.error_console(), address) as step:
        device.prepare(step)
    runtime = device.profile.conditions.device
    if show:
        print(f"as the agent examined {runtime}; python -m nas.device examine there does it again")
    return device.profile


def _print_runtimes(address: str, served: ServedRuntimes) -> None:
    memory = "" if served.memory_bytes is None else f", {served.memory_bytes / 1e6:,.0f} MB"
    cli.print_table(
        f"Runtimes of the agent at {address}",
        ["runtime", "models", "version", "machine", "threads"],
        [
            [
                runtime.device,
                runtime.model_format,
                runtime.version,
                runtime.machine,
                str(runtime.threads),
            ]
            for runtime in served.runtimes
        ],
        f"limits: models of {served.body_bytes / 1e6:,g} MB, {served.seconds:g} s for a "
        f"measurement{memory}",
    )


if __name__ == "__main__":
    cli.run(app)
