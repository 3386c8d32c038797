"""The headers that a webhook is sent with: in the documented form, or in that of Standard Webhooks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeAlias

from svcjobs.builtins.webhook_message import WebhookMessage
from svcjobs.webhooks.signing import ALGORITHM, VERSION, sign_all
from svcjobs.webhooks.standard import sign_standard

HeaderForm: TypeAlias = Callable[[WebhookMessage], Mapping[str, str]]
"""Makes the headers of a message, its signature among them."""


def documented_form(header_name: str) -> HeaderForm:
    """``X-Event-Id``, ``X-Timestamp`` and so on, with the signature in the header of that name."""

    def headers(message: WebhookMessage) -> Mapping[str, str]:
        return {
            **_common(message),
            "X-Event-Id": str(message.outbox_id),
            "X-Timestamp": str(int(time.time())),
            "X-Signature-Alg": ALGORITHM,
            "X-Signature-Version": VERSION,
            header_name: sign_all(message.secrets, message.body),
        }

    return headers


def standard_form(message: WebhookMessage) -> Mapping[str, str]:
    """``webhook-id``, ``webhook-timestamp`` and ``webhook-signature``; the topic and the attempt are ours."""
    message_id, timestamp = message.global_id, int(time.time())
    return {
        **_common(message),
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign_standard(message.secrets, message_id, timestamp, message.body),
    }


def _common(message: WebhookMessage) -> dict[str, str]:
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "svcjobs",
        "X-Topic": message.topic,
        "X-Attempt": str(message.attempt),
        "X-Payload-Version": message.version,
    }
    if message.subscription_id is not None:
        headers["X-Webhook-Subscription"] = message.subscription_id
    return headers
