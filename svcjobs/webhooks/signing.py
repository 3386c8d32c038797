"""Signatures of webhooks, for the sender and for the receiver.

Version ``v1``: HMAC-SHA256 (RFC 2104, FIPS 180-4) over the bytes of the body, as lower-case hexadecimal. While secrets
rotate the header holds the signature under each, with commas between them.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from svcjobs.errors import ConfigurationError

Secret: TypeAlias = str | bytes
Secrets: TypeAlias = Secret | Iterable[Secret]
"""One, or all that are valid at present."""

ALGORITHM = "hmac-sha256"
VERSION = "v1"


def body_of(payload: Mapping[str, Any]) -> bytes:
    """The one form in which a payload is sent: JSON in ASCII, keys sorted, no spaces.

    A receiver that kept only the parsed payload can therefore still verify it.
    """
    return json.dumps(payload, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def sign(secret: Secret, payload: bytes | Mapping[str, Any]) -> str:
    """The signature of ``payload``: of the bytes as they are, or of :meth:`body_of` a mapping.

    Raises:
        ConfigurationError: the secret is empty, so that anybody could sign.
    """
    key = secret.encode() if isinstance(secret, str) else secret
    if not key:
        raise ConfigurationError("the webhook secret is empty: give the one agreed on with the receiver")
    body = payload if isinstance(payload, bytes) else body_of(payload)
    return hmac.new(key, body, hashlib.sha256).hexdigest()


def sign_all(secrets: Secrets, payload: bytes | Mapping[str, Any]) -> str:
    """The value of the signature header: the signature of ``payload`` under each of the secrets.

    Raises:
        ConfigurationError: there is no secret, or an empty one.
    """
    return ",".join(sign(secret, payload) for secret in listed(secrets))


def verify(secrets: Secrets, payload: bytes | Mapping[str, Any], signature: str) -> bool:
    """Whether one of the signatures in ``signature`` is that of ``payload`` under one of the secrets.

    Takes the same time whichever of them fits, and whatever is wrong with the signatures.

    Args:
        secrets: the secret, or all that are valid at present.
        payload: the body as received, before any parsing; or what it was parsed to.
        signature: the value of the signature header.

    Raises:
        ConfigurationError: there is no secret, or an empty one.
    """
    expected = [sign(secret, payload).encode("ascii") for secret in listed(secrets)]
    # as bytes: compare_digest refuses text that isn't ASCII, and the header is the sender's to choose
    given = [one.strip() for one in signature.encode(errors="surrogatepass").split(b",")]
    fits = [hmac.compare_digest(right, one) for right in expected for one in given]
    return any(fits)


def listed(secrets: Secrets) -> list[Secret]:
    """The secrets as a list.

    Raises:
        ConfigurationError: there are none.
    """
    found = [secrets] if isinstance(secrets, str | bytes) else list(secrets)
    if not found:
        raise ConfigurationError("no webhook secret was given: give at least one")
    return found
