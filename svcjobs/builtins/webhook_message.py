"""What is to be delivered where, read from the payload of a job."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from svcjobs.errors import ConfigurationError, DeadLetter
from svcjobs.job import Job
from svcjobs.webhooks.signing import Secret, Secrets, body_of


@dataclass(frozen=True, slots=True)
class WebhookMessage:
    """One event for one receiver.

    Args:
        outbox_id: id of the event, in the outbox it came from.
        topic: what it is about.
        event: what is sent.
        url: the receiver; the secret part of it, like the secret, stays out of the repr.
        secrets: sign the event, each of them.
        subscription_id: the receiver's subscription, when the payload is an envelope that names one.
        attempt: 1 for the first.
    """

    outbox_id: int
    topic: str
    event: dict[str, Any] = field(repr=False)
    url: str = field(repr=False)
    secrets: tuple[Secret, ...] = field(repr=False)
    subscription_id: str | None
    attempt: int

    @property
    def body(self) -> bytes:
        """The event as it is sent and signed."""
        return body_of(self.event)

    @property
    def version(self) -> str:
        """The event's own ``version``, or ``1``."""
        version = self.event.get("version")
        return str(version) if isinstance(version, int | str) and _fits_header(str(version)) else "1"

    @property
    def inbox_key(self) -> str:
        """What marks this event as delivered to this receiver.

        The digest keeps another event apart that has the same number because it comes from another database, and
        receivers that have no subscription id to tell them apart.
        """
        return f"webhook:{self.outbox_id}:{self._digest(self.topic, self.subscription_id or self.url)}"

    @property
    def global_id(self) -> str:
        """The event's id for its receivers, the same for each attempt. The digest is there as in the inbox's key."""
        return f"msg_{self.outbox_id}_{self._digest(self.topic)[:24]}"

    def _digest(self, *texts: str) -> str:
        return hashlib.sha256("\n".join(texts).encode(errors="surrogatepass") + b"\n" + self.body).hexdigest()


async def read_message(
    job: Job,
    url_for_topic: Callable[[str], str | Awaitable[str]],
    secret_for_topic: Callable[[str], Secrets | Awaitable[Secrets]],
) -> WebhookMessage:
    """The message in a job, as ``make_outbox_tick`` or the application put it there.

    Its ``payload`` is the event, or an envelope ``{"event": {…}, "subscription": {"id", "url", "secret"}}``:
    then only the event is sent, and what the subscription says goes before what is known of the topic. A secret may be
    several, the newest first, while they rotate.

    Raises:
        DeadLetter: it is no such payload.
        ConfigurationError: there is no URL or secret.
    """
    outbox_id, topic, payload = (job.payload.get(key) for key in ("outbox_id", "topic", "payload"))
    if type(outbox_id) is not int:
        raise _unreadable(f"its outbox_id is a {type(outbox_id).__name__}: give the number of the outbox message")
    if not isinstance(topic, str) or not _fits_header(topic):
        raise _unreadable("its topic isn't printable ASCII text")
    if not isinstance(payload, dict):
        raise _unreadable(f"its payload is a {type(payload).__name__}: give an object")
    event, subscription = _open_envelope(payload)
    subscription_id = subscription.get("id")
    if subscription_id is not None and not _fits_header(str(subscription_id)):
        raise _unreadable("the id of its subscription isn't printable ASCII text")
    url = subscription.get("url") or await _awaited(url_for_topic(topic))
    secrets = _secrets(subscription.get("secret") or await _awaited(secret_for_topic(topic)))
    if not isinstance(url, str) or not secrets:
        raise ConfigurationError(f"topic {topic} has no webhook URL, or no secret: both must be text that isn't empty")
    return WebhookMessage(
        outbox_id=outbox_id,
        topic=topic,
        event=event,
        url=url,
        secrets=secrets,
        subscription_id=None if subscription_id is None else str(subscription_id),
        attempt=max(job.attempts, 1),
    )


def _open_envelope(payload: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    event, subscription = payload.get("event"), payload.get("subscription")
    if isinstance(event, dict) and isinstance(subscription, dict):
        return event, subscription
    return payload, {}


async def _awaited(value: object) -> object:
    return await value if inspect.isawaitable(value) else value


def _secrets(given: object) -> tuple[Secret, ...]:
    """The secrets, none if there is one among them that can't be used."""
    found = given if isinstance(given, list | tuple) else (given,)
    return tuple(found) if all(isinstance(secret, str | bytes) and secret for secret in found) else ()


def _fits_header(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable() and text == text.strip()


def _unreadable(why: str) -> DeadLetter:
    return DeadLetter(f"the job holds no webhook: {why}", reason="invalid_payload")
