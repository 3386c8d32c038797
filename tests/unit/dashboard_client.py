"""A browser without a screen, for pages of the dashboard on queues in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from svcjobs.dashboard import create_app
from svcjobs.queue import InMemoryJobQueue

SAME = {"sec-fetch-site": "same-origin"}


class Client:
    """A browser that shows nothing: each request is one of the application's own loop."""

    def __init__(self, app: Any, *, host: str = "127.0.0.1", base: str = "http://localhost") -> None:
        self._app, self._host, self._base = app, host, base
        self.headers = dict(SAME)
        self._cookies = httpx.Cookies()

    def get(self, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._request("GET", path, **options))

    def post(self, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._request("POST", path, **options))

    async def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self._app, client=(self._host, 5000))
        async with httpx.AsyncClient(
            transport=transport, base_url=self._base, headers=self.headers, cookies=self._cookies
        ) as client:
            answer = await client.request(method, path, **options)
            self._cookies = client.cookies
            return answer


def client_of(
    *queues: InMemoryJobQueue, host: str = "127.0.0.1", base: str = "http://localhost", **options: Any
) -> Client:
    return Client(create_app(queues, **options), host=host, base=base)


def kill(
    queue: InMemoryJobQueue, name: str = "charge", payload: dict[str, Any] | None = None, error: str = "declined"
) -> str:
    queue.enqueue(name, payload or {})
    job = queue.reserve_next()
    assert job is not None
    queue.bury(job, reason="rejected", error=error, traceback=f"Traceback\n  {error}")
    return job.id
