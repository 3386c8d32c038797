"""Signals: who is called, when, and what comes of errors."""

from __future__ import annotations

import gc
import logging

import pytest

from svcjobs_celery_compat import Celery, signals
from svcjobs_celery_compat.utils.dispatch import Signal


class Receiver:
    def __init__(self) -> None:
        self.calls: list[object] = []

    def on(self, sender: object, **kwargs: object) -> int:
        self.calls.append(sender)
        return len(self.calls)


def test_only_the_sender_that_was_asked_for() -> None:
    signal, receiver = Signal(), Receiver()
    signal.connect(receiver.on, sender="a")
    assert signal.send(sender="b") == []
    assert signal.send(sender="a") == [(receiver.on, 1)]
    assert signal.has_listeners("a")
    assert not signal.has_listeners("b")


def test_a_receiver_that_nobody_holds_is_gone() -> None:
    signal = Signal()
    signal.connect(Receiver().on)
    gc.collect()
    assert signal.send(sender=None) == []
    assert signal.receivers == []


def test_a_strong_reference_keeps_it() -> None:
    signal = Signal()
    signal.connect(Receiver().on, weak=False)
    gc.collect()
    assert len(signal.send(sender=None)) == 1


def test_an_error_is_the_response_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    signal = Signal(name="trouble")

    @signal.connect
    def raises(**kwargs: object) -> None:
        raise LookupError("no")

    with caplog.at_level(logging.ERROR, "celery.utils.dispatch.signal"):
        [(receiver, response)] = signal.send(sender=None)
    assert receiver is raises
    assert isinstance(response, LookupError)
    assert "no" in caplog.text


def test_a_receiver_must_take_what_comes() -> None:
    with pytest.raises(ValueError, match="keyword arguments"):
        Signal().connect(lambda sender: None)


def test_a_task_that_is_not_made_yet_may_be_the_sender() -> None:
    app = Celery("late", set_as_current=False)

    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    calls = []

    @signals.task_success.connect(sender=add)
    def on_success(sender: object, result: object, **kwargs: object) -> None:
        calls.append(result)

    app.finalize()
    signals.task_success.send(sender=app.tasks[add.name], result=3)
    signals.task_success.send(sender=app.tasks["celery.group"], result=4)
    assert calls == [3]
    signals.task_success.disconnect(on_success, sender=add)


def test_who_holds_the_list_of_receivers_sees_each_change_and_a_change_while_one_sends_is_for_later() -> None:
    signal = Signal()
    held = signal.receivers
    calls: list[str] = []

    def first(**_: object) -> None:
        calls.append("first")
        signal.disconnect(first)
        signal.connect(second)

    def second(**_: object) -> None:
        calls.append("second")

    signal.connect(first)
    assert len(held) == 1
    signal.send(None)
    assert calls == ["first"]
    assert len(held) == 1
    signal.send(None)
    assert calls == ["first", "second"]
    assert signal.disconnect(second)
    assert held == []
    assert signal.receivers is held
