"""Delivery of webhooks: one signed POST an attempt; the queue keeps the retries."""

from __future__ import annotations

import re
import ssl
from collections.abc import Awaitable, Callable, Collection, Coroutine
from functools import partial
from typing import Any

from svcjobs.builtins.webhook_headers import documented_form, standard_form
from svcjobs.builtins.webhook_message import WebhookMessage, read_message
from svcjobs.db.inbox import AsyncInbox, Inbox
from svcjobs.db.outbox import AsyncOutbox, Outbox
from svcjobs.errors import ConfigurationError, DeadLetter, WebhookFailed
from svcjobs.job import Job
from svcjobs.threads import Threads
from svcjobs.webhooks.answers import judge, works
from svcjobs.webhooks.destinations import Destinations
from svcjobs.webhooks.hosts import Hosts
from svcjobs.webhooks.limits import DeliveryLimits
from svcjobs.webhooks.posting import Posting, checked_url, origin
from svcjobs.webhooks.signing import Secrets

REMEMBER_SECONDS = 7 * 86_400
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # a token by RFC 9110, 5.6.2


def make_webhook_handler(
    *,
    outbox: Outbox | AsyncOutbox,
    inbox: Inbox | AsyncInbox,
    get_webhook_url_for_topic: Callable[[str], str | Awaitable[str]],
    get_secret_for_topic: Callable[[str], Secrets | Awaitable[Secrets]],
    header_name: str = "X-Signature",
    standard_webhooks: bool = False,
    allowed_destinations: Collection[str] = (),
    limits: DeliveryLimits = DeliveryLimits(),  # noqa: B008 - frozen
    tls: ssl.SSLContext | None = None,
) -> Callable[[Job], Coroutine[Any, Any, None]]:
    """A job handler that sends the event in a job's payload to a URL, signed.

    The payload is ``{"outbox_id", "topic", "payload"}``; see :func:`~svcjobs.builtins.webhook_message.read_message`
    for envelopes. A 2xx answer marks the inbox for a week and the outbox message as processed, and the same event
    is not sent to the same receiver again. Proxies aren't used, what the body of an answer says doesn't matter.

    Args:
        outbox: where the message is marked as processed. Coroutine methods are awaited, others called in a thread.
        inbox: remembers what was delivered; called as ``outbox``.
        get_webhook_url_for_topic: the receiver of a topic; ``user:password@`` becomes basic authentication. Called in
            the event loop, and awaited if it is ``async``, as the next one.
        get_secret_for_topic: the secret that signs its events; or a list of them, each of which signs, while they
            rotate.
        header_name: header of the signature.
        standard_webhooks: send the headers of the Standard Webhooks specification, in place of those with the id, the
            time and the signature.
        allowed_destinations: hosts, addresses and networks beyond the public ones that webhooks may go to; see
            :class:`~svcjobs.webhooks.destinations.Destinations`.
        limits: of time, size, redirects, and of what goes to one host.
        tls: how receivers are verified; None trusts the public authorities.

    Returns:
        The handler. It raises DeadLetter for a 4xx answer other than 408, 425 and 429, for a payload or URL that can't
        be used and for a host at a forbidden address; RetryLater for other answers that carry Retry-After (a day at
        most); Postponed, which charges no attempt, while the host is busy with other deliveries or its circuit is
        open; WebhookFailed for the rest. None says secrets, nor more of the URL than scheme, host and port.

    Raises:
        ConfigurationError: an argument can't be used. Importing this module raises it when httpx isn't installed.
    """
    if not HEADER_NAME.fullmatch(header_name):
        raise ConfigurationError(f"header_name is {header_name!r}: give a header's name, such as X-Signature")
    form = standard_form if standard_webhooks else documented_form(header_name)
    hosts = Hosts(limits)
    posting = Posting(limits, Destinations(allowed_destinations), tls)
    threads = Threads("svcjobs-webhook")

    async def send(message: WebhookMessage) -> None:
        url = checked_url(message.url)
        if url is None:
            why = f"the webhook URL for topic {message.topic} isn't an absolute http:// or https:// URL"
            raise DeadLetter(why, reason="invalid_url")
        what = f"webhook {message.outbox_id} (topic {message.topic}) to {origin(url)}"
        headers = form(message)
        with hosts.visit(origin(url), what) as visit:
            try:
                answer = await posting.post(url, headers, message.body, what)
            except WebhookFailed:
                visit.healthy = False
                raise
            visit.healthy = works(answer.status)
        judge(answer.status, answer.retry_after, what)

    async def deliver_webhook(job: Job) -> None:
        message = await read_message(job, get_webhook_url_for_topic, get_secret_for_topic)
        key = message.inbox_key
        if not await threads.run(partial(inbox.is_marked, key), like=inbox.is_marked):
            await send(message)
            # after the answer and not before: a worker that is killed in between sends twice rather than never
            await threads.run(partial(inbox.mark, key, REMEMBER_SECONDS), like=inbox.mark)
        await threads.run(partial(outbox.mark_processed, message.outbox_id), like=outbox.mark_processed)

    return deliver_webhook
