"""A signal ends the bridge wherever it finds it."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from svcjobs_celery_compat.bridge.command import set_by_signals

NUMBERS = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    handlers = [signal.getsignal(number) for number in NUMBERS]
    yield
    for number, handler in zip(NUMBERS, handlers, strict=True):
        signal.signal(number, handler)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_in_the_first_moment_of_a_wait_ends_it(number: signal.Signals) -> None:
    stop = set_by_signals()
    with stop._cond:  # as a wait has it, until it sleeps
        signal.raise_signal(number)
        assert not stop.is_set()
    assert stop.wait(10)
