"""Signatures as in the Standard Webhooks specification 1.0, for the sender and for the receiver.

Three headers: ``webhook-id``, ``webhook-timestamp`` and ``webhook-signature``. What is signed is the id, the time and
the body, so that an old request can't be sent again later, or under another id.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Mapping

from svcjobs.clock import Clock
from svcjobs.errors import ConfigurationError
from svcjobs.webhooks.signing import Secret, Secrets, listed

PREFIX = "whsec_"
VERSION = "v1"
TOLERANCE_SECONDS = 300.0


def sign_standard(secrets: Secrets, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of ``webhook-signature``: ``v1,`` and the signature in base64, for each secret, with spaces between.

    Args:
        secrets: text is the key in base64, with or without ``whsec_`` before it; bytes are the key itself.
        message_id: the value of ``webhook-id``.
        timestamp: the value of ``webhook-timestamp``, seconds since the epoch.
        body: as it is sent.

    Raises:
        ConfigurationError: there is no secret, or one that isn't such a key.
    """
    return " ".join(_signature(secret, message_id, str(timestamp), body) for secret in listed(secrets))


def verify_standard(
    secrets: Secrets,
    body: bytes,
    headers: Mapping[str, str],
    *,
    tolerance_seconds: float = TOLERANCE_SECONDS,
    clock: Clock = time.time,
) -> bool:
    """Whether a request is the sender's own, and of now.

    Takes the same time whichever of the secrets fits.

    Args:
        secrets: the secret, or all that are valid at present; see :func:`sign_standard`.
        body: as received, before any parsing.
        headers: those of the request, in any case.
        tolerance_seconds: how far its time may lie from the clock's.
        clock: what time it is.

    Raises:
        ConfigurationError: there is no secret, or one that isn't such a key.
    """
    found = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp, given = (found.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    expected = [_signature(secret, message_id, timestamp, body).encode("ascii") for secret in listed(secrets)]
    fits = [
        hmac.compare_digest(right, one)
        for right in expected
        for one in given.encode(errors="surrogatepass").split(b" ")
    ]
    return any(fits) and bool(message_id) and _is_near(timestamp, clock(), tolerance_seconds)


def _is_near(timestamp: str, now: float, tolerance_seconds: float) -> bool:
    # twelve digits are enough until the year 33658, and int() refuses thousands of them
    plain = timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12
    return plain and abs(now - int(timestamp)) <= tolerance_seconds


def _signature(secret: Secret, message_id: str, timestamp: str, body: bytes) -> str:
    signed = f"{message_id}.{timestamp}.".encode(errors="surrogatepass") + body
    return f"{VERSION}," + base64.b64encode(hmac.new(_key(secret), signed, hashlib.sha256).digest()).decode("ascii")


def _key(secret: Secret) -> bytes:
    if isinstance(secret, str):
        try:
            secret = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except (binascii.Error, ValueError):
            raise ConfigurationError(
                f"the webhook secret isn't base64: Standard Webhooks has {PREFIX} and the key in base64; give a key of "
                "another form as bytes"
            ) from None
    if not secret:
        raise ConfigurationError("the webhook secret is empty: give the one agreed on with the receiver")
    return secret
