"""Who is let in, and which requests may change anything."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from svcjobs.errors import ConfigurationError

Authenticate = Callable[[Request], Response | None]
"""Looks at a request: None lets it in, a response is the answer to it instead."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # no-referrer would make browsers send `Origin: null` with our own forms
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


class Guard:
    """Answers what isn't allowed, and passes on the rest.

    Args:
        app: gets what is allowed.
        authenticate: who is let in.
    """

    def __init__(self, app: ASGIApp, authenticate: Authenticate) -> None:
        self._app = app
        self._authenticate = authenticate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        request = Request(scope)
        refusal = self._authenticate(request) or _refuse_foreign(request)
        await (refusal or self._app)(scope, receive, send_guarded)


def loopback_only(request: Request) -> Response | None:
    """Let in who comes from this machine, by a name of this machine: a foreign name that leads here isn't one.

    What a proxy on this machine passes on is refused where it can be told. A proxy may hide that it is one, so where
    there is one, a password is needed.
    """
    names = ("localhost", "127.0.0.1", "::1")
    # no browser speaks HTTP/1.0, and some proxies do
    forwarded = request.scope.get("http_version") == "1.0" or any(name in request.headers for name in _FORWARDED)
    if request.client and is_loopback(request.client.host) and request.url.hostname in names and not forwarded:
        return None
    return PlainTextResponse("Only this machine is let in without a password: set JOBS_DASHBOARD_PASSWORD.\n", 403)


def password_required(password: str) -> Authenticate:
    """Let in who knows the password, by HTTP Basic authentication. The user name doesn't matter.

    Raises:
        ConfigurationError: the password is empty.
    """
    if not password:
        raise ConfigurationError("the dashboard's password is empty, which would let in anybody: choose one")
    expected = password.encode()

    def authenticate(request: Request) -> Response | None:
        if secrets.compare_digest(_given_password(request), expected):
            return None
        challenge = {"WWW-Authenticate": 'Basic realm="svcjobs", charset="UTF-8"'}
        return PlainTextResponse("A password is needed.\n", 401, challenge)

    return authenticate


def is_loopback(host: str) -> bool:
    """Whether an address, or ``localhost``, is one that only this machine reaches."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _given_password(request: Request) -> bytes:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(given, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""


def _refuse_foreign(request: Request) -> Response | None:
    """A page of another site can make a browser send a form here, but not without saying where it comes from."""
    if request.method in ("GET", "HEAD"):
        return None
    site = request.headers.get("sec-fetch-site")
    if site is None:
        host = urlsplit(request.headers.get("origin", "")).netloc
        own = bool(host) and host == request.headers.get("host")
    else:
        own = site == "same-origin"
    return None if own else PlainTextResponse("This request comes from another site.\n", 403)
