"""From the URL of a broker to a transport of svcjobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import kombu
import kombu.connection
from kombu.exceptions import OperationalError
from kombu.utils.collections import HashedSeq
from kombu.utils.functional import fxrange
from kombu.utils.imports import symbol_by_name

from svcjobs._redis.urls import split_authority
from svcjobs_celery_compat.exceptions import ImproperlyConfigured
from svcjobs_celery_compat.transport.aliases import SCHEMES

#: The transports of svcjobs by the schemes that Celery's users have in their settings.
TRANSPORTS = {
    **SCHEMES,
    "redis": SCHEMES["svcjobs"],
    "rediss": SCHEMES["svcjobs-tls"],
    "sentinel": SCHEMES["svcjobs-sentinel"],
    "memory": "svcjobs_celery_compat.transport.memory:Transport",
}

_RABBITMQ = ("amqp", "amqps", "pyamqp", "librabbitmq", "py-amqp", "qpid")


class Connection(kombu.Connection):
    """A kombu connection that uses svcjobs on the server that the URL names.

    ``redis://``, ``rediss://`` and ``sentinel://`` mean our keys on that server, as the ``svcjobs`` schemes do;
    ``redis+socket:///path?virtual_host=<db>`` and ``unix:///path?db=<db>`` are taken as ``svcjobs-unix``, and
    ``redis+cluster://host:port,host:port`` (``rediss+cluster://`` with TLS) as ``svcjobs-cluster``. ``memory://``
    is within the process. A transport that was given as a class, or by the path of one, is used as it is.

    A call to a server that is away ends within the transport option ``timeout_seconds``, or when the waits of its retry
    policy are over, whichever is later.

    Raises:
        ImproperlyConfigured: there is no transport of this name; of those that kombu has for other brokers, when it is
            to connect.
    """

    def __init__(self, hostname: Any = "localhost", *args: Any, **kwargs: Any) -> None:
        if isinstance(hostname, str):
            hostname = ";".join(each for url in hostname.split(";") for each in _normalized(url))
        elif hostname:
            hostname = [each for url in hostname for each in _normalized(url)]
        try:
            super().__init__(hostname, *args, **kwargs)
        except (KeyError, ImportError) as error:
            # kombu imports the transport to read the URL, and its library may be missing
            raise ImproperlyConfigured(_refusal(_scheme(hostname))) from error

    def get_transport_cls(self) -> Any:
        """The class that does the work."""
        own = TRANSPORTS.get(self.transport_cls) if isinstance(self.transport_cls, str) else None
        return symbol_by_name(own) if own else super().get_transport_cls()

    @property
    def is_refused(self) -> bool:
        """Whether the URL is one of a broker that svcjobs doesn't speak to."""
        name = self.transport_cls
        return isinstance(name, str) and name not in TRANSPORTS and "." not in name and ":" not in name

    def _establish_connection(self) -> Any:
        if self.is_refused:
            raise ImproperlyConfigured(_refusal(self.transport_cls))
        return super()._establish_connection()

    def __eqhash__(self) -> Any:
        # kombu's pools are by equality: a plain connection with the same URL is another one
        return HashedSeq("svcjobs", *super().__eqhash__())

    def Pool(self, limit: int | None = None, **kwargs: Any) -> Any:
        """A pool of connections like this one."""
        return ConnectionPool(self, limit, **kwargs)

    def _extract_failover_opts(self) -> dict[str, Any]:
        # one try where a channel is asked for: ensure() counts the tries, and the time. kombu would wait for the server
        # here, by the policy of the last message that it was to publish
        return {"max_retries": 0}

    def ensure(
        self,
        obj: Any,
        fun: Callable[..., Any],
        errback: Callable[..., Any] | None = None,
        max_retries: int | None = None,
        interval_start: float = 1,
        interval_step: float = 1,
        interval_max: float = 1,
        on_revive: Callable[..., Any] | None = None,
        retry_errors: tuple[type[Exception], ...] | None = None,
    ) -> Callable[..., Any]:
        """Return ``fun`` with retries: as kombu's, and within the time that the class tells."""

        # what only matters after an error is looked up then: most messages are sent without one
        def waits() -> Iterator[float]:
            steps: Iterator[float] = fxrange(
                interval_start, interval_max + interval_start, interval_step, repeatlast=True
            )
            return steps

        def ensured(*args: Any, **kwargs: Any) -> Any:
            first_began = began = time.monotonic()
            delays = waits()
            revive = False
            with self._reraise_as_library_errors():
                for retries in count():
                    try:
                        if revive:
                            self.collect()
                            channel = self.default_channel
                            obj.revive(channel)
                            if on_revive:
                                on_revive(channel)
                            revive = False
                        return fun(*args, **kwargs)
                    except self._passing(retry_errors) as error:
                        deadline = self._deadline(first_began, max_retries, waits())
                        wait = min(next(delays), interval_max)
                        now = time.monotonic()
                        # the next try may take as long as this one did
                        too_late = deadline is not None and now + wait + (now - began) > deadline
                        if too_late or (max_retries is not None and retries >= max_retries):
                            raise
                        if isinstance(error, (OperationalError, *self.recoverable_connection_errors)):
                            revive = True
                            self.maybe_switch_next()
                        if errback:
                            errback(error, wait)
                    time.sleep(wait)
                    began = time.monotonic()
            return None

        ensured.__name__ = f"{fun.__name__}(ensured)"
        ensured.__doc__, ensured.__module__ = fun.__doc__, fun.__module__
        return ensured

    def _passing(self, further: tuple[type[Exception], ...] | None) -> tuple[type[Exception], ...]:
        """What may go well another time."""
        of_transport = (*self.recoverable_connection_errors, *self.recoverable_channel_errors)
        return (OperationalError, *of_transport, *(further or ()))

    def _deadline(self, began: float, max_retries: int | None, waits: Iterator[float]) -> float | None:
        if max_retries is None:
            return None
        patience = sum(next(waits) for _ in range(max_retries))
        options = getattr(self.transport, "options", None)
        return began + max(patience, options.timeout_seconds if options else 0)


class PooledConnection(Connection):
    """A connection of a pool; one whose use raised is replaced, as in kombu."""

    def __init__(self, pool: Any, **kwargs: Any) -> None:
        self._pool = pool
        super().__init__(**kwargs)

    def __exit__(self, *exc_info: object) -> None:
        if exc_info[0] is not None and self._pool.limit:
            self._pool.replace(self)
        super().__exit__(*exc_info)


class ConnectionPool(kombu.connection.ConnectionPool):
    """A pool whose connections are ours; kombu's makes its own."""

    def new(self) -> PooledConnection:
        return PooledConnection(self, **dict(self.connection._info(resolve=False)))


def _scheme(hostname: Any) -> str:
    url = hostname if isinstance(hostname, str) else str((hostname or [""])[0])
    return url.partition("://")[0].partition("+")[0]


def _normalized(url: Any) -> list[Any]:
    """The URL of a Unix socket, or that of each node of a cluster, as kombu can read it; others as they are."""
    if isinstance(url, str) and url.startswith(("redis+cluster://", "rediss+cluster://")):
        return _nodes(url)
    if isinstance(url, str) and url.startswith(("redis+socket://", "unix://")):
        return [_unix(url)]
    return [url]


def _nodes(url: str) -> list[str]:
    scheme, authority, rest = split_authority(url)
    credentials, at, hosts = authority.rpartition("@")
    parts = urlsplit(rest)
    options = parts.query
    if scheme == "rediss+cluster" and "ssl" not in options:
        options = f"{options}&ssl=true".lstrip("&")
    rest = f"{parts.path}?{options}" if options else parts.path
    return [f"svcjobs-cluster://{credentials}{at}{host.strip()}{rest}" for host in hosts.split(",")]


def _unix(url: str) -> str:
    parts = urlsplit(url)
    given = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    database = given.get("virtual_host") or given.get("db") or "0"
    credentials = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    return f"svcjobs-unix://{credentials}{quote(parts.path, safe='')}/{database}"


def _refusal(scheme: str) -> str:
    if scheme in _RABBITMQ:
        found = "broker_url is for RabbitMQ, or not set"
        advice = "move what waits there with `svcjobs bridge --from amqp://… --queues …`"
    else:
        found = f"broker_url is for {scheme}"
        advice = "move what is in its queues with `svcjobs celery migrate`, from an environment that still has Celery"
    return f"svcjobs keeps its queues in Redis, and {found}: set it to redis://host:port/db; {advice}"
