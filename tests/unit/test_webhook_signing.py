"""Signatures: known answers, and what doesn't verify."""

from __future__ import annotations

import pytest

from svcjobs.errors import ConfigurationError
from svcjobs.webhooks.signing import body_of, sign, sign_all, verify

# RFC 4231, test case 2
RFC_SIGNATURE = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"


def test_the_signature_is_hmac_sha256_over_the_bytes() -> None:
    assert sign("Jefe", b"what do ya want for nothing?") == RFC_SIGNATURE
    assert sign(b"Jefe", b"what do ya want for nothing?") == RFC_SIGNATURE


def test_a_mapping_is_signed_as_it_is_sent() -> None:
    payload = {"b": "é", "a": [1, {"d": None, "c": 1.5}]}
    assert body_of(payload) == b'{"a":[1,{"c":1.5,"d":null}],"b":"\\u00e9"}'
    assert sign("s", payload) == sign("s", body_of(payload))
    assert sign("s", payload) == sign("s", {"a": payload["a"], "b": "é"})


def test_only_the_right_secret_body_and_signature_verify() -> None:
    signature = sign("right", b"body")
    assert verify("right", b"body", signature)
    assert not verify("wrong", b"body", signature)
    assert not verify("right", b"body ", signature)
    for changed in ("", signature[:-1], signature + "0", signature.upper(), "é" * 64, "\ud800"):
        assert not verify("right", b"body", changed)


def test_any_of_several_secrets_verifies_while_they_rotate() -> None:
    for secret in ("old", "new"):
        assert verify(["old", b"new"], {"a": 1}, sign(secret, {"a": 1}))
    assert not verify(("old", "new"), {"a": 1}, sign("other", {"a": 1}))


def test_a_header_with_several_signatures_verifies_under_each_secret() -> None:
    header = sign_all(["new", b"old"], b"body")
    assert header == sign("new", b"body") + "," + sign("old", b"body")
    for secrets in ("new", "old", ["other", "old"]):
        assert verify(secrets, b"body", header)
        assert verify(secrets, b"body", header.replace(",", ", "))
    assert not verify("other", b"body", header)
    assert not verify("new", b"body ", header)
    assert sign_all("only", b"body") == sign("only", b"body")


def test_no_secret_is_an_error_and_no_pass() -> None:
    for secrets in ("", b"", [], ["right", ""]):
        with pytest.raises(ConfigurationError, match="secret"):
            verify(secrets, b"body", sign("right", b"body"))
    with pytest.raises(ConfigurationError, match="secret"):
        sign("", b"body")
    with pytest.raises(ConfigurationError, match="secret"):
        sign_all([], b"body")
