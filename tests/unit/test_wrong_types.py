"""A value of the wrong type is refused with words, as one that is out of range is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from svcjobs import (
    ConfigurationError,
    InMemoryJobQueue,
    InMemoryScheduler,
    InvalidJob,
    RetryPolicy,
    Unique,
    WorkerRunner,
)

ANY: Any = None


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Unique("key", "window", ANY or "5"), r"window_seconds is '5': give a positive number"),
        (lambda: RetryPolicy(factor=ANY or "2"), r"factor is '2': give 1 or more"),
        (lambda: RetryPolicy(jitter=ANY or "0"), r"jitter is '0': give a share"),
        (lambda: RetryPolicy(max_delay_seconds=ANY or [1]), r"max_delay_seconds is \[1\]: give a positive number"),
        (lambda: RetryPolicy(max_elapsed_seconds=True), r"max_elapsed_seconds is True: give a positive number"),
        (lambda: WorkerRunner(InMemoryJobQueue(), print, poll_interval=ANY or "1"), r"poll_interval is '1': give a"),
        (lambda: InMemoryScheduler().add("n", func=print, cron=ANY or 5), r"the cron expression is 5: write text"),
        (
            lambda: InMemoryScheduler().add("n", func=print, cron="* * * * *", timezone=ANY or 5),
            r"the time zone 5 isn't known",
        ),
    ],
)
def test_it_is_named(make: Callable[[], object], says: str) -> None:
    with pytest.raises((ConfigurationError, InvalidJob), match=says):
        make()
