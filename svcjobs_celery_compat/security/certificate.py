"""Certificates, and which of them are trusted."""

from __future__ import annotations

import datetime
import glob
import os
from collections.abc import Iterator
from typing import Any

from kombu.utils.encoding import bytes_to_str, ensure_bytes

from svcjobs_celery_compat.exceptions import SecurityError
from svcjobs_celery_compat.security.utils import reraise_errors

__all__ = ("CertStore", "Certificate", "FSCertStore")


class Certificate:
    """An X.509 certificate with an RSA key.

    :param cert: in PEM.
    :raises SecurityError: it isn't one.
    """

    def __init__(self, cert: str) -> None:
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
        from cryptography.x509 import load_pem_x509_certificate

        with reraise_errors("Invalid certificate: {0!r}", errors=(ValueError,)):
            self._cert: Any = load_pem_x509_certificate(ensure_bytes(cert))
            key = self._cert.public_key()
        if not isinstance(key, RSAPublicKey):
            raise SecurityError("Non-RSA certificates are not supported.")

    def has_expired(self) -> bool:
        """Return whether its time is over."""
        return bool(datetime.datetime.now(datetime.UTC) >= self._cert.not_valid_after_utc)

    def get_pubkey(self) -> Any:
        """Return the public key."""
        return self._cert.public_key()

    def get_serial_number(self) -> int:
        """Return the serial number."""
        return int(self._cert.serial_number)

    def get_issuer(self) -> str:
        """Return who issued it."""
        return " ".join(attribute.value for attribute in self._cert.issuer)

    def get_id(self) -> str:
        """Return what names it: issuer and serial number."""
        return f"{self.get_issuer()} {self.get_serial_number()}"

    def verify(self, data: bytes, signature: bytes, digest: Any) -> None:
        """Check that the key of this certificate signed `data`.

        :raises SecurityError: it didn't, or the certificate has expired.
        """
        from cryptography.hazmat.primitives.asymmetric import padding

        if self.has_expired():
            raise SecurityError(f"Expired certificate: {self.get_id()!r}")
        with reraise_errors("Bad signature: {0!r}"):
            pss = padding.PSS(mgf=padding.MGF1(digest), salt_length=padding.PSS.MAX_LENGTH)
            self.get_pubkey().verify(signature, ensure_bytes(data), pss, digest)


class CertStore:
    """The certificates that are trusted."""

    def __init__(self) -> None:
        self._certs: dict[str, Certificate] = {}

    def itercerts(self) -> Iterator[Certificate]:
        """Yield them."""
        yield from self._certs.values()

    def __getitem__(self, id: str) -> Certificate:
        try:
            return self._certs[bytes_to_str(id)]
        except KeyError:
            raise SecurityError(f"Unknown certificate: {id!r}") from None

    def add_cert(self, cert: Certificate) -> None:
        """Trust one.

        :raises SecurityError: one of the same id is trusted.
        """
        cert_id = bytes_to_str(cert.get_id())
        if cert_id in self._certs:
            raise SecurityError(f"Duplicate certificate: {cert_id!r}")
        self._certs[cert_id] = cert


class FSCertStore(CertStore):
    """The certificates in a directory, or those that a pattern finds: ``/etc/ssl/certs/*.pem``.

    :raises SecurityError: one of them has expired, or isn't a certificate.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        pattern = os.path.join(path, "*") if os.path.isdir(path) else path  # noqa: PTH112,PTH118 - a pattern
        for name in glob.glob(pattern):  # noqa: PTH207 - a pattern
            with open(name) as stream:  # noqa: PTH123 - the built-in, which tests replace
                cert = Certificate(stream.read())
            if cert.has_expired():
                raise SecurityError(f"Expired certificate: {cert.get_id()!r}")
            self.add_cert(cert)
