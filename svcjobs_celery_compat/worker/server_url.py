"""The URL of a broker's server, for those parts of the engine that know no kombu."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from svcjobs_celery_compat.transport.server import DEFAULT_PORT, nodes_of, sentinels_of

_TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname")


def server_url(connection: Any) -> str:
    """The URL by which :func:`svcjobs.easy.open_client` opens what a kombu connection to ``svcjobs://`` does."""
    kind = connection.transport.__class__.__name__
    database = str(connection.virtual_host or "").strip("/") or "0"
    given = connection.password
    password = given() if callable(given) else given
    user = f"{quote(connection.userid or '', safe='')}:{quote(password or '', safe='')}@" if password else ""
    if kind == "UnixTransport":
        host, path = connection.hostname or "", str(connection.virtual_host or "")
        in_host = host.startswith("/")
        socket_path = host if in_host else f"/{path.lstrip('/')}"
        return f"unix://{user}{socket_path}?db={database if in_host else 0}"
    tls = kind == "TlsTransport" or bool(connection.ssl)
    query = f"?{urlencode(_tls(connection.ssl))}" if tls and isinstance(connection.ssl, dict) else ""
    scheme = "rediss" if tls else "redis"
    if kind == "SentinelTransport":
        service = connection.transport_options["master_name"]
        return f"{scheme}+sentinel://{user}{_hosts(sentinels_of(connection))}/{service}/{database}{query}"
    if kind == "ClusterTransport":
        return f"{scheme}+cluster://{user}{_hosts(nodes_of(connection))}{query}"
    host = f"{connection.hostname or '127.0.0.1'}:{connection.port or DEFAULT_PORT}"
    return f"{scheme}://{user}{host}/{database}{query}"


def _hosts(nodes: list[tuple[str, int]]) -> str:
    return ",".join(f"{host}:{port}" for host, port in nodes)


def _tls(options: dict[str, Any]) -> dict[str, str]:
    wanted = {name: str(options[name]) for name in _TLS_OPTIONS if options.get(name) is not None}
    required = options.get("ssl_cert_reqs")
    if required is not None:
        wanted["ssl_cert_reqs"] = getattr(required, "name", str(required)).removeprefix("CERT_").lower()
    return wanted
