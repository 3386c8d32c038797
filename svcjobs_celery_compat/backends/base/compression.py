"""Compressed results (``result_compression``): a marker, the content type, a NUL, and what kombu's compressor made."""

from __future__ import annotations

from typing import Any

from kombu.compression import compress, decompress
from kombu.utils.encoding import bytes_to_str, ensure_bytes

COMPRESSED_PAYLOAD_MAGIC = b"\x00celery-compressed\x00"  # no serializer's output begins with a NUL


def compress_payload(payload: str | bytes, compression: str) -> bytes:
    """`payload` compressed by the method that kombu knows as `compression`."""
    body, content_type = compress(ensure_bytes(payload), compression)
    return b"".join((COMPRESSED_PAYLOAD_MAGIC, ensure_bytes(content_type), b"\x00", body))


def decompress_payload(payload: Any) -> Any:
    """What :func:`compress_payload` was given; anything that it didn't make is returned as it is."""
    stored = bytes(payload) if isinstance(payload, memoryview) else payload
    if not isinstance(stored, bytes) or not stored.startswith(COMPRESSED_PAYLOAD_MAGIC):
        return payload
    content_type, _, body = stored[len(COMPRESSED_PAYLOAD_MAGIC) :].partition(b"\x00")
    return decompress(body, bytes_to_str(content_type))
