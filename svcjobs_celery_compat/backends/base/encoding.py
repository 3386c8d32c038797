"""The lowest layer of a backend: its configuration, and results as bytes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu import serialization
from kombu.compression import encoders as compressions
from kombu.compression import get_encoder
from kombu.utils.functional import LRUCache
from kombu.utils.json import JSONEncoder
from kombu.utils.json import dumps as dumps_json
from kombu.utils.url import maybe_sanitize_url

from svcjobs_celery_compat import states
from svcjobs_celery_compat.backends.base.compression import compress_payload, decompress_payload
from svcjobs_celery_compat.backends.base.failures import exception_from_dict, exception_to_dict
from svcjobs_celery_compat.exceptions import ImproperlyConfigured, TimeoutError
from svcjobs_celery_compat.result import ResultBase
from svcjobs_celery_compat.utils.collections import BufferMap
from svcjobs_celery_compat.utils.serialization import get_pickleable_exception, get_pickled_exception

if TYPE_CHECKING:
    from svcjobs_celery_compat.app.base import Celery

_JSON = JSONEncoder()  # kombu makes one for each value
EXCEPTION_ABLE_CODECS = frozenset({"pickle"})  # they write exceptions as they are
MESSAGE_BUFFER_MAX = 8192

E_UNKNOWN_COMPRESSION = """\
Unknown compression method {0!r} configured in result_compression.
Available methods are: {1}.
"""
W_COMPRESSION_UNSUPPORTED = """\
The {0} result backend cannot store compressed payloads: result_compression is ignored, results are stored as they are.
"""
W_FAILURE_EXPIRES_UNSUPPORTED = """\
The {0} result backend does not support result_failure_expires: failed results expire like any other result.
"""


class pending_results_t(NamedTuple):
    """Who waits for which task: per task id a mapping of ``id(result)`` to the result, or to a weak reference to it."""

    concrete: dict[str, dict[int, Any]]
    weak: dict[str, dict[int, Any]]


class _nulldict(dict[Any, Any]):
    """A dict that keeps nothing: the cache of results when ``result_cache_max`` is -1."""

    def ignore(self, *a: Any, **kw: Any) -> None:
        """Forget it at once."""

    __setitem__ = update = setdefault = ignore


class Encoding:
    """Configuration and serialisation of a backend.

    Args:
        app: the application whose configuration counts.
        serializer: name of the serializer; ``result_serializer`` by default.
        max_cached_results: how many results are remembered in this process; ``result_cache_max`` by default, -1 none.
        accept: content types that are read; ``result_accept_content``, or else ``accept_content``, by default.
        expires: seconds (or a timedelta) until a result goes away; ``result_expires`` by default, None or 0 keeps it.
        expires_type: what the seconds are converted to.
        url: where the store is.

    Raises:
        ImproperlyConfigured: ``result_compression`` names a method that kombu doesn't know.
    """

    READY_STATES = states.READY_STATES
    UNREADY_STATES = states.UNREADY_STATES
    EXCEPTION_STATES = states.EXCEPTION_STATES
    TimeoutError = TimeoutError

    subpolling_interval: float | None = None
    supports_native_join = False
    supports_autoexpire = False
    supports_result_compression = False
    supports_failure_expires = False
    persistent = True
    retry_policy: Any = {"max_retries": 20, "interval_start": 0, "interval_step": 1, "interval_max": 1}  # noqa: RUF012  # read only

    def __init__(
        self,
        app: Celery,
        serializer: str | None = None,
        max_cached_results: int | None = None,
        accept: Iterable[str] | None = None,
        expires: Any = None,
        expires_type: Any = None,
        url: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.app = app
        conf = self.app.conf
        self.serializer: str = serializer or conf.result_serializer
        encoder = serialization.registry._encoders[self.serializer]
        self.content_type, self.content_encoding, self.encoder = encoder
        limit = max_cached_results or conf.result_cache_max
        self._cache: Any = _nulldict() if limit == -1 else LRUCache(limit=limit)
        self.expires: Any = self.prepare_expires(expires, expires_type)
        self.failure_expires: Any = self._prepare_failure_expires(expires_type)
        self.compression: str | None = self.prepare_compression(conf.get("result_compression"))
        accepted = conf.result_accept_content if accept is None else accept
        self.accept = serialization.prepare_accept_content(conf.accept_content if accepted is None else accepted)
        self.always_retry: bool = conf.get("result_backend_always_retry", False)
        self.max_sleep_between_retries_ms: int = conf.get("result_backend_max_sleep_between_retries_ms", 10000)
        self.base_sleep_between_retries_ms: int = conf.get("result_backend_base_sleep_between_retries_ms", 10)
        self.max_retries: float = conf.get("result_backend_max_retries", float("inf"))
        self.thread_safe: bool = conf.get("result_backend_thread_safe", False)
        self._pending_results = pending_results_t({}, {})
        self._pending_messages = BufferMap(MESSAGE_BUFFER_MAX)
        self.url = url

    def as_uri(self, include_password: bool = False) -> str:
        """Where the store is, as people may see it."""
        url = self.url or ""
        if include_password:
            return url
        shown: str = maybe_sanitize_url(url)
        return shown[:-1] if shown.endswith(":///") else shown

    def prepare_expires(self, value: Any, type: Any = None) -> Any:
        """`value`, or else ``result_expires``, in seconds."""
        if value is None:
            value = self.app.conf.result_expires
        return _seconds(value, type)

    def _prepare_failure_expires(self, type: Any) -> Any:
        """How long a result in FAILURE is kept: ``result_failure_expires``, which not every store can tell apart."""
        value = self.app.conf.get("result_failure_expires")
        if value is None:
            return self.expires
        if not self.supports_failure_expires:
            warnings.warn(W_FAILURE_EXPIRES_UNSUPPORTED.format(self.__class__.__name__), UserWarning, stacklevel=4)
        return _seconds(value, type)

    def prepare_compression(self, compression: str | None) -> str | None:
        """`compression` when it is known and this store can keep bytes."""
        if not compression:
            return None
        try:
            get_encoder(compression)
        except KeyError:
            known = ", ".join(sorted(compressions()))
            raise ImproperlyConfigured(E_UNKNOWN_COMPRESSION.format(compression, known)) from None
        if not self.supports_result_compression:
            warnings.warn(W_COMPRESSION_UNSUPPORTED.format(self.__class__.__name__), UserWarning, stacklevel=4)
            return None
        return compression

    def prepare_persistent(self, enabled: bool | None = None) -> bool:
        """Whether results outlive a restart of their store: `enabled`, ``result_persistent``, or the default."""
        if enabled is not None:
            return enabled
        configured: bool | None = self.app.conf.result_persistent
        return self.persistent if configured is None else configured

    def encode(self, data: Any) -> Any:
        """`data` as it is stored: serialised, and compressed if that is configured."""
        _, _, payload = self._encode(data)
        return compress_payload(payload, self.compression) if self.compression else payload

    def _encode(self, data: Any) -> tuple[str, str, Any]:
        if self.encoder is dumps_json:
            try:
                return self.content_type, self.content_encoding, _JSON.encode(data)
            except Exception:  # noqa: BLE001, S110 - the serializer says what is wrong with it
                pass
        encoded: tuple[str, str, Any] = serialization.dumps(data, serializer=self.serializer)
        return encoded

    def decode(self, payload: Any) -> Any:
        """What :meth:`encode` was given; compressed or not is seen from the payload.

        Raises:
            kombu.exceptions.ContentDisallowed: it is of a content type that isn't accepted.
        """
        if payload is None:
            return None
        payload = decompress_payload(payload)
        return serialization.loads(
            payload or str(payload),
            content_type=self.content_type,
            content_encoding=self.content_encoding,
            accept=self.accept,
        )

    def decode_result(self, payload: Any) -> dict[str, Any]:
        """The stored result, with an exception in it made one again."""
        return self.meta_from_decoded(self.decode(payload))

    def meta_from_decoded(self, meta: dict[str, Any]) -> dict[str, Any]:
        """`meta`, whose exception is made one again when its state has one."""
        if meta["status"] in self.EXCEPTION_STATES:
            meta["result"] = self.exception_to_python(meta["result"])
        return meta

    def encode_result(self, result: Any, state: str) -> Any:
        """`result` in terms of what the serializer can write."""
        if state in self.EXCEPTION_STATES and isinstance(result, BaseException):
            return self.prepare_exception(result)
        return self.prepare_value(result)

    def prepare_value(self, result: Any) -> Any:
        """A result object as a tuple, unless it can be pickled; anything else as it is."""
        if self.serializer != "pickle" and isinstance(result, ResultBase):
            return result.as_tuple()
        return result

    def prepare_exception(self, exc: BaseException, serializer: str | None = None) -> Any:
        """`exc` in terms of what the serializer can write."""
        if (serializer or self.serializer) in EXCEPTION_ABLE_CODECS:
            return get_pickleable_exception(exc)
        return exception_to_dict(exc, self.encode)

    def exception_to_python(self, exc: Any) -> Any:
        """The exception that :meth:`prepare_exception` wrote; None stays None.

        Raises:
            SecurityError: what is stored names something that isn't an exception class.
            TypeError, ValueError: what is stored isn't an exception.
        """
        if not exc:
            return exc
        if isinstance(exc, dict):
            exc = exception_from_dict(exc)
        if not isinstance(exc, BaseException):
            raise TypeError(f"a stored exception is a {type(exc).__name__}: expected a mapping, or an exception")
        # with other serializers the wrapper of one that can't be rebuilt is what there is, as in Celery
        return get_pickled_exception(exc) if self.serializer in EXCEPTION_ABLE_CODECS else exc


def _seconds(value: Any, type: Any) -> Any:
    if isinstance(value, timedelta):
        value = value.total_seconds()
    return type(value) if value is not None and type else value
