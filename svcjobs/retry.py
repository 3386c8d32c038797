"""When a failed job runs again."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeGuard, get_args

from svcjobs.errors import ConfigurationError

Growth = Literal["linear", "exponential", "fixed"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How the delay between attempts grows, and when to give up.

    A job without a policy waits ``backoff_seconds * attempts`` (linear, as the guide's section
    "Retry with Exponential Backoff" tabulates it) and gives up after ``max_attempts``.

    Args:
        growth: ``linear`` (backoff * attempts), ``exponential`` (backoff * factor**(attempts-1)) or ``fixed``.
        factor: base of the exponential growth.
        max_delay_seconds: upper bound of a delay, before jitter.
        jitter: 0 to 1; the delay is drawn evenly from delay * (1 - jitter) to delay * (1 + jitter).
        max_elapsed_seconds: no attempt starts later than this after the enqueue; the job is dead-lettered instead.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    growth: Growth = "linear"
    factor: float = 2.0
    max_delay_seconds: float | None = None
    jitter: float = 0.0
    max_elapsed_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.growth not in get_args(Growth):
            raise ConfigurationError(f"growth is {self.growth!r}: use one of {', '.join(get_args(Growth))}")
        if not (is_number(self.jitter) and 0 <= self.jitter <= 1):
            raise ConfigurationError(f"jitter is {self.jitter!r}: give a share from 0 to 1")
        if not (is_number(self.factor) and 1 <= self.factor < math.inf):
            raise ConfigurationError(f"factor is {self.factor!r}: give 1 or more")
        for name in ("max_delay_seconds", "max_elapsed_seconds"):
            value = getattr(self, name)
            if value is not None and not (is_number(value) and value > 0):
                raise ConfigurationError(f"{name} is {value!r}: give a positive number of seconds, or None")

    def delay_seconds(self, attempts: int, backoff_seconds: float, draw: Callable[[], float] = random.random) -> float:
        """Seconds from the failure of attempt number ``attempts`` (1 is the first) to the next one.

        ``draw`` returns an even number from 0 to 1 and is asked only when there is jitter.
        """
        if self.growth == "linear":
            delay = backoff_seconds * attempts
        elif self.growth == "fixed":
            delay = backoff_seconds
        else:
            try:
                delay = backoff_seconds * self.factor ** (attempts - 1)
            except OverflowError:
                delay = math.inf
        if self.max_delay_seconds is not None:
            delay = min(delay, self.max_delay_seconds)
        if self.jitter:
            delay *= 1 - self.jitter + 2 * self.jitter * draw()
        return delay

    def encode(self) -> str:
        """The policy as it stands in the job's ``retry`` field, such as ``exponential;jitter=0.5``."""
        parts: list[str] = [self.growth]
        if self.factor != 2.0:
            parts.append(f"factor={self.factor!r}")
        if self.max_delay_seconds is not None:
            parts.append(f"max={self.max_delay_seconds!r}")
        if self.jitter:
            parts.append(f"jitter={self.jitter!r}")
        if self.max_elapsed_seconds is not None:
            parts.append(f"elapsed={self.max_elapsed_seconds!r}")
        return ";".join(parts)

    @classmethod
    def decode(cls, text: str) -> RetryPolicy:
        """The policy that :meth:`encode` wrote.

        Raises:
            ConfigurationError: ``text`` isn't such a policy.
        """
        growth, *options = text.split(";")
        try:
            values = {key: float(value) for key, value in (option.split("=") for option in options)}
        except ValueError:
            raise ConfigurationError(f"not a retry policy: {text!r}") from None
        return cls(
            growth=growth,  # type: ignore[arg-type]  # __post_init__ checks it
            factor=values.get("factor", 2.0),
            max_delay_seconds=values.get("max"),
            jitter=values.get("jitter", 0.0),
            max_elapsed_seconds=values.get("elapsed"),
        )


def is_number(value: object) -> TypeGuard[float]:
    """Whether it can be compared with numbers; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
