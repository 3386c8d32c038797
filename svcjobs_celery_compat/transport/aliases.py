"""The URL schemes, made known to kombu. Imported while kombu itself is: nothing else of kombu may be needed here."""

from __future__ import annotations

from kombu.transport import TRANSPORT_ALIASES

_MODULE = "svcjobs_celery_compat.transport.transport"

SCHEMES = {
    "svcjobs": f"{_MODULE}:Transport",
    "svcjobs-tls": f"{_MODULE}:TlsTransport",
    "svcjobs-unix": f"{_MODULE}:UnixTransport",
    "svcjobs-sentinel": f"{_MODULE}:SentinelTransport",
    "svcjobs-cluster": f"{_MODULE}:ClusterTransport",
}
TRANSPORT_ALIASES.update(SCHEMES)

# What kombu hands to `register`: a serializer without encoder and decoder, which nothing can choose. kombu has no
# entry point for transports; it loads those of this group early, and by loading this one gets the schemes.
SERIALIZER = (None, None, "application/x-svcjobs")
