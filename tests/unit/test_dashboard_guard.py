"""Whom the dashboard lets in, and which requests change nothing."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request

from svcjobs.dashboard import loopback_only, password_required
from svcjobs.errors import ConfigurationError
from svcjobs.queue import InMemoryJobQueue
from tests.unit.dashboard_client import client_of, kill


@pytest.fixture
def queue() -> InMemoryJobQueue:
    return InMemoryJobQueue()


def test_a_form_of_another_site_changes_nothing(queue: InMemoryJobQueue) -> None:
    job_id = kill(queue)
    client = client_of(queue)
    for headers in ({"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}):
        assert client.post(f"/requeue?queue=jobs&id={job_id}", headers=headers).status_code == 403
    del client.headers["sec-fetch-site"]
    for headers in ({}, {"origin": "http://evil.example"}, {"origin": "null"}, {"origin": "", "host": ""}):
        assert client.post(f"/requeue?queue=jobs&id={job_id}", headers=headers).status_code == 403
    assert client.get(f"/requeue?queue=jobs&id={job_id}").status_code == 405
    assert queue.place(job_id) == "dead"
    assert client.post(f"/requeue?queue=jobs&id={job_id}", headers={"origin": "http://localhost"}).status_code == 303


@pytest.mark.parametrize(
    ("host", "base", "headers"),
    [
        ("192.0.2.1", "http://localhost", {}),
        ("127.0.0.1", "http://rebound.example", {}),
        ("127.0.0.1", "http://localhost", {"x-forwarded-for": "192.0.2.1"}),
        ("127.0.0.1", "http://localhost", {"forwarded": "for=192.0.2.1"}),
    ],
)
def test_only_this_machine_is_let_in_without_a_password(
    queue: InMemoryJobQueue, host: str, base: str, headers: dict[str, str]
) -> None:
    for path in ("/", "/static/dashboard.css"):
        assert client_of(queue, host=host, base=base).get(path, headers=headers).status_code == 403


def test_a_password_lets_in_from_anywhere(queue: InMemoryJobQueue) -> None:
    client = client_of(queue, host="192.0.2.1", base="http://jobs.example", authenticate=password_required("sésame"))
    assert client.get("/").status_code == 401
    assert client.get("/", auth=("ops", "wrong")).status_code == 401
    assert client.get("/", headers={"authorization": "Basic %"}).status_code == 401
    assert client.get("/", headers={"authorization": "Basic b3BzOnPDqXNhbWU="}).status_code == 200


def test_read_only_shows_and_changes_nothing(queue: InMemoryJobQueue) -> None:
    job_id = kill(queue)
    client = client_of(queue, read_only=True)
    assert "<button" not in client.get(f"/job?queue=jobs&id={job_id}").text
    assert client.post(f"/requeue?queue=jobs&id={job_id}").status_code == 404
    assert queue.place(job_id) == "dead"


def test_an_empty_password_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="empty"):
        password_required("")


@pytest.mark.parametrize(("version", "let_in"), [("1.1", True), ("2", True), ("1.0", False)])
def test_what_an_old_proxy_passes_on_is_refused(version: str, let_in: bool) -> None:
    scope: dict[str, Any] = {
        "type": "http", "method": "GET", "path": "/", "query_string": b"", "scheme": "http", "http_version": version,
        "headers": [(b"host", b"127.0.0.1:8090")], "client": ("127.0.0.1", 5000),
    }  # fmt: skip
    assert (loopback_only(Request(scope)) is None) is let_in
