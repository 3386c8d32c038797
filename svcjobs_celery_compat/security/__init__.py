"""Signed messages: ``app.setup_security()``. Needs the package cryptography."""

from __future__ import annotations

from typing import Any

from kombu.serialization import disable_insecure_serializers as _disable_insecure_serializers
from kombu.serialization import registry

from svcjobs_celery_compat.exceptions import ImproperlyConfigured
from svcjobs_celery_compat.security.serialization import register_auth

__all__ = ("disable_untrusted_serializers", "setup_security")


def setup_security(
    allowed_serializers: Any = None,
    key: str | None = None,
    key_password: bytes | None = None,
    cert: str | None = None,
    store: str | None = None,
    digest: str | None = None,
    serializer: str = "json",
    app: Any = None,
) -> None:
    """Sign messages and refuse those that aren't signed; see :meth:`Celery.setup_security`.

    :param allowed_serializers: names of serializers that are accepted besides (default: none).
    :param key: path of the private key, PEM (default: ``security_key``).
    :param key_password: of the key's file (default: ``security_key_password``).
    :param cert: path of the certificate (default: ``security_certificate``).
    :param store: directory or pattern of the certificates that are trusted (default: ``security_cert_store``).
    :param digest: name of the hash that is signed (default: ``security_digest``).
    :param serializer: of what is signed.
    :raises ImproperlyConfigured: the settings aren't made for it, or cryptography isn't installed.
    """
    if app is None:
        from svcjobs_celery_compat import current_app

        app = current_app

    _disable_insecure_serializers(allowed_serializers)

    conf = app.conf
    if conf.task_serializer != "auth" or conf.accept_content != ["auth"]:
        raise ImproperlyConfigured(
            "Signed messages need the settings task_serializer = 'auth' and accept_content = ['auth']: "
            "who accepts others as well gains nothing by signing."
        )
    key = key or conf.security_key
    cert = cert or conf.security_certificate
    store = store or conf.security_cert_store
    if not (key and cert and store):
        raise ImproperlyConfigured(
            "Signed messages need the settings security_key, security_certificate and security_cert_store."
        )
    try:
        import cryptography  # noqa: F401 - is it there?
    except ImportError:
        raise ImproperlyConfigured("Signed messages need the package cryptography: pip install cryptography") from None

    with open(key) as key_file, open(cert) as cert_file:  # noqa: PTH123 - the built-in, which tests replace
        register_auth(
            key_file.read(),
            key_password or conf.security_key_password,
            cert_file.read(),
            store,
            digest or conf.security_digest,
            serializer,
        )
    registry._set_default_serializer("auth")


def disable_untrusted_serializers(whitelist: Any = None) -> None:
    """Refuse messages of all serializers but these."""
    _disable_insecure_serializers(allowed=whitelist)
