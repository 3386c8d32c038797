"""Signals of the operating system, by name."""

from __future__ import annotations

import numbers
import signal as _signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from billiard.util import set_pdeathsig as _set_pdeathsig

__all__ = (
    "SIGMAP",
    "SIGNAMES",
    "Signals",
    "get_signal",
    "ignore_signal",
    "install_signal_handler",
    "reset_signal",
    "set_pdeathsig",
    "signal_name",
    "signals",
)

SIGNAMES = {name for name in dir(_signal) if name.startswith("SIG") and "_" not in name}
SIGMAP = {getattr(_signal, name): name for name in SIGNAMES}


class Signals:
    """The handlers of this process: ``signals["INT"] = handler``. Signals that the system lacks are passed over."""

    ignored = _signal.SIG_IGN
    default = _signal.SIG_DFL

    def arm_alarm(self, seconds: float) -> None:
        """Send SIGALRM to this process in so many seconds."""
        _signal.setitimer(_signal.ITIMER_REAL, seconds)

    def reset_alarm(self) -> int:
        """Call off the alarm; return the seconds that it had left."""
        return _signal.alarm(0)

    def supported(self, name: str) -> bool:
        """Return whether the system has the signal."""
        try:
            self.signum(name)
        except AttributeError:
            return False
        return True

    def signum(self, name: str | int) -> int:
        """Return the number of a signal: of ``INT`` or ``SIGINT``; a number as it is.

        :raises AttributeError: there is no such signal.
        :raises TypeError: it isn't a name in upper case.
        """
        if isinstance(name, numbers.Number):
            return name  # type: ignore[return-value]  # int
        if not isinstance(name, str) or not name.isupper():
            raise TypeError(f"a signal is named in upper case, such as 'INT' or 'SIGINT', not {name!r}")
        return int(getattr(_signal, name if name.startswith("SIG") else f"SIG{name}"))

    def reset(self, *signal_names: str) -> None:
        """Give signals their default action."""
        self.update((name, self.default) for name in signal_names)

    def ignore(self, *names: str) -> None:
        """Ignore signals."""
        self.update((name, self.ignored) for name in names)

    def __getitem__(self, name: str) -> Any:
        return _signal.getsignal(self.signum(name))

    def __setitem__(self, name: str, handler: Any) -> None:
        with suppress(AttributeError, ValueError):  # not of this system, or not in the main thread
            _signal.signal(self.signum(name), handler)

    def update(self, _d_: Any = None, **sigmap: Callable[..., Any]) -> None:
        """Set several handlers."""
        for name, handler in dict(_d_ or {}, **sigmap).items():
            self[name] = handler


signals = Signals()
get_signal = signals.signum
install_signal_handler = signals.__setitem__
reset_signal = signals.reset
ignore_signal = signals.ignore


def signal_name(signum: int) -> str:
    """Return the name of a signal, without ``SIG``."""
    return SIGMAP[signum][3:]


def set_pdeathsig(name: str) -> None:
    """Have that signal sent to this process when its parent ends, where the system can (Linux)."""
    with suppress(OSError):  # not of this system
        _set_pdeathsig(signals.signum("SIG" + name.removeprefix("SIG")))
