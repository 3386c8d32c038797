"""Signed messages, in Celery's format."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from kombu.serialization import registry

from svcjobs_celery_compat import Celery
from svcjobs_celery_compat.exceptions import ImproperlyConfigured, SecurityError
from svcjobs_celery_compat.security.certificate import Certificate, CertStore, FSCertStore
from svcjobs_celery_compat.security.key import PrivateKey


def make_pair(name: str, days: int = 1) -> tuple[str, str]:
    """A key and its certificate, in PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=10))
        .not_valid_after(now + datetime.timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    pem = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem.decode(), certificate.public_bytes(encoding).decode()


@pytest.fixture(scope="module")
def pairs() -> dict[str, tuple[str, str]]:
    return {"alice": make_pair("alice"), "bob": make_pair("bob"), "late": make_pair("late", days=-1)}


def serializer(pair: tuple[str, str], *trusted: tuple[str, str], package: str = "svcjobs_celery_compat") -> Any:
    """Who signs with a pair and trusts others, of ours or of Celery's."""
    from importlib import import_module

    of = {name: import_module(f"{package}.security.{name}") for name in ("key", "certificate", "serialization")}
    store = of["certificate"].CertStore()
    for _, certificate in trusted:
        store.add_cert(of["certificate"].Certificate(certificate))
    return of["serialization"].SecureSerializer(
        of["key"].PrivateKey(pair[0]), of["certificate"].Certificate(pair[1]), store
    )


@pytest.mark.parametrize("data", [1, "foo", {"foo": [1, None]}, "\x00\x01"])
def test_who_is_trusted_is_read(pairs: dict[str, tuple[str, str]], data: Any) -> None:
    alice, bob = pairs["alice"], pairs["bob"]
    signed = serializer(alice).serialize(data)
    assert serializer(bob, alice).deserialize(signed) == data


def test_celery_and_we_read_each_other(pairs: dict[str, tuple[str, str]]) -> None:
    alice, bob = pairs["alice"], pairs["bob"]
    ours, theirs = serializer(alice, bob), serializer(bob, alice, package="celery")
    assert theirs.deserialize(ours.serialize({"a": 1})) == {"a": 1}
    assert ours.deserialize(theirs.serialize({"a": 1})) == {"a": 1}


def test_who_is_not_trusted_is_refused(pairs: dict[str, tuple[str, str]]) -> None:
    signed = serializer(pairs["alice"]).serialize(1)
    with pytest.raises(SecurityError, match="Unknown certificate"):
        serializer(pairs["bob"], pairs["bob"]).deserialize(signed)


def test_a_changed_message_is_refused(pairs: dict[str, tuple[str, str]]) -> None:
    from svcjobs_celery_compat.utils.serialization import b64decode, b64encode

    alice = pairs["alice"]
    signed = b64decode(serializer(alice).serialize({"amount": 1}))
    forged = b64encode(signed.replace(b'"amount": 1', b'"amount": 9'))
    with pytest.raises(SecurityError):
        serializer(alice, alice).deserialize(forged)


def test_another_key_than_the_certificates_is_refused(pairs: dict[str, tuple[str, str]]) -> None:
    alice, bob = pairs["alice"], pairs["bob"]
    signed = serializer((alice[0], bob[1])).serialize(1)
    with pytest.raises(SecurityError):
        serializer(bob, alice, bob).deserialize(signed)


def test_an_expired_certificate_is_refused(pairs: dict[str, tuple[str, str]], tmp_path: Path) -> None:
    (tmp_path / "late.pem").write_text(pairs["late"][1])
    with pytest.raises(SecurityError, match="Expired"):
        FSCertStore(str(tmp_path))


@pytest.mark.parametrize("text", ["", "foo"])
def test_what_is_no_key_or_certificate(text: str) -> None:
    with pytest.raises(SecurityError):
        PrivateKey(text)
    with pytest.raises(SecurityError):
        Certificate(text)


def test_an_app_signs(pairs: dict[str, tuple[str, str]], tmp_path: Path) -> None:
    key, certificate = pairs["alice"]
    (tmp_path / "alice.key").write_text(key)
    (tmp_path / "alice.pem").write_text(certificate)
    app = Celery("signed", set_as_current=False)
    app.conf.update(task_serializer="auth", accept_content=["auth"])
    try:
        with pytest.raises(ImproperlyConfigured, match="security_key"):
            app.setup_security()
        app.conf.update(
            security_key=str(tmp_path / "alice.key"),
            security_certificate=str(tmp_path / "alice.pem"),
            security_cert_store=str(tmp_path / "*.pem"),
        )
        app.setup_security()
        content_type, _, body = registry.dumps({"a": 1})
        assert content_type == "application/data"
        assert registry.loads(body, content_type, "utf-8", accept={"application/data"}) == {"a": 1}
    finally:
        registry._set_default_serializer("json")
        registry._disabled_content_types.clear()
        registry.unregister("auth")


def test_a_store_has_each_certificate_once(pairs: dict[str, tuple[str, str]]) -> None:
    store = CertStore()
    store.add_cert(Certificate(pairs["alice"][1]))
    with pytest.raises(SecurityError, match="Duplicate"):
        store.add_cert(Certificate(pairs["alice"][1]))
