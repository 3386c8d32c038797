"""One POST: what is sent, what is read of the answer, and for how long."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from svcjobs.errors import DeadLetter, WebhookFailed
from svcjobs.extras import extra
from svcjobs.webhooks.connections import Connections
from svcjobs.webhooks.destinations import Destinations, ForbiddenDestination
from svcjobs.webhooks.limits import DeliveryLimits

with extra("webhooks", "httpx"):
    import httpx

import httpcore

FOLLOWED = (307, 308)
BODY_SECONDS = 1.0
"""The body is read for the connection's sake only; a new one is cheaper than a long wait."""

_BROKEN = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError, UnicodeError)


@dataclass(frozen=True, slots=True)
class Answer:
    """A receiver's answer.

    Args:
        status: of HTTP.
        retry_after: the header of that name, or nothing.
        location: the header of that name, or nothing.
    """

    status: int
    retry_after: str
    location: str


class Posting:
    """Sends bodies to URLs.

    On httpx's transport and not on its client: that one logs whole URLs, in which many webhooks carry a secret.

    Args:
        limits: of each POST.
        destinations: where they may go.
        tls: how servers are verified; None trusts the public authorities.
    """

    def __init__(self, limits: DeliveryLimits, destinations: Destinations, tls: ssl.SSLContext | None) -> None:
        self._limits = limits
        self._connections = Connections(destinations, tls)
        self._timeout = {
            "connect": limits.connect_seconds,
            "read": limits.silence_seconds,
            "write": limits.silence_seconds,
            "pool": limits.total_seconds,
        }

    async def post(self, url: httpx.URL, headers: Mapping[str, str], body: bytes, what: str) -> Answer:
        """The answer to ``body``, after redirects where they are followed.

        Args:
            url: of the receiver; ``user:password@`` becomes basic authentication.
            headers: sent with it.
            body: sent as it is.
            what: it is, for errors.

        Raises:
            WebhookFailed: there was no answer, or too many redirects.
            DeadLetter: the host is at a forbidden address, or a redirect leads to what is no URL for webhooks.
        """
        deadline = asyncio.get_running_loop().time() + self._limits.total_seconds
        try:
            return await self._follow(url, headers, body, what, deadline)
        except TimeoutError:
            raise WebhookFailed(f"{what}: no answer within {self._limits.total_seconds:g} s") from None
        except ForbiddenDestination as error:
            raise DeadLetter(f"{what}: {error}", reason="forbidden_address") from None
        except _BROKEN as error:
            # from None: what it says may hold headers or the URL
            raise WebhookFailed(f"{what}: {_public(error)}") from None

    async def _follow(
        self, url: httpx.URL, headers: Mapping[str, str], body: bytes, what: str, deadline: float
    ) -> Answer:
        for left in range(self._limits.redirects, -1, -1):
            answer = await self._once(url, headers, body, deadline)
            if answer.status not in FOLLOWED or not self._limits.redirects:
                return answer
            if left:
                url = _next_url(url, answer.location, what)
        raise WebhookFailed(f"{what}: more than {self._limits.redirects} redirects", answer.status)

    async def _once(self, url: httpx.URL, headers: Mapping[str, str], body: bytes, deadline: float) -> Answer:
        pool = self._connections.pool()
        async with asyncio.timeout_at(deadline):
            response = await pool.handle_async_request(self._request(url, headers, body))
        try:
            # the status has come: what becomes of the rest changes nothing
            with contextlib.suppress(*_BROKEN):
                async with asyncio.timeout(BODY_SECONDS):
                    await self._read(response)
        finally:
            await response.aclose()
        return Answer(response.status, _header(response, b"retry-after"), _header(response, b"location"))

    def _request(self, url: httpx.URL, headers: Mapping[str, str], body: bytes) -> httpcore.Request:
        made = httpx.Request("POST", url, headers=dict(headers), content=body)
        if url.userinfo:
            credentials = f"{url.username}:{url.password}".encode()
            made.headers["Authorization"] = "Basic " + base64.b64encode(credentials).decode("ascii")
        return httpcore.Request(
            made.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=made.headers.raw,
            content=body,
            extensions={"timeout": self._timeout},
        )

    async def _read(self, response: httpcore.Response) -> None:
        size = 0
        async for chunk in response.aiter_stream():
            size += len(chunk)
            if size > self._limits.body_bytes:
                return


def checked_url(text: object) -> httpx.URL | None:
    """The URL, when it is an absolute one that webhooks can go to."""
    try:
        url = httpx.URL(text)  # type: ignore[arg-type]  # what is no text is a TypeError
    except (httpx.InvalidURL, TypeError):
        return None
    return url if url.scheme in ("http", "https") and url.host else None


def origin(url: httpx.URL) -> str:
    """As much of the URL as may be told: scheme, host and port."""
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{url.scheme}://{host}" + (f":{url.port}" if url.port else "")


def _next_url(url: httpx.URL, location: str, what: str) -> httpx.URL:
    try:
        found = checked_url(url.join(location)) if location else None
    except httpx.InvalidURL:
        found = None
    if found is None:
        raise DeadLetter(f"{what}: redirected to what is no http:// or https:// URL", reason="invalid_url")
    if url.scheme == "https" and found.scheme == "http":
        raise DeadLetter(f"{what}: redirected from https to http, which everybody could read", reason="invalid_url")
    return found


def _header(response: httpcore.Response, name: bytes) -> str:
    found = (value for key, value in response.headers if key.lower() == name)
    return next(found, b"").decode("latin-1")


def _public(error: Exception) -> str:
    name = type(error).__name__
    # these say why there is no connection, such as a certificate that doesn't fit, and can't say more
    return f"{name}: {error}" if isinstance(error, httpcore.ConnectError) else name
