"""A mark in the inbox: how its key is stored and when it ends."""

from __future__ import annotations

import hashlib
import math

from svcjobs.errors import ConfigurationError

TTL_SECONDS = 86_400
KEY_CHARACTERS = 255


def stored_key(key: str) -> str:
    """``key`` itself, or its digest when a column can't hold it: too long, or with characters such as NUL."""
    if len(key) <= KEY_CHARACTERS and key.isprintable():
        return key
    return "sha256:" + hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def expiry(now: float, ttl_seconds: float) -> float:
    """The end of a mark made at ``now``, seconds since the epoch.

    Raises:
        ConfigurationError: ``ttl_seconds`` isn't a positive number.
    """
    if not 0 < ttl_seconds < math.inf:
        raise ConfigurationError(f"ttl_seconds is {ttl_seconds}: give a positive number of seconds")
    return now + ttl_seconds
