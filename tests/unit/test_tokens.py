"""The main thread waits for work, and hears signals meanwhile."""

from __future__ import annotations

import signal
import threading
from types import FrameType

import pytest

from svcjobs.pools.tokens import Tokens


def test_tokens_come_in_their_order() -> None:
    tokens = Tokens()
    for token in (True, True, False):
        tokens.put(token)
    assert [tokens.get() for _ in range(3)] == [True, True, False]


@pytest.mark.timeout(30)
def test_a_signal_that_ends_no_sleep_is_heard_all_the_same() -> None:
    """Here another thread gets it; one that comes right before the sleep leaves the main thread as deaf."""
    tokens = Tokens()

    def stop(_number: int, _frame: FrameType | None) -> None:
        tokens.put(False)

    before = signal.signal(signal.SIGUSR1, stop)
    try:
        sender = threading.Timer(0.3, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGUSR1))
        sender.start()
        assert tokens.get() is False
    finally:
        signal.signal(signal.SIGUSR1, before)
        sender.join()
