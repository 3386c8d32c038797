"""Results in the memory of this process (``cache+memory://``) or in memcached (``cache+memcached://host:port;host:port/``)."""

from __future__ import annotations

import logging
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from kombu.utils.encoding import bytes_to_str, ensure_bytes

from svcjobs_celery_compat.backends.base import KeyValueStoreBackend
from svcjobs_celery_compat.exceptions import CDeprecationWarning, ImproperlyConfigured

if TYPE_CHECKING:
    from svcjobs_celery_compat.app.base import Celery

__all__ = ("CacheBackend",)

logger = logging.getLogger("celery.backends.cache")

MAX_RELATIVE_EXPIRES = 30 * 24 * 3600  # memcached takes any larger number for an instant
DEFAULT_CLIENT_OPTIONS = {"default_noreply": False, "connect_timeout": 5.0, "timeout": 5.0}
PYLIBMC_ONLY_OPTIONS = ("behaviors", "binary")
RETRY_OPTIONS = {"retry_attempts": "attempts", "retry_delay": "retry_delay", "retry_for": "retry_for",
                 "do_not_retry_for": "do_not_retry_for"}  # fmt: skip

REQUIRES_BACKEND = "The Memcached backend requires the 'pymemcache' library: pip install pymemcache."
UNKNOWN_BACKEND = "The cache backend {0!r} is unknown,\nPlease use one of the following backends instead: {1}"
W_CHORD_EXPIRES_TOO_LONG = (
    "result_chord_expires is over 30 days, which memcached reads as an instant: chord keys will expire at once."
)

_DUMMY_CLIENT_CACHE: OrderedDict[Any, Any] = OrderedDict()
_DUMMY_CLIENT_LOCK = threading.Lock()


class DummyClient:
    """What a memcached client is, in the memory of this process; all of them see the same keys.

    Nothing expires; the oldest of more than 5,000 results go.
    """

    LIMIT = 5000

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.cache = _DUMMY_CLIENT_CACHE

    def get(self, key: Any, *args: Any, **kwargs: Any) -> Any:
        """What is under `key`, or None."""
        return self.cache.get(key)

    def get_multi(self, keys: Iterable[Any]) -> dict[Any, Any]:
        """What is under those of `keys` that are there."""
        return {key: self.cache[key] for key in keys if key in self.cache}

    get_many = get_multi

    def set(self, key: Any, value: Any, *args: Any, **kwargs: Any) -> None:
        """Keep `value` under `key`."""
        with _DUMMY_CLIENT_LOCK:
            self.cache[key] = value
            self.cache.move_to_end(key)
            while len(self.cache) > self.LIMIT:
                self.cache.popitem(last=False)

    def delete(self, key: Any, *args: Any, **kwargs: Any) -> None:
        """Remove `key`."""
        self.cache.pop(key, None)

    def incr(self, key: Any, delta: int = 1) -> int:
        """Add `delta` to what is under `key`."""
        with _DUMMY_CLIENT_LOCK:
            self.cache[key] = value = self.cache.get(key, 0) + delta
        count: int = value
        return count

    def touch(self, key: Any, expire: int) -> None:
        """Do nothing: nothing expires."""


def get_memcache_client() -> tuple[Callable[..., Any], Callable[[Any], Any]]:
    """What makes a client of memcached, and what makes a key out of text or bytes.

    Raises:
        ImproperlyConfigured: pymemcache isn't installed.
    """
    try:
        single = import_module("pymemcache.client.base").Client
        several = import_module("pymemcache.client.hash").HashClient
        retrying = import_module("pymemcache.client.retrying").RetryingClient
    except ImportError as error:
        raise ImproperlyConfigured(REQUIRES_BACKEND) from error

    def client(servers: Any, **options: Any) -> Any:
        for name in PYLIBMC_ONLY_OPTIONS:
            if name in options:
                del options[name]
                message = f"The option {name!r} of cache_backend_options is one of pylibmc's: it is ignored."
                warnings.warn(message, CDeprecationWarning, stacklevel=2)
        retries = {name: options.pop(given) for given, name in RETRY_OPTIONS.items() if given in options}
        addresses = _addresses(servers)
        options = {**DEFAULT_CLIENT_OPTIONS, **options}
        made = single(addresses[0], **options) if len(addresses) == 1 else several(addresses, **options)
        return retrying(made, **retries) if retries else made

    return client, bytes_to_str


def _addresses(servers: Any) -> list[Any]:
    if isinstance(servers, str) or (
        isinstance(servers, tuple) and len(servers) == 2 and isinstance(servers[1], int)  # one (host, port)
    ):
        servers = [servers]
    if servers is not None and not isinstance(servers, list | tuple):
        raise ImproperlyConfigured(f"the servers of memcached are {servers!r}: give addresses such as 'host:11211'")
    addresses = [server for server in servers or () if server]
    if not addresses or not all(isinstance(server, str | tuple) for server in addresses):
        raise ImproperlyConfigured(
            f"the servers of memcached are {servers!r}: give one at least, such as cache+memcached://host:11211/"
        )
    return addresses


def get_best_memcache(*args: Any, **kwargs: Any) -> tuple[Callable[..., Any], Callable[[Any], Any]]:
    """The old name of :func:`get_memcache_client`."""
    message = "get_best_memcache is deprecated: call get_memcache_client."
    warnings.warn(message, CDeprecationWarning, stacklevel=2)
    return get_memcache_client()


def import_best_memcache() -> tuple[bool, Any, Callable[[Any], Any]]:
    """Whether it is pylibmc (it never is), the library, and what makes a key: an old form of the above."""
    message = "import_best_memcache is deprecated: call get_memcache_client."
    warnings.warn(message, CDeprecationWarning, stacklevel=2)
    try:
        return False, import_module("pymemcache"), bytes_to_str
    except ImportError as error:
        raise ImproperlyConfigured(REQUIRES_BACKEND) from error


backends: dict[str, Callable[[], Any]] = {
    "memcache": get_memcache_client,
    "memcached": get_memcache_client,
    "pylibmc": get_memcache_client,
    "pymemcache": get_memcache_client,
    "memory": lambda: (DummyClient, ensure_bytes),
}


class CacheBackend(KeyValueStoreBackend):
    """Results in memcached, or in the memory of this process.

    Args:
        app: the application whose configuration counts.
        expires: seconds until a result goes away; ``result_expires`` by default.
        backend: scheme and servers, such as ``memory://`` or ``memcached://a:11211;b:11211/``;
            ``cache_backend`` by default.
        options: for the client; added to ``cache_backend_options``.
        url: the same as `backend`, and before it.

    Raises:
        ImproperlyConfigured: neither says where, or the scheme isn't known.
    """

    servers: list[str] | None = None
    supports_autoexpire = True
    supports_native_join = True
    implements_incr = True

    def __init__(
        self,
        app: Celery,
        expires: Any = None,
        backend: str | None = None,
        options: dict[str, Any] | None = None,
        url: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.options = {**app.conf.cache_backend_options, **(options or {})}
        self.backend = url or backend or app.conf.cache_backend
        if not self.backend:
            raise ImproperlyConfigured(
                "No cache backend configured: set result_backend to a URL such as cache+memory://"
            )
        self.backend, _, servers = self.backend.partition("://")
        self.servers = servers.rstrip("/").split(";")
        try:
            self.Client, self.key_t = backends[self.backend]()
        except KeyError:
            raise ImproperlyConfigured(UNKNOWN_BACKEND.format(self.backend, ", ".join(sorted(backends)))) from None
        super().__init__(app, expires=expires, expires_type=int, **kwargs)
        self.url = url
        if (self._seconds(self.chord_expires)) > MAX_RELATIVE_EXPIRES and self.chord_expires != self.expires:
            logger.warning(W_CHORD_EXPIRES_TOO_LONG)

    def get(self, key: Any) -> Any:
        """What is stored under `key`, None when nothing is."""
        return self.client.get(key)

    def mget(self, keys: Any) -> dict[Any, Any]:
        """What is stored under those of `keys` that are there."""
        found: dict[Any, Any] = self.client.get_many(keys)
        return found

    def set(self, key: Any, value: Any) -> Any:
        """Store `value` under `key`."""
        return self.client.set(key, value, self._seconds(self.expires))

    def delete(self, key: Any) -> Any:
        """Remove `key`."""
        return self.client.delete(key)

    def incr(self, key: Any) -> Any:
        """Add 1 to what is under `key`, and return it."""
        return self.client.incr(key, 1)

    def expire(self, key: Any, value: Any) -> Any:
        """Let `key` go away in `value` seconds; never, when that is None or 0."""
        return self.client.touch(key, self._seconds(value))

    def _apply_chord_incr(self, header_result_args: Any, body: Any, **kwargs: Any) -> Any:
        group_id = header_result_args[0]
        self.client.set(self.get_key_for_chord(group_id), 0, self._seconds(self.chord_expires))
        super()._apply_chord_incr(header_result_args, body, **kwargs)
        self.expire(self.get_key_for_group(group_id), self._chord_result_expires)

    @staticmethod
    def _seconds(value: float | timedelta | None) -> int:
        if isinstance(value, timedelta):
            value = value.total_seconds()
        return int(value or 0)

    @cached_property
    def client(self) -> Any:
        return self.Client(self.servers, **self.options)

    def __reduce__(self, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = {**(kwargs or {}), "backend": self.as_uri(), "expires": self.expires, "options": self.options}
        return super().__reduce__(args, kwargs)

    def as_uri(self, *args: Any, **kwargs: Any) -> str:
        """Scheme and servers; there is no password in them."""
        return f"{self.backend}://{';'.join(self.servers or ())}/"
