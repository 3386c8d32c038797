"""Task messages of Celery's protocols 2 and 1: see the documentation's page on message protocols."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

from svcjobs_celery_compat.utils.nodenames import anon_nodename
from svcjobs_celery_compat.utils.saferepr import saferepr
from svcjobs_celery_compat.utils.time import maybe_make_aware

#: Fewer seconds than any broker takes.
INT_MIN = -2147483648


class task_message(NamedTuple):
    """What is published for a call; ``sent_event`` is the event about it, or None."""

    headers: dict[str, Any]
    properties: dict[str, Any]
    body: Any
    sent_event: dict[str, Any] | None


def utf8dict(d: Any, encoding: str = "utf-8") -> dict[str, Any]:
    """Return the mapping with its keys as text."""
    return {key.decode(encoding) if isinstance(key, bytes) else key: value for key, value in d.items()}


class Messages:
    """The part of :class:`~svcjobs_celery_compat.app.amqp.AMQP` that makes messages."""

    #: Most characters of the arguments' repr.
    argsrepr_maxsize = 1024
    kwargsrepr_maxsize = 1024

    if TYPE_CHECKING:
        app: Any
        utc: Any

    def as_task_v2(
        self,
        task_id: str,
        name: str,
        args: Any = None,
        kwargs: Any = None,
        countdown: float | None = None,
        eta: Any = None,
        group_id: str | None = None,
        group_index: int | None = None,
        expires: Any = None,
        retries: int = 0,
        chord: Any = None,
        callbacks: Any = None,
        errbacks: Any = None,
        reply_to: str | None = None,
        time_limit: float | None = None,
        soft_time_limit: float | None = None,
        create_sent_event: bool = False,
        root_id: str | None = None,
        parent_id: str | None = None,
        shadow: str | None = None,
        chain: Any = None,
        now: datetime | None = None,
        timezone: Any = None,
        origin: str | None = None,
        ignore_result: bool | None = False,
        argsrepr: str | None = None,
        kwargsrepr: str | None = None,
        stamped_headers: list[str] | None = None,
        replaced_task_nesting: int = 0,
        **options: Any,
    ) -> task_message:
        """Return a message of protocol 2.

        Parameters:
            options: those that ``stamped_headers`` names are the stamps.

        Raises:
            TypeError: ``args`` is no list or tuple, or ``kwargs`` no mapping.
            ValueError: ``countdown`` is out of range.
        """
        args, kwargs = _checked(args, kwargs)
        eta, expires = self._moments(countdown, eta, expires, now)
        levels = self.app.conf.task_repr_maxlevels or _UNLIMITED
        argsrepr = saferepr(args, self.argsrepr_maxsize, levels) if argsrepr is None else argsrepr
        kwargsrepr = saferepr(kwargs, self.kwargsrepr_maxsize, levels) if kwargsrepr is None else kwargsrepr
        root_id = root_id or task_id
        stamps = {stamp: options[stamp] for stamp in stamped_headers or () if stamp in options}
        sent_event = {
            "uuid": task_id,
            "root_id": root_id,
            "parent_id": parent_id,
            "name": name,
            "args": argsrepr,
            "kwargs": kwargsrepr,
            "retries": retries,
            "eta": eta,
            "expires": expires,
        }
        return task_message(
            headers={
                "lang": "py",
                "task": name,
                "id": task_id,
                "shadow": shadow,
                "eta": eta,
                "expires": expires,
                "group": group_id,
                "group_index": group_index,
                "retries": retries,
                "timelimit": [time_limit, soft_time_limit],
                "root_id": root_id,
                "parent_id": parent_id,
                "argsrepr": argsrepr,
                "kwargsrepr": kwargsrepr,
                "origin": origin or anon_nodename(),
                "ignore_result": ignore_result,
                "replaced_task_nesting": replaced_task_nesting,
                "stamped_headers": stamped_headers,
                "stamps": stamps,
            },
            properties={"correlation_id": task_id, "reply_to": reply_to or ""},
            body=(args, kwargs, {"callbacks": callbacks, "errbacks": errbacks, "chain": chain, "chord": chord}),
            sent_event=sent_event if create_sent_event else None,
        )

    def as_task_v1(
        self,
        task_id: str,
        name: str,
        args: Any = None,
        kwargs: Any = None,
        countdown: float | None = None,
        eta: Any = None,
        group_id: str | None = None,
        group_index: int | None = None,
        expires: Any = None,
        retries: int = 0,
        chord: Any = None,
        callbacks: Any = None,
        errbacks: Any = None,
        reply_to: str | None = None,
        time_limit: float | None = None,
        soft_time_limit: float | None = None,
        create_sent_event: bool = False,
        root_id: str | None = None,
        parent_id: str | None = None,
        shadow: str | None = None,
        now: datetime | None = None,
        timezone: Any = None,
        **compat_kwargs: Any,
    ) -> task_message:
        """Return a message of protocol 1, for workers before Celery 4: all is in the body.

        Raises:
            TypeError, ValueError: as :meth:`as_task_v2`.
        """
        args, kwargs = _checked(args, kwargs)
        eta, expires = self._moments(countdown, eta, expires, now)
        sent_event = {
            "uuid": task_id,
            "name": name,
            "args": saferepr(args),
            "kwargs": saferepr(kwargs),
            "retries": retries,
            "eta": eta,
            "expires": expires,
        }
        return task_message(
            headers={},
            properties={"correlation_id": task_id, "reply_to": reply_to or ""},
            body={
                "task": name,
                "id": task_id,
                "args": args,
                "kwargs": kwargs,
                "group": group_id,
                "group_index": group_index,
                "retries": retries,
                "eta": eta,
                "expires": expires,
                "utc": self.utc,
                "callbacks": callbacks,
                "errbacks": errbacks,
                "timelimit": (time_limit, soft_time_limit),
                "taskset": group_id,
                "chord": chord,
            },
            sent_event=sent_event if create_sent_event else None,
        )

    def _moments(
        self, countdown: float | None, eta: Any, expires: Any, now: datetime | None
    ) -> tuple[str | None, str | None]:
        """The ISO forms of the earliest and the latest moment."""
        if countdown:
            self._verify_seconds(countdown, "countdown")
            eta = _after(now or self.app.now(), countdown)
        if isinstance(expires, Real):
            self._verify_seconds(float(expires), "expires")
            expires = _after(now or self.app.now(), float(expires))
        return _iso(eta), _iso(expires)

    def _verify_seconds(self, s: float, what: str) -> float:
        if s < INT_MIN:
            raise ValueError(f"{what} is out of range: {s!r}")
        return s


_UNLIMITED = 1_000_000


def _checked(args: Any, kwargs: Any) -> tuple[Any, Any]:
    args = args or ()
    kwargs = kwargs or {}
    if not isinstance(args, list | tuple):
        raise TypeError("task args must be a list or tuple")
    if not isinstance(kwargs, Mapping):
        raise TypeError("task keyword arguments must be a mapping")
    return args, kwargs


def _after(now: datetime, seconds: float) -> datetime:
    now = maybe_make_aware(now)
    # in UTC: where the clocks change in between, seconds of the wall clock are others
    return (now.astimezone(UTC) + timedelta(seconds=seconds)).astimezone(now.tzinfo)


def _iso(moment: Any) -> str | None:
    if moment is None or isinstance(moment, str):
        return moment
    return moment.isoformat()  # type: ignore[no-any-return]  # of a datetime
