"""The HTTP client of a device agent: it retries requests and explains errors in plain words."""

from __future__ import annotations

import json
import os
import random
import re
import ssl
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import httpx

from nas import __version__
from nas.errors import MixnasError, UnrunnableError
from nas.latency.runtimes import FAMILIES
from nas.latency.token import TOKEN, TOKEN_FILE, can_be_token

CA_FILE = "MIXNAS_CA_FILE"
_FIRST_PATIENCE = 8.0  # seconds for an address that has never answered, which is probably wrong
_BUSY_PATIENCE = 900.0  # seconds for an agent that is measuring for another client
_LONGEST_DELAY = 8.0  # seconds between two attempts
_ANSWER_BYTES = 4_000_000
_TIMEOUT = httpx.Timeout(connect=5.0, read=40.0, write=60.0, pool=5.0)
_EXPECTED = (200, 202, 404)
_AWAY = (0, 502, 503, 504)  # 0: the connection failed


@dataclass(frozen=True)
class AgentResponse:
    """An agent's answer.

    Attributes:
        status: HTTP status; 0 if the connection failed.
        content: Body of the answer, or the reason why the connection failed.
        retry_after: Seconds to wait before the next request, as the agent asked for.
    """

    status: int
    content: bytes
    retry_after: float = 0.0

    @property
    def detail(self) -> str:
        """The reason that the agent gives, in printable characters."""
        try:
            detail = json.loads(self.content)["detail"]
        except (ValueError, KeyError, TypeError):
            return "no reason given"
        return "".join(c for c in str(detail) if c.isprintable())[:500]


class AgentClient:
    """Sends requests to one agent."""

    def __init__(self, url: str, token: str | None, ca_file: str | None, patience: float) -> None:
        """Create the client; the arguments are those of `RemoteDevice`.

        No request goes anywhere else: redirects are not followed.

        Raises:
            MixnasError: If the address, the token or the certificate file is not usable.
        """
        self._url = url
        self._patience = patience
        self._answered = False
        address = _checked_url(url)
        self._client = httpx.Client(
            base_url=address,
            headers={
                "Authorization": f"Bearer {_checked_token(token, address)}",
                "Accept-Encoding": "identity",  # so that the size limit holds for the raw answer
                "User-Agent": f"mixnas/{__version__}",
            },
            verify=_trusted(ca_file),
            timeout=_TIMEOUT,
        )
        weakref.finalize(self, self._client.close)

    def ask(
        self, method: str, path: str, params: dict[str, Any], content: bytes | None = None
    ) -> AgentResponse:
        """Send a request, and retry while the agent is unreachable or busy.

        Args:
            method: HTTP method.
            path: Path below the agent's address.
            params: Query parameters.
            content: Body of the request, if any.

        Returns:
            An answer with status 200, 202 or 404.

        Raises:
            UnrunnableError: If the agent cannot run the network.
            MixnasError: If the agent is unreachable or busy for too long, or rejects the request.
        """
        patience = self._patience if self._answered else min(_FIRST_PATIENCE, self._patience)
        away_since: float | None = None
        busy_since: float | None = None
        delay = 0.5
        while True:
            now = time.monotonic()
            answer = self._once(method, path, params, content)
            if answer.status in _AWAY:
                away_since, busy_since = away_since or now, None
                if time.monotonic() - away_since + delay > patience:
                    raise self._no_answer(answer)
            elif answer.status == 429:
                away_since, busy_since = None, busy_since or now
                if now - busy_since > _BUSY_PATIENCE:
                    raise MixnasError(
                        f"{self._url} has been busy with other clients for "
                        f"{_BUSY_PATIENCE / 60:.0f} minutes; try again later"
                    )
                delay = max(0.5, min(answer.retry_after, _LONGEST_DELAY))
            else:
                self._answered = True
                return answer if answer.status in _EXPECTED else self._raise_refusal(answer)
            # Random jitter keeps several clients from retrying at the same time.
            time.sleep(delay * random.uniform(0.75, 1.25))
            delay = min(2 * delay, _LONGEST_DELAY)

    def _once(
        self, method: str, path: str, params: dict[str, Any], content: bytes | None
    ) -> AgentResponse:
        """Send a request once; a failed connection gives status 0 with the reason as content."""
        headers = {} if content is None else {"Content-Type": "application/octet-stream"}
        body = bytearray()
        try:
            with self._client.stream(
                method, path, params=params, content=content, headers=headers
            ) as response:
                for chunk in response.iter_raw():
                    body += chunk
                    if len(body) > _ANSWER_BYTES:
                        raise MixnasError(
                            f"{self._url} answered with more than {_ANSWER_BYTES:,} bytes; is it a "
                            "mixnas device agent?"
                        )
                after = response.headers.get("Retry-After", "")
                seconds = float(after) if after.isascii() and after.isdigit() else 0.0
                return AgentResponse(response.status_code, bytes(body), seconds)
        except httpx.TransportError as error:
            _raise_if_untrusted(self._url, error)
            reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
            return AgentResponse(0, reason.encode())

    def _raise_refusal(self, answer: AgentResponse) -> NoReturn:
        if answer.status == 401:
            raise MixnasError(
                f"{self._url} rejects the token; set {TOKEN} to the agent's token, or {TOKEN_FILE} "
                "to a file that contains it"
            )
        detail = answer.detail
        if answer.status == 422:
            raise UnrunnableError(f"{self._url} failed: {detail}")
        if answer.status == 413:
            raise UnrunnableError(
                f"{self._url} rejects the network as too large ({detail}); start the agent with a "
                "larger --max-megabytes"
            )
        raise MixnasError(
            f"{self._url} rejects the request with status {answer.status} ({detail}); is it a "
            "mixnas device agent of the same version?"
        )

    def _no_answer(self, answer: AgentResponse) -> MixnasError:
        reason = f"status {answer.status}" if answer.status else answer.content.decode()
        return MixnasError(
            f"{self._url} does not answer ({reason}); check the address, and that `python -m "
            "nas.device serve` is running there with this --host and --port"
        )


def split_address(name: str) -> tuple[str, str | None]:
    """Return an agent's address and the runtime that a device's name adds to it, if any.

    ``http://board:7070/litert:cpu`` names the runtime ``litert:cpu`` of ``http://board:7070``.

    Raises:
        MixnasError: If the name ends with a runtime that lacks its processor.
    """
    _checked_url(name)
    last = urlsplit(name).path.rpartition("/")[2]
    if last in FAMILIES:
        raise MixnasError(f"'{name}' does not name a processor; write {name}:PROCESSOR")
    if ":" not in last:
        return name, None
    return name[: -len(last) - 1], last


def _checked_url(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise MixnasError(f"'{url}' is not an address ({error}); write http://HOST:PORT") from None
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.query:
        raise MixnasError(f"'{url}' is not the address of an agent; write http://HOST:PORT")
    if parsed.userinfo:
        raise MixnasError(f"omit the password from the address; put the token in {TOKEN} instead")
    return parsed


def _is_for(place: str, address: httpx.URL) -> bool:
    """Tell whether ``HOST`` or ``HOST:PORT`` stands for an address."""
    try:
        url = httpx.URL(f"{address.scheme}://{place}")
    except httpx.InvalidURL:
        return False
    default = {"http": 80, "https": 443}.get(address.scheme)
    named = re.search(r":\d+$", place) is not None
    same_port = (url.port or default) == (address.port or default)
    return url.host == address.host and (same_port or not named)


def _checked_token(given: str | None, address: httpx.URL) -> str:
    """Return the token for an agent.

    A token belongs to a host. The environment's may stand behind the host that it is for, in lines
    of ``HOST[:PORT] TOKEN``; it is sent nowhere else then. One that stands alone is for the address
    that the user gives on the command line, which is the only one that a device is opened for.
    """
    text, path = given or os.environ.get(TOKEN), os.environ.get(TOKEN_FILE)
    source = TOKEN
    if not text and path:
        source = path
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise MixnasError(f"{TOKEN_FILE}: {path} cannot be read ({error})") from None
    lines = [line.split() for line in (text or "").splitlines() if line.strip()]
    if not lines:
        raise MixnasError(
            f"a remote device needs its token; set {TOKEN} to the token that `python -m nas.device "
            f"serve` printed there, or {TOKEN_FILE} to a file that contains it"
        )
    if any(len(words) > 2 for words in lines) or (len(lines) > 1 and min(map(len, lines)) < 2):
        raise MixnasError(
            f"{source}: expected a single token, or lines of HOST TOKEN or HOST:PORT TOKEN; a "
            "token consists of ASCII characters without spaces"
        )
    tokens = [words[-1] for words in lines if len(words) == 1 or _is_for(words[0], address)]
    if not tokens:
        raise MixnasError(
            f"{source} has no token for {address.host}; add a line of HOST TOKEN, with the token "
            "that `python -m nas.device serve` printed there"
        )
    if not can_be_token(tokens[0]):
        raise MixnasError(f"{source}: a token consists of ASCII characters without spaces")
    return tokens[0]


def _trusted(ca_file: str | None) -> ssl.SSLContext:
    path = ca_file or os.environ.get(CA_FILE)
    if not path:
        return httpx.create_ssl_context()
    try:
        return ssl.create_default_context(cafile=path)
    except (OSError, ValueError) as error:
        raise MixnasError(f"{CA_FILE}: {path} has no PEM certificates ({error})") from None


def _raise_if_untrusted(url: str, error: httpx.TransportError) -> None:
    """Raise a `MixnasError` if the certificate was rejected, since a retry cannot help."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        reason = str(error).partition("CERTIFICATE_VERIFY_FAILED]")[2].partition(" (_ssl")[0]
        raise MixnasError(
            f"the certificate of {url} is not trusted ({reason.strip()}); set {CA_FILE} to a file "
            "with this certificate or that of its authority"
        ) from None
