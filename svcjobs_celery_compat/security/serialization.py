"""The serializer ``auth``: messages with a signature, in Celery's format.

A message is base64 of: signer, signature (both base64), content type, content encoding, body; with a separator between.
"""

from __future__ import annotations

from typing import Any

from kombu.serialization import dumps, loads, registry
from kombu.utils.encoding import bytes_to_str, ensure_bytes, str_to_bytes

from svcjobs_celery_compat.app.defaults import DEFAULT_SECURITY_DIGEST
from svcjobs_celery_compat.security.certificate import Certificate, FSCertStore
from svcjobs_celery_compat.security.key import PrivateKey
from svcjobs_celery_compat.security.utils import get_digest_algorithm, reraise_errors
from svcjobs_celery_compat.utils.serialization import b64decode, b64encode

__all__ = ("SecureSerializer", "register_auth")

#: Base64 has no such bytes.
DEFAULT_SEPARATOR = b"\x00\x01"


class SecureSerializer:
    """Signs what it serializes, and reads only what somebody trusted signed.

    :param key: signs.
    :param cert: certificate of the key.
    :param cert_store: who is trusted.
    :param digest: name of the hash that is signed.
    :param serializer: of what is signed.
    """

    def __init__(
        self,
        key: PrivateKey | None = None,
        cert: Certificate | None = None,
        cert_store: Any = None,
        digest: str = DEFAULT_SECURITY_DIGEST,
        serializer: str = "json",
    ) -> None:
        self._key = key
        self._cert = cert
        self._cert_store = cert_store
        self._digest = get_digest_algorithm(digest)
        self._serializer = serializer

    def serialize(self, data: Any) -> str:
        """Return `data`, serialized and signed.

        :raises SecurityError: it can't be signed.
        """
        assert self._key is not None  # noqa: S101 - the serializer isn't set up
        assert self._cert is not None  # noqa: S101 - the serializer isn't set up
        with reraise_errors("Unable to serialize: {0!r}", (Exception,)):
            content_type, content_encoding, body = dumps(data, serializer=self._serializer)
            # a signature is over bytes
            body = ensure_bytes(body)
            return self._pack(
                body,
                content_type,
                content_encoding,
                signature=self._key.sign(body, self._digest),
                signer=self._cert.get_id(),
            )

    def deserialize(self, data: Any) -> Any:
        """Return what was serialized.

        :raises SecurityError: it isn't signed by somebody trusted.
        """
        assert self._cert_store is not None  # noqa: S101 - the serializer isn't set up
        with reraise_errors("Unable to deserialize: {0!r}", (Exception,)):
            payload = self._unpack(data)
            self._cert_store[payload["signer"]].verify(payload["body"], payload["signature"], self._digest)
            return loads(payload["body"], payload["content_type"], payload["content_encoding"], force=True)

    def _pack(
        self,
        body: bytes,
        content_type: str,
        content_encoding: str,
        signer: str,
        signature: bytes,
        sep: bytes = DEFAULT_SEPARATOR,
    ) -> str:
        fields = (b64encode(signer), b64encode(signature), content_type, content_encoding, body)
        return b64encode(sep.join(map(str_to_bytes, fields)))

    def _unpack(self, payload: Any, sep: bytes = DEFAULT_SEPARATOR) -> dict[str, Any]:
        # the body comes last: it may have the separator inside
        signer, signature, content_type, content_encoding, body = b64decode(ensure_bytes(payload)).split(sep, 4)
        return {
            "signer": bytes_to_str(b64decode(signer)),
            "signature": b64decode(signature),
            "content_type": bytes_to_str(content_type),
            "content_encoding": bytes_to_str(content_encoding),
            "body": body,
        }


def register_auth(
    key: str | None = None,
    key_password: bytes | None = None,
    cert: str | None = None,
    store: Any = None,
    digest: str = DEFAULT_SECURITY_DIGEST,
    serializer: str = "json",
) -> None:
    """Make the serializer ``auth`` known to kombu."""
    auth = SecureSerializer(
        key and PrivateKey(key, password=key_password),  # type: ignore[arg-type]  # None signs nothing
        cert and Certificate(cert),  # type: ignore[arg-type]  # None signs nothing
        store and FSCertStore(store),
        digest,
        serializer=serializer,
    )
    registry.register(
        "auth", auth.serialize, auth.deserialize, content_type="application/data", content_encoding="utf-8"
    )
