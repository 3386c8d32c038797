"""Signals of a process as something to wait for."""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from svcjobs.signals import NUMBERS, Signals


@pytest.fixture
def signals() -> Iterator[Signals]:
    before = {number: signal.getsignal(number) for number in NUMBERS}
    with closing(Signals()) as signals:
        yield signals
    for number, handler in before.items():
        signal.signal(number, handler)


def test_signals_are_heard_in_their_order(signals: Signals) -> None:
    signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(signal.SIGTERM)
    assert list(signals.wait(5)) == [signal.SIGHUP, signal.SIGTERM]
    assert list(signals.wait(0)) == []


def test_what_came_before_they_are_held_back_is_returned_and_the_rest_waits(signals: Signals) -> None:
    signal.raise_signal(signal.SIGTERM)
    assert list(signals.hold_back()) == [signal.SIGTERM]
    signal.raise_signal(signal.SIGINT)
    assert list(signals.wait(0)) == []
    signals.release()
    assert list(signals.wait(5)) == [signal.SIGINT]


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (2048, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
def test_a_socket_ends_the_wait_however_many_files_are_open(signals: Signals) -> None:
    here, there = socket.socketpair()
    with here, there:
        # select(2) refuses file descriptors from 1,024 on, and a large crew has as many
        high = socket.socket(fileno=os.dup2(here.fileno(), 1500))
        there.send(b"x")
        with high:
            assert list(signals.wait(5, high)) == []
            assert high.recv(1) == b"x"
