"""Private keys."""

from __future__ import annotations

from typing import Any

from kombu.utils.encoding import ensure_bytes

from svcjobs_celery_compat.exceptions import SecurityError
from svcjobs_celery_compat.security.utils import reraise_errors

__all__ = ("PrivateKey",)


class PrivateKey:
    """An RSA key that signs.

    :param key: in PEM.
    :param password: of the key.
    :raises SecurityError: it isn't an RSA key, or the password is wrong.
    """

    def __init__(self, key: str | bytes, password: str | bytes | None = None) -> None:
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        # what the key's text was isn't told
        with reraise_errors("Invalid private key: {0!r}", errors=(ValueError,)):
            self._key: Any = load_pem_private_key(ensure_bytes(key), password=ensure_bytes(password))
        if not isinstance(self._key, RSAPrivateKey):
            raise SecurityError("Non-RSA keys are not supported.")

    def sign(self, data: bytes, digest: Any) -> bytes:
        """Return the signature of `data`.

        :param digest: hash, see :func:`~.security.utils.get_digest_algorithm`.
        """
        from cryptography.hazmat.primitives.asymmetric import padding

        with reraise_errors("Unable to sign data: {0!r}"):
            pss = padding.PSS(mgf=padding.MGF1(digest), salt_length=padding.PSS.MAX_LENGTH)
            return self._key.sign(ensure_bytes(data), pss, digest)  # type: ignore[no-any-return]  # of cryptography
