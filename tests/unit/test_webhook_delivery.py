"""What webhooks are sent, and what becomes of the answers, over real HTTP on the loopback interface."""

from __future__ import annotations

import base64
import json
import logging
import time
import traceback
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest

from svcjobs.db.inbox import InMemoryInboxStore
from svcjobs.db.outbox import InMemoryOutboxStore
from svcjobs.errors import ConfigurationError, DeadLetter, RetryLater, WebhookFailed
from svcjobs.job import Job
from svcjobs.webhooks.signing import verify
from tests.webhook_jobs import EVENT, Deliver, envelope, webhook
from tests.webhook_receiver import Receiver, hang_up, status

pytest_plugins = ["tests.webhook_handler"]


# what is sent


async def test_the_event_is_sent_signed_over_the_bytes_sent(deliver: Deliver, receiver: Receiver) -> None:
    before = int(time.time())
    await deliver(webhook(attempts=3))
    ((path, headers, body),) = receiver.requests
    assert path == "/hook"
    assert json.loads(body) == EVENT
    assert verify("secret of user.created", body, headers["X-Signature"])
    expected = {
        "Content-Type": "application/json",
        "X-Event-Id": "123",
        "X-Topic": "user.created",
        "X-Attempt": "3",
        "X-Signature-Alg": "hmac-sha256",
        "X-Signature-Version": "v1",
        "X-Payload-Version": "1",
    }
    assert expected.items() <= headers.items()
    assert before <= int(headers["X-Timestamp"]) <= time.time()
    assert "X-Webhook-Subscription" not in headers


async def test_the_signature_header_has_the_name_asked_for(make: Callable[..., Deliver], receiver: Receiver) -> None:
    await make(header_name="X-My-Signature")(webhook())
    _, headers, body = receiver.requests[0]
    assert verify("secret of user.created", body, headers["X-My-Signature"])
    assert "X-Signature" not in headers


@pytest.mark.parametrize(("version", "sent"), [(2, "2"), ("2024-01", "2024-01"), ({"no": 1}, "1"), ("a\nb", "1")])
async def test_the_payload_version_is_the_events_own(
    deliver: Deliver, receiver: Receiver, version: Any, sent: str
) -> None:
    await deliver(webhook(payload={"version": version}))
    assert receiver.requests[0][1]["X-Payload-Version"] == sent


async def test_an_envelope_names_the_receiver_and_only_the_event_is_sent(
    make: Callable[..., Deliver], receiver: Receiver
) -> None:
    deliver = make(get_webhook_url_for_topic=lambda topic: "http://127.0.0.1:1/", get_secret_for_topic=lambda topic: "")
    subscription = {"id": 7, "url": receiver.url + "/7", "secret": "its own", "topic": "user.*"}
    await deliver(webhook(payload=envelope(**subscription)))
    ((path, headers, body),) = receiver.requests
    assert path == "/hook/7"
    assert json.loads(body) == EVENT
    assert verify("its own", body, headers["X-Signature"])
    assert headers["X-Webhook-Subscription"] == "7"
    assert headers["X-Topic"] == "user.created"


async def test_what_an_envelope_leaves_out_is_taken_from_the_topic(deliver: Deliver, receiver: Receiver) -> None:
    await deliver(webhook(payload=envelope(id="s")))
    _, headers, body = receiver.requests[0]
    assert verify("secret of user.created", body, headers["X-Signature"])


async def test_a_password_in_the_url_becomes_basic_authentication(
    make: Callable[..., Deliver], receiver: Receiver
) -> None:
    url = receiver.url.replace("http://", "http://me:p%40ss@")
    await make(get_webhook_url_for_topic=lambda topic: url)(webhook())
    headers = receiver.requests[0][1]
    assert headers["Authorization"] == "Basic " + base64.b64encode(b"me:p@ss").decode()
    assert "@" not in headers["Host"]


# once it is delivered


async def test_a_repeat_of_a_delivered_event_is_not_sent_again(
    deliver: Deliver, receiver: Receiver, outbox: InMemoryOutboxStore
) -> None:
    message = outbox.enqueue("user.created", EVENT)
    await deliver(webhook(message.id))
    await deliver(webhook(message.id, attempts=2))
    assert len(receiver.requests) == 1
    processed = outbox.get(message.id)
    assert processed is not None
    assert processed.processed_at is not None


async def test_a_repeat_after_a_kill_before_the_outbox_mark_marks_it(
    deliver: Deliver, inbox: InMemoryInboxStore, outbox: InMemoryOutboxStore, make: Callable[..., Deliver]
) -> None:
    class KilledOutbox(InMemoryOutboxStore):
        def mark_processed(self, *message_ids: int) -> None:
            raise RuntimeError("killed")

    message = outbox.enqueue("user.created", EVENT)
    with pytest.raises(RuntimeError):
        await make(outbox=KilledOutbox())(webhook(message.id))
    await deliver(webhook(message.id))
    processed = outbox.get(message.id)
    assert processed is not None
    assert processed.processed_at is not None


async def test_other_events_and_other_receivers_are_no_repeats(deliver: Deliver, receiver: Receiver) -> None:
    jobs = [
        webhook(1),
        webhook(2),
        webhook(1, topic="user.deleted"),
        webhook(1, payload={"another": "database"}),
        webhook(1, payload=envelope(id="a")),
        webhook(1, payload=envelope(id="b")),
        webhook(1, payload=envelope(url=receiver.url + "/c")),
    ]
    for job in jobs + jobs:
        await deliver(job)
    assert len(receiver.requests) == len(jobs)


async def test_a_failed_delivery_is_marked_nowhere(
    deliver: Deliver, receiver: Receiver, outbox: InMemoryOutboxStore
) -> None:
    message = outbox.enqueue("user.created", EVENT)
    receiver.answer = status(500)
    with pytest.raises(WebhookFailed):
        await deliver(webhook(message.id))
    assert outbox.fetch_next() == message
    receiver.answer = status(204)
    await deliver(webhook(message.id))
    assert len(receiver.requests) == 2


# what the answer means


@pytest.mark.parametrize("code", [200, 201, 202, 204, 299])
async def test_2xx_is_delivered(deliver: Deliver, receiver: Receiver, code: int) -> None:
    receiver.answer = status(code)
    await deliver(webhook())


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 304, 600])
async def test_what_may_pass_is_retried(deliver: Deliver, receiver: Receiver, code: int) -> None:
    receiver.answer = status(code)
    with pytest.raises(WebhookFailed, match=f"answered {code}") as caught:
        await deliver(webhook())
    assert caught.value.status == code


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 422, 499])
async def test_what_no_retry_can_help_is_dead_at_once(deliver: Deliver, receiver: Receiver, code: int) -> None:
    receiver.answer = status(code, Retry_After="5")
    with pytest.raises(DeadLetter, match=f"answered {code}") as caught:
        await deliver(webhook())
    assert caught.value.reason == f"http_{code}"


@pytest.mark.parametrize("code", [429, 503])
async def test_retry_after_is_honoured(deliver: Deliver, receiver: Receiver, code: int) -> None:
    receiver.answer = status(code, Retry_After="120")
    with pytest.raises(RetryLater) as caught:
        await deliver(webhook())
    assert caught.value.delay_seconds == 120


async def test_retry_after_may_be_a_date(deliver: Deliver, receiver: Receiver) -> None:
    receiver.answer = status(503, Retry_After=formatdate(time.time() + 100, usegmt=True))
    with pytest.raises(RetryLater) as caught:
        await deliver(webhook())
    assert 95 < caught.value.delay_seconds <= 100


@pytest.mark.parametrize(
    "far", ["99999999999999999999999", formatdate(time.time() + 10**9, usegmt=True)], ids=["seconds", "date"]
)
async def test_retry_after_is_a_day_at_most(deliver: Deliver, receiver: Receiver, far: str) -> None:
    receiver.answer = status(503, Retry_After=far)
    with pytest.raises(RetryLater) as caught:
        await deliver(webhook())
    assert caught.value.delay_seconds == 86_400


@pytest.mark.parametrize("nothing", ["0", "-5", "soon", "", "Wed, 21 Oct 2015 07:28:00 GMT", "²", "nan"])
async def test_a_retry_after_that_says_nothing_leaves_the_jobs_own_backoff(
    deliver: Deliver, receiver: Receiver, nothing: str
) -> None:
    receiver.answer = status(503, Retry_After=nothing)
    with pytest.raises(WebhookFailed):
        await deliver(webhook())


# jobs that can't be delivered


@pytest.mark.parametrize(
    "job",
    [
        webhook(outbox_id=None),
        webhook(outbox_id="1"),
        webhook(outbox_id=True),
        webhook(topic=None),
        webhook(topic=""),
        webhook(topic="a\r\nX-Injected: 1"),
        webhook(topic="zoë"),
        webhook(payload=None),
        webhook(payload=[1]),
        webhook(payload=envelope(id="a\nb")),
        Job(id="1", name="webhook", payload={}),
    ],
)
async def test_a_job_without_a_webhook_is_dead_at_once(deliver: Deliver, receiver: Receiver, job: Job) -> None:
    with pytest.raises(DeadLetter, match="holds no webhook") as caught:
        await deliver(job)
    assert caught.value.reason == "invalid_payload"
    assert receiver.requests == []


@pytest.mark.parametrize(
    "url", ["ftp://x/", "/relative", "http://", "javascript:alert(1)", "http://[::1", "http://a:b/"]
)
async def test_a_url_that_is_none_is_dead_at_once(deliver: Deliver, url: str) -> None:
    with pytest.raises(DeadLetter, match="URL") as caught:
        await deliver(webhook(payload=envelope(url=url)))
    assert caught.value.reason == "invalid_url"


@pytest.mark.parametrize("secret", ["", None, 5])
async def test_nothing_is_sent_without_a_secret(make: Callable[..., Deliver], receiver: Receiver, secret: Any) -> None:
    with pytest.raises(ConfigurationError, match="no secret"):
        await make(get_secret_for_topic=lambda topic: secret)(webhook())
    assert receiver.requests == []


@pytest.mark.parametrize("code", [204, 302, 404, 429, 500, 0])
async def test_secrets_are_in_no_log_and_no_error(
    deliver: Deliver, receiver: Receiver, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    caplog.set_level(logging.DEBUG)
    url = receiver.url.replace("http://", "http://me:hush1@") + "/hush2?token=hush3"
    receiver.answer = status(code, Retry_After="9") if code else hang_up
    job = webhook(payload=envelope(id="s", url=url, secret="hush4"))
    seen = ""
    try:
        await deliver(job)
    except Exception as error:
        seen = "".join(traceback.format_exception(error))
    assert ("http://127.0.0.1:" in seen) == (code != 204)
    assert "hush" not in seen + caplog.text
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    "options", [{"header_name": ""}, {"header_name": "X:\r\n"}, {"allowed_destinations": "127.0.0.1"}]
)
def test_arguments_that_cannot_be_meant_are_refused(make: Callable[..., Deliver], options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        make(**options)
