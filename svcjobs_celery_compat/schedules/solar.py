"""A run at sunrise, sunset, dawn, dusk or noon at a place."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from svcjobs_celery_compat.exceptions import ImproperlyConfigured
from svcjobs_celery_compat.schedules.abstract import BaseSchedule, elapsed, schedstate


class solar(BaseSchedule):
    """Runs at a position of the sun. It is worked out in UTC, whatever the app's time zone.

    On days without the event, as in polar regions, there is no run.

    Args:
        event: ``dawn_astronomical``, ``dawn_nautical``, ``dawn_civil``, ``sunrise``, ``solar_noon``, ``sunset``,
            ``dusk_civil``, ``dusk_nautical`` or ``dusk_astronomical``.
        lat: the latitude in degrees, north is positive.
        lon: the longitude in degrees, east is positive.
        nowfun: see :class:`~svcjobs_celery_compat.schedules.abstract.BaseSchedule`.
        app: see there.

    Raises:
        ImproperlyConfigured: the package ephem isn't installed.
        ValueError: the event is unknown, or there is no such place.
    """

    max_search_days = 366
    """How many days are looked through for the event."""

    _horizons: ClassVar[dict[str, str]] = {
        "dawn_astronomical": "-18",
        "dawn_nautical": "-12",
        "dawn_civil": "-6",
        "sunrise": "-0:34",
        "solar_noon": "0",
        "sunset": "-0:34",
        "dusk_civil": "-6",
        "dusk_nautical": "-12",
        "dusk_astronomical": "-18",
    }
    """How high the sun stands, in degrees; sunrise and sunset with what the air refracts."""
    _methods: ClassVar[dict[str, str]] = {
        "dawn_astronomical": "next_rising",
        "dawn_nautical": "next_rising",
        "dawn_civil": "next_rising",
        "sunrise": "next_rising",
        "solar_noon": "next_transit",
        "sunset": "next_setting",
        "dusk_civil": "next_setting",
        "dusk_nautical": "next_setting",
        "dusk_astronomical": "next_setting",
    }
    _use_center_l: ClassVar[dict[str, bool]] = {name: name.startswith(("dawn", "dusk")) for name in _horizons}
    """Whether the middle of the sun counts; at sunrise and sunset its upper edge does."""
    _all_events: ClassVar[set[str]] = set(_horizons)

    def __init__(
        self, event: str, lat: float, lon: float, nowfun: Callable[[], datetime] | None = None, app: Any = None
    ) -> None:
        self.ephem = _ephem()
        if event not in self._all_events:
            raise ValueError(
                f'Argument event "{event}" is invalid, must be one of {", ".join(sorted(self._all_events))}.'
            )
        if not -90 <= lat <= 90:
            raise ValueError(f"Argument latitude {lat} is invalid, must be between -90 and 90.")
        if not -180 <= lon <= 180:
            raise ValueError(f"Argument longitude {lon} is invalid, must be between -180 and 180.")
        self.event, self.lat, self.lon = event, lat, lon
        super().__init__(nowfun=nowfun, app=app)
        self.cal = self.ephem.Observer()
        self.cal.lat, self.cal.lon = str(lat), str(lon)
        self.cal.elev = 0
        self.cal.horizon = self._horizons[event]
        self.cal.pressure = 0
        self.method = self._methods[event]
        self.use_center = self._use_center_l[event]

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        """How long it is to the next event; where none comes in time, to when it is worth looking again."""
        start = self.ephem.Date(self.maybe_make_aware(last_run_at).astimezone(UTC))
        following = self._next_event(start).datetime()
        at = following if following.tzinfo else following.replace(tzinfo=UTC)
        return elapsed(at, self.maybe_make_aware(self.now()))

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Whether it is due, and in how many seconds the next event is."""
        left = self.remaining_estimate(last_run_at).total_seconds()
        if left > 0:
            return schedstate(is_due=False, next=left)
        following = self.remaining_estimate(self.now()).total_seconds()
        return schedstate(is_due=True, next=max(following, 0))

    def _next_event(self, start: Any) -> Any:
        """The first event after ``start``. A day without one is passed over, to the sun's lowest point at its end."""
        sun = self.ephem.Sun()
        options = {"use_center": True} if self.use_center else {}
        for _ in range(self.max_search_days):
            try:
                return getattr(self.cal, self.method)(sun, start=start, **options)
            except self.ephem.CircumpolarError:
                start = self.cal.next_antitransit(sun, start=start)
        return start

    def __repr__(self) -> str:
        return f"<solar: {self.event} at latitude {self.lat}, longitude: {self.lon}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, solar):
            return NotImplemented
        return (other.event, other.lat, other.lon) == (self.event, self.lat, self.lon)

    __hash__ = None  # as in BaseSchedule

    def __reduce__(self) -> tuple[Any, ...]:
        return self.__class__, (self.event, self.lat, self.lon)


def _ephem() -> Any:
    try:
        import ephem
    except ImportError:
        raise ImproperlyConfigured(
            "solar schedules need the package ephem: pip install 'svcjobs[celery]' (with Celery: 'celery[solar]')"
        ) from None
    return ephem
