"""Errors and hashes of signed messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from svcjobs_celery_compat.exceptions import SecurityError

__all__ = ("get_digest_algorithm", "reraise_errors")


def get_digest_algorithm(digest: str = "sha256") -> Any:
    """Return the hash of that name, of cryptography.

    :raises AttributeError: there is none.
    """
    from cryptography.hazmat.primitives import hashes

    return getattr(hashes, digest.upper())()


@contextmanager
def reraise_errors(msg: str = "{0!r}", errors: tuple[type[BaseException], ...] | None = None) -> Iterator[None]:
    """Make errors of cryptography, or of the given classes, a SecurityError with that message."""
    if errors is None:
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

        errors = (InvalidSignature, UnsupportedAlgorithm, ValueError)
    try:
        yield
    except errors as exc:
        raise SecurityError(msg.format(exc)) from exc
