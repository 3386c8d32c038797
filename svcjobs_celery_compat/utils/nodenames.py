"""Names of workers, ``name@host``, and what is derived from them."""

from __future__ import annotations

import os
from functools import partial
from socket import gethostname as _gethostname
from typing import Any

from kombu import Exchange, Queue
from kombu.utils.functional import memoize

from svcjobs_celery_compat.utils.text import simple_format

__all__ = (
    "anon_nodename",
    "default_nodename",
    "gethostname",
    "host_format",
    "node_format",
    "nodename",
    "nodesplit",
    "worker_direct",
)

WORKER_DIRECT_EXCHANGE = Exchange("C.dq2")
WORKER_DIRECT_QUEUE_FORMAT = "{hostname}.dq2"

NODENAME_SEP = "@"
NODENAME_DEFAULT = "celery"

#: The name of this host, asked for once.
gethostname = memoize(1, Cache=dict)(_gethostname)


def worker_direct(hostname: str | Queue) -> Queue:
    """Return the queue that only the worker of that name reads, with ``worker_direct`` on; a queue as it is."""
    if isinstance(hostname, Queue):
        return hostname
    return Queue(WORKER_DIRECT_QUEUE_FORMAT.format(hostname=hostname), WORKER_DIRECT_EXCHANGE, hostname)


def nodename(name: str, hostname: str) -> str:
    """Return ``name@hostname``."""
    return NODENAME_SEP.join((name, hostname))


def anon_nodename(hostname: str | None = None, prefix: str = "gen") -> str:
    """Return a name for this process, made of its pid."""
    return nodename(f"{prefix}{os.getpid()}", hostname or gethostname())


def nodesplit(name: str) -> tuple[str | None, str] | list[str]:
    """Split ``name@host``; a text without ``@`` is the host: ``(None, host)``."""
    parts = name.split(NODENAME_SEP, 1)
    return (None, parts[0]) if len(parts) == 1 else parts


def default_nodename(hostname: str | None, default_name: str = NODENAME_DEFAULT) -> str:
    """Complete a worker's name: the name is `default_name` if it is missing, the host is this one."""
    name, host = nodesplit(hostname or "")
    return nodename(name or default_name, host or gethostname())


def node_format(s: str, name: str, **extra: Any) -> str:
    """Expand a pattern for the worker `name` (``name@host``); see :func:`host_format`."""
    shortname, host = nodesplit(name)
    return host_format(s, host, shortname or NODENAME_DEFAULT, p=name, **extra)


def _fmt_process_index(prefix: str = "", default: str = "0") -> str:
    from svcjobs_celery_compat.utils.log import current_process_index

    index = current_process_index()
    return f"{prefix}{index}" if index else default


_fmt_process_index_with_prefix = partial(_fmt_process_index, "-", "")


def host_format(s: str, host: str | None = None, name: str | None = None, **extra: Any) -> str:
    """Expand a pattern for names of hosts and log files.

    ``%h`` is the host, ``%n`` its first label or `name`, ``%d`` the domain, ``%p`` the worker's full name, ``%i`` the
    number of the pool process (0 in the main one), ``%I`` the same with a dash before (nothing in the main one), and
    ``%%`` a percent sign.
    """
    host = host or gethostname()
    hostname, _, domain = host.partition(".")
    keys = {
        "h": host,
        "n": name or hostname,
        "d": domain,
        "i": _fmt_process_index,
        "I": _fmt_process_index_with_prefix,
        **extra,
    }
    return simple_format(s, keys)
