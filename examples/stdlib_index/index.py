"""Where the answers go: one entry per question and file, so that a job that runs twice counts once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

import redis

Answer = Mapping[str, int]


class Index(Protocol):
    """Answers by question and file."""

    def put(self, question: str, path: str, answer: Answer) -> None:
        """Store an answer; a second one for the same question and file replaces the first."""
        ...

    def count(self) -> int:
        """How many answers there are."""
        ...

    def runs(self) -> int:
        """How often :meth:`put` was called."""
        ...

    def answers(self) -> dict[tuple[str, str], Answer]:
        """All answers, by question and file."""
        ...


class MemoryIndex:
    """An index for jobs that run in this process."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], Answer] = {}
        self._runs = 0

    def put(self, question: str, path: str, answer: Answer) -> None:
        self._answers[question, path] = answer
        self._runs += 1

    def count(self) -> int:
        return len(self._answers)

    def runs(self) -> int:
        return self._runs

    def answers(self) -> dict[tuple[str, str], Answer]:
        return dict(self._answers)


class RedisIndex:
    """An index for jobs that run in worker processes."""

    def __init__(self, client: redis.Redis) -> None:
        self._client: Any = client

    def put(self, question: str, path: str, answer: Answer) -> None:
        with self._client.pipeline() as pipe:
            pipe.hset("index:answers", f"{question}:{path}", json.dumps(answer))
            pipe.incr("index:runs")
            pipe.execute()

    def count(self) -> int:
        return int(self._client.hlen("index:answers"))

    def runs(self) -> int:
        return int(self._client.get("index:runs") or 0)

    def answers(self) -> dict[tuple[str, str], Answer]:
        stored = self._client.hgetall("index:answers").items()
        named = ((field.decode().partition(":"), value) for field, value in stored)
        return {(question, path): json.loads(value) for (question, _, path), value in named}
