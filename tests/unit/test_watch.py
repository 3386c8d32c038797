"""Several queues that are waited for together, with a clock that the test moves and a server that says when."""

from __future__ import annotations

import math
import queue as queues
import threading
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from svcjobs import watch as watch_module
from svcjobs.watch import Watch
from tests.eventually import eventually

Call = tuple[str, list[str]]


class Server:
    """Each blocking command takes until the test answers it; a look is answered by what is due."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.waits: list[tuple[list[str], float]] = []
        self.due: dict[str, float] = {}
        self._answers: dict[str, queues.SimpleQueue[str | None]] = {}

    def block(self, names: list[str], seconds: float) -> str | None:
        answer = self._answers[" ".join(names)] = queues.SimpleQueue()
        self.waits.append((names, round(seconds, 6)))
        self.calls.append(("wait", names))
        return answer.get(timeout=60)

    def answer(self, names: str, found: str | None = None) -> None:
        """End the wait for these queues; as its time is over, unless one was found."""
        self._answers.pop(names).put(found)

    def look(self, names: list[str]) -> list[float]:
        self.calls.append(("look", names))
        return [self.due.get(name, math.inf) for name in names]


class Queue:
    """A queue whose last reserve found nothing, and nothing delayed either."""

    next_due_at = math.inf

    def __init__(self, name: str, server: Server) -> None:
        self.name = name
        self._server = server

    def wait_any(self, queues: Sequence[Queue], seconds: float) -> Queue | None:
        assert 0 < seconds <= watch_module.ROUND_SECONDS
        found = self._server.block([queue.name for queue in queues], seconds)
        return next((queue for queue in queues if queue.name == found), None)

    def seconds_to_due(self, queues: Sequence[Queue]) -> list[float]:
        return self._server.look([queue.name for queue in queues])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(watch_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def watch(clock: SimpleNamespace, server: Server) -> Watch:
    both: list[Any] = [Queue("a", server), Queue("b", server)]
    return Watch(both)


Wait = Callable[[str], threading.Thread]


@pytest.fixture
def wait(watch: Watch) -> Iterator[Wait]:
    """``wait(name)`` starts a thread in which that queue is waited for."""
    threads = []

    def start(name: str) -> threading.Thread:
        thread = threading.Thread(target=watch.wait, args=[name], daemon=True)
        thread.start()
        threads.append(thread)
        return thread

    yield start
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def called(server: Server, *calls: Call) -> None:
    eventually(lambda: server.calls == [*calls], message=f"{calls}, was: {server.calls}")


def test_a_job_ends_the_wait_of_its_queue_only(wait: Wait, server: Server) -> None:
    a = wait("a")
    called(server, ("wait", ["a"]))
    wait("b")  # until the round that began with a is over, it waits by itself
    called(server, ("wait", ["a"]), ("wait", ["b"]))
    server.answer("b", "b")
    assert a.is_alive()
    server.answer("a", "a")


def test_the_end_of_a_round_wakes_those_that_are_due(wait: Wait, clock: SimpleNamespace, server: Server) -> None:
    a = wait("a")
    called(server, ("wait", ["a"]))
    clock.now += 2
    server.answer("a")
    called(server, ("wait", ["a"]), ("look", ["a"]), ("wait", ["a"]))  # nothing was due: another round
    assert a.is_alive()
    server.due["a"] = 0.0
    clock.now += 2
    server.answer("a")
    a.join(20)
    assert server.calls[3:] == [("look", ["a"])]


def test_a_queue_that_waited_by_itself_is_looked_at_before_the_next_round(
    wait: Wait, clock: SimpleNamespace, server: Server, watch: Watch
) -> None:
    """What was stored in it meanwhile, to fall due in more than 2 s, has woken nobody."""
    wait("a")
    called(server, ("wait", ["a"]))
    b = wait("b")
    called(server, ("wait", ["a"]), ("wait", ["b"]))
    server.due["b"] = 0.0
    clock.now += watch_module.ROUND_SECONDS - watch_module.EARLY_SECONDS
    server.answer("b")
    eventually(lambda: "b" in watch._waiting)
    server.answer("a")
    b.join(20)
    looks = [names for kind, names in server.calls[2:] if kind == "look"]
    assert "b" in looks[-1]
    assert not any(kind == "wait" and "b" in names for kind, names in server.calls[2:])
    eventually(lambda: server.calls[-1] == ("wait", ["a"]))
    server.answer("a", "a")


def test_rounds_grow_while_a_queue_is_busy_and_nobody_comes(wait: Wait, clock: SimpleNamespace, server: Server) -> None:
    a = wait("a")
    lengths = [watch_module.FIRST_ROUND_SECONDS * 2**doubled for doubled in range(5)] + [watch_module.ROUND_SECONDS] * 2
    for number, length in enumerate(lengths, 1):
        eventually(lambda: [kind for kind, _ in server.calls].count("wait") == number)  # noqa: B023 - it returns at once
        assert server.waits[-1] == (["a"], length)
        clock.now += length
        if number == len(lengths):
            server.due["a"] = 0.0
        server.answer("a")
    a.join(20)


def test_a_round_is_short_when_others_may_come_soon_and_long_with_all(
    wait: Wait, clock: SimpleNamespace, server: Server, watch: Watch
) -> None:
    """Workers on hundreds of queues find them empty one by one: each would wait by itself for 2 s."""
    a = wait("a")
    called(server, ("wait", ["a"]))
    b = wait("b")
    called(server, ("wait", ["a"]), ("wait", ["b"]))
    alone = watch_module.FIRST_ROUND_SECONDS - watch_module.EARLY_SECONDS
    assert server.waits == [(["a"], watch_module.FIRST_ROUND_SECONDS), (["b"], round(alone, 6))]
    clock.now += alone
    server.answer("b")
    eventually(lambda: "b" in watch._waiting)
    server.answer("a")
    eventually(lambda: server.calls[2:] == [("look", ["a"]), ("look", ["a", "b"]), ("wait", ["a", "b"])])
    assert server.waits[-1] == (["a", "b"], watch_module.ROUND_SECONDS)
    server.answer("a b", "a")
    a.join(20)
    eventually(lambda: server.calls[-1] == ("wait", ["b"]))
    assert server.waits[-1] == (["b"], watch_module.FIRST_ROUND_SECONDS)
    server.answer("b", "b")
    b.join(20)


def test_the_watch_ends_when_all_queues_have_left(
    wait: Wait, clock: SimpleNamespace, server: Server, watch: Watch
) -> None:
    a = wait("a")
    called(server, ("wait", ["a"]))
    b = wait("b")
    called(server, ("wait", ["a"]), ("wait", ["b"]))
    watch.leave("a")
    watch.leave("b")
    for _, names in list(server.calls):  # the commands that wait end by themselves
        clock.now += watch_module.ROUND_SECONDS
        server.answer(" ".join(names))
    for thread in (a, b, watch._thread):
        thread.join(20)
        assert not thread.is_alive()
    wait("a").join(20)  # one that comes late waits for nothing
