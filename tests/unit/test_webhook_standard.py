"""Signatures of Standard Webhooks: its published example, and its reference implementation both ways."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from svcjobs.errors import ConfigurationError
from svcjobs.webhooks.standard import sign_standard, verify_standard

# the example that the reference implementations in all languages test with
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT = 1_614_265_330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
HEADERS = {"webhook-id": MESSAGE_ID, "webhook-timestamp": str(AT), "webhook-signature": SIGNATURE}


def verifies(secrets: object = SECRET, body: bytes = BODY, at: float = AT, **changes: str) -> bool:
    headers = HEADERS | {f"webhook-{name}": value for name, value in changes.items()}
    return verify_standard(secrets, body, headers, clock=lambda: at)  # type: ignore[arg-type]


def test_the_published_example() -> None:
    assert sign_standard(SECRET, MESSAGE_ID, AT, BODY) == SIGNATURE
    assert sign_standard(SECRET.removeprefix("whsec_"), MESSAGE_ID, AT, BODY) == SIGNATURE
    assert sign_standard(base64.b64decode(SECRET[6:]), MESSAGE_ID, AT, BODY) == SIGNATURE
    assert verifies()


def test_the_reference_implementation_takes_ours() -> None:
    now = int(datetime.now(UTC).timestamp())
    signature = sign_standard([b"new" * 9, SECRET], MESSAGE_ID, now, BODY)
    headers = {"webhook-id": MESSAGE_ID, "webhook-timestamp": str(now), "webhook-signature": signature}
    for secret in (SECRET, base64.b64encode(b"new" * 9).decode()):
        assert Webhook(secret).verify(BODY, headers) == {"test": 2432232314}
    with pytest.raises(WebhookVerificationError):
        Webhook(base64.b64encode(b"other").decode()).verify(BODY, headers)


def test_we_take_those_of_the_reference_implementation() -> None:
    now = int(datetime.now(UTC).timestamp())
    at = datetime.fromtimestamp(now, UTC)
    signature = Webhook(SECRET).sign(MESSAGE_ID, at, BODY.decode())
    headers = {"Webhook-Id": MESSAGE_ID, "Webhook-Timestamp": str(now), "Webhook-Signature": signature}
    assert verify_standard(SECRET, BODY, headers)


def test_one_of_several_signatures_under_one_of_several_secrets_is_enough() -> None:
    assert verifies(signature=f"v1,abc v2,{SIGNATURE[3:]} {SIGNATURE}")
    assert verifies([b"another", SECRET])


@pytest.mark.parametrize(
    "changes",
    [
        {"body": BODY + b" "},
        {"secrets": b"another"},
        {"id": "msg_other"},
        {"id": ""},
        {"timestamp": str(AT + 1)},
        {"timestamp": f" {AT}"},
        {"timestamp": ""},
        {"timestamp": "9" * 5000},
        {"signature": ""},
        {"signature": SIGNATURE[3:]},
        {"signature": SIGNATURE.replace("v1", "v2")},
        {"signature": SIGNATURE.replace("v1,", "v1, ")},
        {"signature": "é\ud800"},
    ],
)
def test_what_was_changed_does_not_verify(changes: dict[str, object]) -> None:
    assert not verifies(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("away", "taken"), [(-301, False), (-300, True), (300, True), (301, False)])
def test_old_and_future_requests_do_not_verify(away: int, taken: bool) -> None:
    assert verifies(at=AT + away) is taken


def test_a_request_without_the_headers_does_not_verify() -> None:
    assert not verify_standard(SECRET, BODY, {}, clock=lambda: AT)
    # an empty id and time are signed all right, and still are none
    signature = sign_standard(SECRET, "", 0, BODY)
    assert not verify_standard(SECRET, BODY, {"webhook-signature": signature, "webhook-timestamp": "0"}, clock=float)


@pytest.mark.parametrize("secret", ["", "whsec_", b"", "not base64!", "é", []])
def test_a_secret_that_is_none_is_an_error(secret: object) -> None:
    with pytest.raises(ConfigurationError, match="secret"):
        sign_standard(secret, MESSAGE_ID, AT, BODY)  # type: ignore[arg-type]
