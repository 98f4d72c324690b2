"""What the agent needs before it serves: its runtimes, its token and its certificate."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import secrets
import socket
import ssl
import stat
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nas.errors import MixnasError
from nas.imports import is_complete
from nas.latency.agent.accepted import ACCEPTED
from nas.latency.agent.child import run_worker
from nas.latency.agent.messages import JobLimits, JobSpec, ServedRuntime
from nas.latency.runtimes import FAMILIES
from nas.latency.token import TOKEN, can_be_token
from nas.units import number_of

SHORTEST_TOKEN = 16  # characters
_MAKE_ONE = "python -c 'import secrets; print(secrets.token_urlsafe(32))'"


# -- runtimes --------------------------------------------------------------------------------------


def find_runtimes(names: Sequence[str], limits: JobLimits) -> list[ServedRuntime]:
    """Return the runtimes to serve, each of which has been started once.

    Args:
        names: Names of runtimes on this machine, such as ``litert:cpu``; none for all that are
            installed. One that is installed but does not start is told on standard error then.
        limits: Limits on the cost of starting one.

    Raises:
        MixnasError: If a runtime that is named takes no models or does not start, or if none is
            left.
    """
    if names:
        return [_started(name, limits) for name in dict.fromkeys(names)]
    found: list[ServedRuntime] = []
    for name in servable():
        if not is_complete(FAMILIES[name.partition(":")[0]].extra):
            continue
        try:
            found.append(_started(name, limits))
        except MixnasError as error:
            print(f"note: {name} is not served: {error}", file=sys.stderr)
    if not found:
        extras = " or ".join(
            f"'mixnas[agent,{FAMILIES[name.partition(':')[0]].extra}]'" for name in servable()
        )
        raise MixnasError(
            f"there is no runtime to serve; install one or more with pip install {extras}"
        )
    return found


def servable() -> list[str]:
    """Return the names of the runtimes that take models, whether or not they are installed."""
    families = [family for family in FAMILIES.values() if family.model_format in ACCEPTED]
    return [name for family in families for name in family.examples]


def _started(name: str, limits: JobLimits) -> ServedRuntime:
    """Start a runtime in a process of its own and return what it says of itself.

    Raises:
        MixnasError: If it does not exist, is not installed, or takes no models.
    """
    family = FAMILIES.get(name.partition(":")[0])
    if family is not None and family.model_format not in ACCEPTED:
        raise MixnasError(
            f"device '{name}' cannot be served, because it takes no models from other machines; "
            f"choose among {', '.join(servable())}"
        )
    with tempfile.TemporaryDirectory(prefix="mixnas-") as folder:
        result = asyncio.run(run_worker(JobSpec("conditions", name), Path(folder), limits))
    if result.answer is None or family is None or family.model_format is None:
        raise MixnasError(result.failure or f"device '{name}' does not answer")
    conditions = result.answer
    return ServedRuntime(
        device=name,
        model_format=family.model_format,
        version=conditions["runtime"],
        machine=conditions["machine"],
        threads=conditions["threads"],
    )


# -- the token and the certificate -----------------------------------------------------------------


@dataclass(frozen=True)
class AgentToken:
    """The agent's token, and whether it was just created."""

    text: str
    new: bool


def load_token(path: Path | None) -> AgentToken:
    """Read the token from a file or the environment, or create one.

    Raises:
        MixnasError: If the token cannot be read, is too short or has characters that a header
            cannot carry.
    """
    if path is None and not os.environ.get(TOKEN):
        return AgentToken(secrets.token_urlsafe(32), new=True)
    source = f"the environment variable {TOKEN}" if path is None else str(path)
    try:
        text = (os.environ[TOKEN] if path is None else path.read_text(encoding="utf-8")).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise MixnasError(f"{path}: the token cannot be read ({error})") from None
    if len(text) < SHORTEST_TOKEN or not can_be_token(text):
        raise MixnasError(
            f"{source}: a token needs {SHORTEST_TOKEN} or more ASCII characters without spaces; "
            f"create one with {_MAKE_ONE}"
        )
    if path is not None and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        print(
            f"warning: other users of this machine can read {path}; run chmod 600 on it",
            file=sys.stderr,
        )
    return AgentToken(text, new=False)


def check_tls(certificate: Path | None, key: Path | None) -> None:
    """Check a certificate chain and its private key; None for both if there is no TLS.

    Raises:
        MixnasError: If only one is given, or they do not belong together.
    """
    if (certificate is None) != (key is None):
        raise MixnasError("TLS needs both --tls-cert and --tls-key; give both or neither")
    if certificate is not None and key is not None:
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key, password="")
        except (OSError, ValueError) as error:  # SSLError is an OSError
            raise MixnasError(
                f"{certificate} and {key} are not a certificate and its private key as unencrypted "
                f"PEM files ({error})"
            ) from None


def print_greeting(
    listener: socket.socket, runtimes: Sequence[ServedRuntime], token: AgentToken, *, tls: bool
) -> None:
    """Tell what is served where, and a token that nobody knows yet."""
    address, port = listener.getsockname()[:2]
    host = f"[{address}]" if ":" in address else address
    served = ", ".join(
        f"{runtime.device} ({runtime.version}, {number_of(runtime.threads, 'thread')})"
        for runtime in runtimes
    )
    print(f"serving {served} on http{'s' if tls else ''}://{host}:{port}; Ctrl-C to stop")
    if token.new:
        print(f"token (not shown again): {token.text}")
    if not tls and not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
        print(
            "warning: without TLS the token is sent unencrypted; use --tls-cert and --tls-key, or "
            "serve only on a network that you trust",
            file=sys.stderr,
        )
    sys.stdout.flush()
