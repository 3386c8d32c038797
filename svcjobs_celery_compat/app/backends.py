"""Result backends by their names and URLs."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any

from kombu.utils.imports import symbol_by_name

from svcjobs_celery_compat._state import current_app
from svcjobs_celery_compat.exceptions import ImproperlyConfigured
from svcjobs_celery_compat.names import own_name
from svcjobs_celery_compat.utils.imports import load_extension_class_names

if TYPE_CHECKING:
    from svcjobs_celery_compat.backends.base import Backend

__all__ = ("by_name", "by_url")

_HERE = "svcjobs_celery_compat.backends"

#: Short names of the backends that svcjobs has.
BACKEND_ALIASES = {
    "redis": f"{_HERE}.redis:RedisBackend",
    "rediss": f"{_HERE}.redis:RedisBackend",
    "sentinel": f"{_HERE}.redis:SentinelBackend",
    "redis+cluster": f"{_HERE}.redis:ClusterBackend",
    "rediss+cluster": f"{_HERE}.redis:ClusterBackend",
    "cache": f"{_HERE}.cache:CacheBackend",
    "db": f"{_HERE}.database:DatabaseBackend",
    "database": f"{_HERE}.database:DatabaseBackend",
    "rpc": f"{_HERE}.rpc:RPCBackend",
    "file": f"{_HERE}.filesystem:FilesystemBackend",
    "filesystem": f"{_HERE}.filesystem:FilesystemBackend",
    "disabled": f"{_HERE}.base:DisabledBackend",
}

_OF_CELERY_ONLY = frozenset(
    {
        "amqp", "arangodb", "azureblockblob", "cassandra", "consul", "cosmosdbsql", "couchbase", "couchdb", "dynamodb",
        "elasticsearch", "gs", "mongodb", "riak", "s3",
    }
)  # fmt: skip


def by_name(
    backend: Any = None, loader: Any = None, extension_namespace: str = "celery.result_backends"
) -> type[Backend]:
    """Return the class of a result backend.

    Parameters:
        backend: a short name, the dotted path of a class, or the class itself; None: no results are kept.
        loader: has short names of its own; that of the current app, if None.
        extension_namespace: the entry points that packages name their backends by.

    Raises:
        ImproperlyConfigured: there is none of this kind here, or it is no class.
        ImportError: the path leads nowhere.
    """
    backend = backend or "disabled"
    aliases = {
        **BACKEND_ALIASES,
        **(loader or current_app.loader).override_backends,
        **dict(load_extension_class_names(extension_namespace)),
    }
    if isinstance(backend, str) and backend not in aliases:
        if backend in _OF_CELERY_ONLY:
            raise ImproperlyConfigured(
                f"svcjobs has no result backend {backend!r}: use redis://, db+<url of SQLAlchemy>, rpc:// or "
                "cache+memory://, or give the path of a class of your own, as in proj.results.Backend+foo://"
            )
        backend = own_name(backend)
    try:
        cls = symbol_by_name(backend, aliases)
    except ValueError as exc:
        raise _unknown(backend, exc) from exc
    if isinstance(cls, types.ModuleType):
        raise _unknown(backend, "is a Python module, not a backend class.")
    return cls  # type: ignore[no-any-return]  # what the path names


def by_url(backend: Any = None, loader: Any = None) -> tuple[type[Backend], str | None]:
    """Return the class of a result backend and the URL that it is to be made with.

    Of ``name+scheme://…`` the name tells the class, and the rest is its URL, unless it is a scheme of ours as a whole.

    Raises:
        ImproperlyConfigured: as :func:`by_name`.
    """
    url: str | None = None
    if isinstance(backend, str) and "://" in backend:
        url = backend
        scheme, _, _ = url.partition("://")
        if "+" in scheme and scheme not in BACKEND_ALIASES:
            backend, url = url.split("+", 1)
        else:
            backend = scheme
    return by_name(backend, loader), url


def _unknown(backend: Any, why: Any) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"Unknown result backend: {backend!r}.  Did you spell that correctly? ({why!r})")
