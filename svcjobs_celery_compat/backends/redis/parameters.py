"""Where Redis is, and how it is talked to: out of the configuration and the URL."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from importlib import import_module
from typing import Any
from urllib.parse import unquote

from kombu.utils.url import _parse_url

from svcjobs_celery_compat.backends import redis as names
from svcjobs_celery_compat.exceptions import ImproperlyConfigured

CONNECT_SECONDS = 1.0

E_REDIS_MISSING = "You need to install the redis library in order to use the Redis result store backend."
E_REDIS_SSL_PARAMS_AND_SCHEME_MISMATCH = """\
SSL connection parameters have been provided but the specified URL scheme is redis://: use the scheme rediss://.
"""
E_REDIS_SSL_CERT_REQS_MISSING_INVALID = """\
A rediss:// URL must have parameter ssl_cert_reqs and this must be set to CERT_REQUIRED, CERT_OPTIONAL, or CERT_NONE
"""
W_REDIS_SSL_CERT_OPTIONAL = """\
Setting ssl_cert_reqs=CERT_OPTIONAL when connecting to redis means that the identity of the server might not be
validated. This leaves you vulnerable to man in the middle attacks.
"""
W_REDIS_SSL_CERT_NONE = """\
Setting ssl_cert_reqs=CERT_NONE when connecting to redis means that the identity of the server is not validated.
This leaves you vulnerable to man in the middle attacks.
"""

CERT_REQS = {
    "CERT_REQUIRED": ssl.CERT_REQUIRED, "required": ssl.CERT_REQUIRED,
    "CERT_OPTIONAL": ssl.CERT_OPTIONAL, "optional": ssl.CERT_OPTIONAL,
    "CERT_NONE": ssl.CERT_NONE, "none": ssl.CERT_NONE,
}  # fmt: skip


def from_settings(conf: Any, host: Any, port: Any, db: Any, password: Any, max_connections: Any) -> dict[str, Any]:
    """The parameters of connections that ``redis_*`` settings and arguments say; arguments come first."""
    params = {
        "host": host or conf.get("redis_host") or "localhost",
        "port": port or conf.get("redis_port") or 6379,
        "db": db or conf.get("redis_db") or 0,
        "password": password or conf.get("redis_password"),
        "max_connections": max_connections,
        "socket_timeout": _float(conf.get("redis_socket_timeout")),
        "retry_on_timeout": conf.get("redis_retry_on_timeout") or False,
        "socket_connect_timeout": _float(conf.get("redis_socket_connect_timeout")) or CONNECT_SECONDS,
        "client_name": conf.get("redis_client_name"),
    }
    if conf.get("redis_username"):
        params["username"] = conf.get("redis_username")
    provider = conf.get("redis_backend_credential_provider")
    if provider:
        use_credential_provider(params, provider)
    if conf.get("redis_backend_health_check_interval"):
        params["health_check_interval"] = conf.get("redis_backend_health_check_interval")
    if conf.get("redis_socket_keepalive"):
        params["socket_keepalive"] = True
    return params


def use_credential_provider(params: dict[str, Any], provider: Any) -> None:
    """Let a ``redis.CredentialProvider`` (or the dotted name of its class) say who we are.

    Raises:
        ImportError: there is no such class.
        ValueError: it is no such provider.
    """
    from redis import CredentialProvider

    if isinstance(provider, str):
        module, _, name = provider.rpartition(".")
        cls = getattr(import_module(module), name)
        provider = cls() if isinstance(cls, type) and issubclass(cls, CredentialProvider) else None
    if not isinstance(provider, CredentialProvider):
        raise ValueError("the credential provider of the Redis result backend is not a redis.CredentialProvider")
    params.pop("username", None)
    params.pop("password", None)
    params["credential_provider"] = provider


def use_ssl(params: dict[str, Any], options: Any, connection_class: Any) -> None:
    """Add the setting ``redis_backend_use_ssl``: a mapping of ``ssl_*`` options."""
    if isinstance(options, Mapping):
        params.update(options)
    params["connection_class"] = connection_class


def from_url(url: str, defaults: dict[str, Any], redis: Any) -> dict[str, Any]:
    """`defaults`, with what `url` says: host, port, credentials, database (its path), and options (its query).

    Raises:
        ValueError: TLS options with a scheme without TLS.
    """
    from redis.connection import URL_QUERY_ARGUMENT_PARSERS

    scheme, host, port, username, password, path, query = _parse_url(url)
    params = dict(defaults)
    params.update({name: value for name, value in (("port", port), ("host", host)) if value})
    if "credential_provider" in params:
        username = password = None
    params.update({name: value for name, value in (("username", username), ("password", password)) if value})
    if scheme == "socket":
        params.update(connection_class=redis.UnixDomainSocketConnection, path="/" + path)
        for name in ("host", "port", "socket_connect_timeout", "socket_keepalive"):
            params.pop(name, None)
    else:
        params["db"] = path
    options = dict(query)
    params["db"] = _database(options.pop("virtual_host", None) or params.get("db"))
    if any(name.startswith("ssl_") for name in options) and scheme == "redis":
        raise ValueError(E_REDIS_SSL_PARAMS_AND_SCHEME_MISMATCH)
    if "credential_provider" in options:
        use_credential_provider(params, options.pop("credential_provider"))
    for name, value in options.items():
        text = unquote(value) if isinstance(value, str) else value
        convert: Any = URL_QUERY_ARGUMENT_PARSERS.get(name)
        params[name] = convert(text) if convert else text
    return params


def check_ssl(params: dict[str, Any]) -> None:
    """Make ``ssl_cert_reqs`` one of the ssl module's constants.

    Raises:
        ValueError: it says nothing that is known.
    """
    given = params.get("ssl_cert_reqs")
    known = given if isinstance(given, ssl.VerifyMode) else CERT_REQS.get(given if isinstance(given, str) else "")
    if known is None:
        raise ValueError(E_REDIS_SSL_CERT_REQS_MISSING_INVALID)
    params["ssl_cert_reqs"] = known
    if known == ssl.CERT_OPTIONAL:
        names.logger.warning(W_REDIS_SSL_CERT_OPTIONAL)
    elif known == ssl.CERT_NONE:
        names.logger.warning(W_REDIS_SSL_CERT_NONE)


def connection_errors(additional: Any) -> tuple[type[BaseException], ...]:
    """The errors that say that the server is away; what can't be found among `additional` is left out."""
    from kombu.transport.redis import get_redis_error_classes

    if isinstance(additional, str | type):
        additional = (additional,)
    found = [_error_class(each) for each in additional or ()]
    return (*get_redis_error_classes()[0], *(each for each in found if each is not None))


def _error_class(given: Any) -> type[BaseException] | None:
    if isinstance(given, str):
        module, _, name = given.rpartition(".")
        try:
            given = getattr(import_module(module), name)
        except (ImportError, AttributeError, ValueError):
            given = None
    if isinstance(given, type) and issubclass(given, BaseException):
        return given
    names.logger.warning("additional_connection_errors of the result backend has an entry that is no exception class")
    return None


def _database(given: Any) -> int:
    if given is None or given == "":
        return 0
    text = given.strip("/") if isinstance(given, str) else given
    try:
        return int(text or 0)
    except ValueError:
        raise ImproperlyConfigured(
            f"the database of the Redis result backend is {given!r}: give a number, as in redis://localhost:6379/1"
        ) from None


def _float(value: Any) -> float | None:
    return None if value is None else float(value)
