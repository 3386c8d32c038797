"""Snapshots: what is known of a cluster, looked at again and again, for storing it somewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from kombu.utils.limits import TokenBucket

from svcjobs_celery_compat import platforms
from svcjobs_celery_compat._state import app_or_default
from svcjobs_celery_compat.utils.dispatch import Signal
from svcjobs_celery_compat.utils.imports import instantiate
from svcjobs_celery_compat.utils.log import get_logger
from svcjobs_celery_compat.utils.time import rate
from svcjobs_celery_compat.utils.timer2 import Timer

__all__ = ("Polaroid", "evcam")

logger = get_logger("celery.evcam")


class Polaroid:
    """A camera. Subclasses say in :meth:`on_shutter` what becomes of a picture.

    Args:
        state: the :class:`~svcjobs_celery_compat.events.state.State` to look at.
        freq: seconds between pictures.
        maxrate: most pictures, as ``10/m``.
        cleanup_freq: seconds between calls of :meth:`on_cleanup`.
        timer: calls at intervals; a thread of its own by default.
        app: the app; the current one by default.

    Attributes:
        clear_after: whether tasks that are done are forgotten after each picture.
    """

    timer: Any = None
    shutter_signal = Signal(name="shutter_signal", providing_args={"state"})
    cleanup_signal = Signal(name="cleanup_signal")
    clear_after = False

    _tref: Any = None
    _ctref: Any = None

    def __init__(
        self,
        state: Any,
        freq: float = 1.0,
        maxrate: str | None = None,
        cleanup_freq: float = 3600.0,
        timer: Any = None,
        app: Any = None,
    ) -> None:
        self.app = app_or_default(app)
        self.state = state
        self.freq = freq
        self.cleanup_freq = cleanup_freq
        self.timer = timer or self.timer or Timer()
        self.logger = logger
        self.maxrate = maxrate and TokenBucket(rate(maxrate))

    def install(self) -> None:
        """Begin to take pictures."""
        self._tref = self.timer.call_repeatedly(self.freq, self.capture)
        self._ctref = self.timer.call_repeatedly(self.cleanup_freq, self.cleanup)

    def on_shutter(self, state: Any) -> None:
        """Called with the state for each picture."""

    def on_cleanup(self) -> None:
        """Called now and then, to remove what is too old."""

    def cleanup(self) -> None:
        """Clean up now."""
        logger.debug("Cleanup: Running...")
        self.cleanup_signal.send(sender=self.state)
        self.on_cleanup()

    def shutter(self) -> None:
        """Take a picture, unless there were too many lately."""
        if not self.maxrate or self.maxrate.can_consume():
            logger.debug("Shutter: %s", self.state)
            self.shutter_signal.send(sender=self.state)
            self.on_shutter(self.state)

    def capture(self) -> None:
        """Take a picture while events wait."""
        self.state.freeze_while(self.shutter, clear_after=self.clear_after)

    def cancel(self) -> None:
        """Take no more pictures; one is taken at the end."""
        if self._tref:
            self._tref()  # flush all received events
            self._tref.cancel()
        if self._ctref:
            self._ctref.cancel()

    def __enter__(self) -> Self:
        self.install()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.cancel()


def evcam(
    camera: Any,
    freq: float = 1.0,
    maxrate: str | None = None,
    loglevel: int | str = 0,
    logfile: str | None = None,
    pidfile: str | None = None,
    timer: Any = None,
    app: Any = None,
    **kwargs: Any,
) -> None:
    """Take pictures of a cluster until interrupted: ``celery events --camera``.

    Args:
        camera: a subclass of :class:`Polaroid`, or its name.
        freq: seconds between pictures.
        maxrate: most pictures, as ``10/m``.
        loglevel: level of the log.
        logfile: its file; standard error by default.
        pidfile: file for the number of this process.
        timer: see :class:`Polaroid`.
        app: the app; the current one by default.
        **kwargs: taken and left aside.
    """
    app = app_or_default(app)
    if pidfile:
        platforms.create_pidlock(pidfile)
    app.log.setup_logging_subsystem(loglevel, logfile)
    print(f"-> evcam: Taking snapshots with {camera} (every {freq} secs.)")  # noqa: T201  # said on standard output
    state = app.events.State()
    cam = instantiate(camera, state, app=app, freq=freq, maxrate=maxrate, timer=timer)
    cam.install()
    conn = app.connection_for_read()
    receiver = app.events.Receiver(conn, handlers={"*": state.event})
    try:
        receiver.capture(limit=None)
    except KeyboardInterrupt:
        raise SystemExit from None
    finally:
        cam.cancel()
        conn.close()
