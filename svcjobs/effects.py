"""What commits together with a settlement, or not at all."""

from __future__ import annotations

from dataclasses import dataclass

from svcjobs.errors import InvalidJob
from svcjobs.job import LONGEST_SECONDS, NewJob


@dataclass(frozen=True, slots=True)
class SetResult:
    """Set a key to a result, and tell whoever waits for it.

    Args:
        key: the full Redis key.
        value: what it is set to.
        ttl_seconds: when it goes away by itself; None keeps it.
        channel: publishes ``value`` there as well.
        db: the server's database that holds the key, when it isn't the queue's own.

    Raises:
        InvalidJob: Redis can't store it.
    """

    key: str
    value: str | bytes
    ttl_seconds: float | None = None
    channel: str | None = None
    db: int | None = None

    def __post_init__(self) -> None:
        _check_key(self.key)
        if not isinstance(self.value, bytes):
            _check_encodes(self.value, "the value")
        _check_ttl(self.ttl_seconds)
        if self.db is not None and (type(self.db) is not int or self.db < 0):
            raise InvalidJob(f"db is {self.db!r}: give the number of a database, from 0")


@dataclass(frozen=True, slots=True)
class Count:
    """Add to a counter: a string key, or one field of a hash.

    Args:
        key: the full Redis key.
        by: what to add.
        field: the field, when ``key`` is a hash.
        ttl_seconds: sets the key's time to live anew.

    Raises:
        InvalidJob: Redis can't add it.
    """

    key: str
    by: int = 1
    field: str | None = None
    ttl_seconds: float | None = None

    def __post_init__(self) -> None:
        _check_key(self.key)
        if type(self.by) is not int or abs(self.by) >= 2**63:
            raise InvalidJob(f"by is {self.by!r}: give a whole number of 64 bits")
        _check_ttl(self.ttl_seconds)


@dataclass(frozen=True, slots=True)
class Follow:
    """Enqueue a job.

    Args:
        job: the job.
        queue: prefix of the queue it goes to; None is the queue of the settled job.
    """

    job: NewJob
    queue: str | None = None


Effect = SetResult | Count | Follow


def check_effect(effect: object) -> None:
    """Raise InvalidJob when it is none."""
    if not isinstance(effect, Effect):
        raise InvalidJob(f"{effect!r} is no effect: give SetResult, Count or Follow")


def _check_key(key: object) -> None:
    if not key:
        raise InvalidJob("the key of an effect is empty")
    _check_encodes(key, "the key")


def _check_encodes(text: object, what: str) -> None:
    if not isinstance(text, str):
        raise InvalidJob(f"{what} of an effect is a {type(text).__name__}: give text")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidJob(f"{what} of an effect can't be written in UTF-8: {error}") from error


def _check_ttl(seconds: object) -> None:
    if seconds is None:
        return
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= LONGEST_SECONDS:
        raise InvalidJob(f"ttl_seconds is {seconds!r}: give seconds over 0 and at most {LONGEST_SECONDS}, or None")
