"""What all schedules have in common: a clock, an app, and its time zone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property
from typing import Any, NamedTuple, Self

from svcjobs_celery_compat._state import current_app
from svcjobs_celery_compat.utils.time import maybe_make_aware, timezone


class schedstate(NamedTuple):
    """What a schedule answers: whether it is due, and in how many seconds to ask again."""

    is_due: bool
    next: float


class BaseSchedule:
    """A schedule. Subclasses say when they are due.

    Args:
        nowfun: returns the present; the app's clock when left out. A naive time counts as UTC.
        app: whose time zone and settings count; the current one when left out.
    """

    def __init__(self, nowfun: Callable[[], datetime] | None = None, app: Any = None) -> None:
        self.nowfun = nowfun
        self._app = app

    @property
    def app(self) -> Any:
        """The app whose settings count."""
        return self._app or current_app._get_current_object()  # what a proxy's users call

    @app.setter
    def app(self, app: Any) -> None:
        self._app = app

    @cached_property
    def tz(self) -> tzinfo | str:
        """The app's time zone."""
        return self.app.timezone  # type: ignore[no-any-return]

    @cached_property
    def utc_enabled(self) -> bool:
        """Whether the app's messages hold times in UTC."""
        return self.app.conf.enable_utc  # type: ignore[no-any-return]

    def now(self) -> datetime:
        """The present."""
        return (self.nowfun or self.app.now)()

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        """How long it is from now to the run that follows ``last_run_at``; negative when that is over."""
        raise NotImplementedError

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Whether a run is due, when the last one was at ``last_run_at``, and in how many seconds to ask again."""
        raise NotImplementedError

    def maybe_make_aware(self, dt: datetime, naive_as_utc: bool = True) -> datetime:
        """``dt`` with a time zone: a naive one is in UTC, or else in the app's zone, and comes in the app's zone."""
        return maybe_make_aware(dt, self.tz, naive_as_utc=naive_as_utc)

    def to_local(self, dt: datetime) -> datetime:
        """``dt`` in the machine's time zone, where the app doesn't use UTC; else as it is."""
        return dt if self.utc_enabled else timezone.to_local_fallback(dt)

    def __copy__(self) -> Self:
        # pickling leaves out the app, and subclasses have constructors of their own
        twin = self.__class__.__new__(self.__class__)
        vars(twin).update(vars(self))
        return twin

    def __eq__(self, other: object) -> bool:
        if isinstance(other, BaseSchedule):
            return other.nowfun == self.nowfun
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # they can be changed


def elapsed(end: datetime, start: datetime) -> timedelta:
    """The real time between two aware instants, whatever their clocks did meanwhile."""
    return end.astimezone(UTC) - start.astimezone(UTC)
