"""``python -m nas.device``: learn to predict a device's latency; make this machine a device."""

from __future__ import annotations

import dataclasses
import ipaddress
import logging
import os
import random
import secrets
import socket
import ssl
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas import cli
from nas.errors import MixnasError
from nas.latency.runtimes import EXAMPLES
from nas.latency.token import TOKEN, can_be_token

if TYPE_CHECKING:
    from nas.latency.agent.messages import JobLimits

app = cli.new_app(
    "Learn to predict the latency of a device, or make this machine one that others measure on."
)
SHORTEST_TOKEN = 16
_MAKE_ONE = "python -c 'import secrets; print(secrets.token_urlsafe(32))'"


@app.callback()
def device() -> None:
    """Learn to predict the latency of a device, or make this machine one for others."""


@app.command()
def serve(
    device: Annotated[
        str, typer.Option(help="What measures: an execution provider of ONNX Runtime.")
    ] = "onnxruntime:cpu",
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 is every one of the machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 7070,
    token_file: Annotated[
        Path | None,
        typer.Option(help=f"File with the token. [{TOKEN}, or a new one, printed once]"),
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key, PEM.")] = None,
    max_megabytes: Annotated[float, typer.Option(min=0.001, help="Of a model.")] = 256,
    max_seconds: Annotated[float, typer.Option(min=1, max=86_400, help="Of a measurement.")] = 120,
    max_memory: Annotated[
        int | None,
        typer.Option(min=64, help="Megabytes of a measurement. [three quarters of the machine's]"),
    ] = None,
) -> None:
    """Measure the ONNX models that others send, one at a time, until Ctrl-C.

    From the desk: MIXNAS_TOKEN=... python -m nas.measure mixnet_s --device http://HOST:PORT
    """
    import psutil

    from nas.latency.agent.messages import MEGABYTE, JobLimits

    if sys.platform == "win32":
        raise MixnasError("the agent needs Linux or macOS; on Windows run it in WSL")
    _check_tls(tls_cert, tls_key)
    token = _token(token_file)
    limits = JobLimits(
        body_bytes=round(max_megabytes * MEGABYTE),
        receive_seconds=max_seconds,
        seconds=max_seconds,
        profile_seconds=15 * max_seconds,
        memory_bytes=max_memory * MEGABYTE
        if max_memory
        else psutil.virtual_memory().total * 3 // 4,
    )
    about = _check_device(device, limits)
    with _listen(host, port) as listener:
        _greet(listener, about, token, tls_cert is not None)
        _serve(device, token.text, limits, listener, tls_cert, tls_key)


@app.command()
def fit(
    space: Annotated[
        str, typer.Option(help="Name of a space, or path of its YAML file.")
    ] = "mixnet",
    device: Annotated[str, typer.Option(help=f"As in {EXAMPLES}.")] = "onnxruntime:cpu",
    networks: Annotated[int, typer.Option(min=10, max=10_000, help="To learn from.")] = 100,
    checks: Annotated[
        int, typer.Option(min=5, max=10_000, help="Fresh networks to check with.")
    ] = 30,
    budget: Annotated[str | None, typer.Option(help="MAdds of the networks, as 400M.")] = None,
    limit: Annotated[
        list[str] | None, typer.Option(help="Another limit, as params=5M; may be repeated.")
    ] = None,
    threads: cli.Threads = None,
    batch: cli.Batch = 1,
    precision: cli.Precision = "fp32",
    plain: Annotated[bool, typer.Option("--plain", help="Of the trained form.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the networks drawn.")] = 0,
    json: Annotated[bool, typer.Option("--json", help=cli.JSON_HELP)] = False,
) -> None:
    """Make a latency predictor for a device: measure networks of a space, fit, check, keep.

    Searches of the space on the device then predict latency in the loop and measure the front at
    the end. They run with all cores, batch 1 and fp32; a predictor made under other conditions is
    for your own use.
    """
    from nas.latency import open_device
    from nas.latency.conditions import measurement_settings
    from nas.latency.prediction.fitting import fit_predictor
    from nas.limits import parse_limits, with_budget
    from nas.space import load_space

    settings = measurement_settings(threads, batch, precision, not plain)
    limits, opened = parse_limits(with_budget(budget, limit)), load_space(space)
    target, console = open_device(device, settings), cli.error_console()
    with cli.progress_bar(console, f"examining {device}") as step:
        target.prepare(step)
    with cli.progress_bar(console, "measuring networks") as step:
        predictor = fit_predictor(
            target, opened, networks, random.Random(seed), limits, step, checks
        )
    path = predictor.save()
    card = predictor.card
    assert card is not None
    if json:
        cli.print_json(
            {
                "path": str(path),
                "space": opened.name,
                "conditions": dataclasses.asdict(predictor.conditions),
                "networks": networks,
                **dataclasses.asdict(card),
            }
        )
        return
    band = "-" if card.spearman_in_band is None else f"{card.spearman_in_band:.3f}"
    cli.print_table(
        f"Error card: latency of '{opened.name}' on {device}, {card.n} fresh networks",
        ["within 5%", "within 10%", "mean error", "Spearman", "in a 5% band of MAdds"],
        [
            [
                f"{card.within_5:.0%}",
                f"{card.within_10:.0%}",
                f"{card.mean_error:.1%}",
                "-" if card.spearman is None else f"{card.spearman:.3f}",
                f"{band} ({card.n_in_band} networks)",
            ]
        ],
    )
    print(f"predictor: {path}")


@app.command()
def examine(
    device: Annotated[str, typer.Option(help=f"As in {EXAMPLES}.")] = "onnxruntime:cpu",
    threads: cli.Threads = None,
    batch: cli.Batch = 1,
    precision: cli.Precision = "fp32",
    plain: Annotated[bool, typer.Option("--plain", help="For networks as trained.")] = False,
) -> None:
    """Find out again a device's usual speed and its fastest forms of layers.

    They are found out once and kept; do it again when the machine was busy then. Predictors are
    to be made again afterwards.
    """
    from nas.latency import LocalDevice
    from nas.latency.conditions import measurement_settings

    if device.startswith("http"):
        raise MixnasError(f"{device} examines itself; run this command there")
    settings = measurement_settings(threads, batch, precision, not plain)
    with cli.progress_bar(cli.error_console(), f"examining {device}") as step:
        profile = LocalDevice(device, settings).examine(step)
    print(f"the reference network takes {profile.reference_ms:.2f} ms")
    for finding in profile.findings:
        layer = finding.layer
        print(
            f"{layer.kind} {layer.kernel}x{layer.kernel}, {layer.channels} channels at "
            f"{layer.size}x{layer.size}, stride {layer.stride}: {finding.best}"
        )


class _Token:
    def __init__(self, text: str, new: bool) -> None:
        self.text = text
        self.new = new


def _token(path: Path | None) -> _Token:
    """Read the token, or make one.

    Raises:
        MixnasError: when it is too short to be a secret.
    """
    if path is None and not os.environ.get(TOKEN):
        return _Token(secrets.token_urlsafe(32), new=True)
    source = f"the environment variable {TOKEN}" if path is None else str(path)
    try:
        text = (os.environ[TOKEN] if path is None else path.read_text(encoding="utf-8")).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise MixnasError(f"{path}: the token cannot be read ({error})") from None
    if len(text) < SHORTEST_TOKEN or not can_be_token(text):
        raise MixnasError(
            f"{source}: a token is {SHORTEST_TOKEN} or more ASCII characters without blanks; "
            f"make one with {_MAKE_ONE}"
        )
    if path is not None and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        print(f"warning: others on this machine can read {path}; chmod 600 it", file=sys.stderr)
    return _Token(text, new=False)


def _check_tls(certificate: Path | None, key: Path | None) -> None:
    if (certificate is None) != (key is None):
        raise MixnasError("TLS needs both --tls-cert and --tls-key")
    if certificate is not None and key is not None:
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key, password="")
        except (OSError, ValueError) as error:  # SSLError is an OSError
            raise MixnasError(
                f"{certificate} and {key} are no certificate with its key, as unencrypted PEM "
                f"({error})"
            ) from None


def _check_device(device: str, limits: JobLimits) -> str:
    """Return what the device is, in words.

    Raises:
        MixnasError: when there is no such device, or it runs no ONNX models.
    """
    import asyncio
    import tempfile

    from nas.latency.agent.child import run_worker
    from nas.latency.agent.messages import JobSpec

    if not device.startswith("onnxruntime:"):
        raise MixnasError(f"an agent runs ONNX models; '{device}' is no onnxruntime:PROVIDER")
    with tempfile.TemporaryDirectory(prefix="mixnas-") as folder:
        result = asyncio.run(run_worker(JobSpec("conditions", device), Path(folder), limits))
    if result.answer is None:
        raise MixnasError(result.failure or "the device does not answer")
    known = result.answer
    return f"{device} ({known['runtime']}, {known['machine']}, {known['threads']} threads)"


def _listen(host: str, port: int) -> socket.socket:
    """Bind the address and listen.

    Raises:
        MixnasError: when it is taken, or not this machine's.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen()  # from here on, who connects is not refused but waits a moment
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise MixnasError(
            f"cannot listen on {host} port {port} ({error.strerror}); choose another --host or "
            "--port"
        ) from None
    return listener


def _greet(listener: socket.socket, about: str, token: _Token, tls: bool) -> None:
    address, port = listener.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    print(f"serving {about} on http{'s' if tls else ''}://{shown}:{port}; Ctrl-C ends it")
    if token.new:
        print(f"the token, shown this once: {token.text}")
    if not tls and not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
        print(
            "warning: without TLS the token travels in the clear; use --tls-cert and --tls-key, "
            "or a network that you trust",
            file=sys.stderr,
        )
    sys.stdout.flush()


def _serve(
    device: str,
    token: str,
    limits: JobLimits,
    listener: socket.socket,
    certificate: Path | None,
    key: Path | None,
) -> None:
    from nas.latency.agent.run import run_server

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    run_server(device, token, limits, listener, certificate, key)


if __name__ == "__main__":
    cli.run(app)
