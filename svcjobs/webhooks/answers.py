"""What a receiver's answer means for the job."""

from __future__ import annotations

import time
from datetime import UTC
from email.utils import parsedate_to_datetime

from svcjobs.errors import DeadLetter, RetryLater, WebhookFailed

LONGEST_RETRY_AFTER_SECONDS = 86_400
RETRIED_4XX = (408, 425, 429)


def judge(status: int, retry_after: str, what: str) -> None:
    """Return when the receiver has taken ``what``.

    Raises:
        DeadLetter: a 4xx that no repetition changes, 410 Gone among them.
        RetryLater: another answer that says when to come again; a day is the longest.
        WebhookFailed: another answer that doesn't.
    """
    if 200 <= status < 300:
        return
    if 400 <= status < 500 and status not in RETRIED_4XX:
        raise DeadLetter(f"{what}: answered {status}", reason=f"http_{status}")
    delay_seconds = _delay_seconds(retry_after)
    if delay_seconds > 0:
        raise RetryLater(delay_seconds, f"{what}: answered {status}, retry after {delay_seconds:g} s")
    raise WebhookFailed(f"{what}: answered {status}", status)


def works(status: int) -> bool:
    """Whether an answer shows that the host works, whatever it has against this webhook."""
    return 200 <= status < 500


def _delay_seconds(retry_after: str) -> float:
    """Seconds to wait by a Retry-After header (RFC 9110, 10.2.3: seconds or a date); 0 when it says nothing."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        # ten digits are more than the limit anyway
        return float(min(int(text[:10]), LONGEST_RETRY_AFTER_SECONDS))
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return 0
    seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - time.time()
    return min(max(seconds, 0), LONGEST_RETRY_AFTER_SECONDS)
