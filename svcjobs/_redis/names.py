"""Which prefixes a queue can have, and which keys lie beside each other on a cluster."""

from __future__ import annotations

import re

from svcjobs.errors import ConfigurationError

_NAME = r"[^\s{}\x00-\x1f\ud800-\udfff]+"
_PREFIX = re.compile(rf"{_NAME}(:\{{{_NAME}\}})?|\{{{_NAME}\}}")


def queue_prefix(name: str, root: str = "jobs") -> str:
    """The prefix of the queue ``name``: ``jobs:{emails}`` for ``emails``, the root itself for the default queue.

    Raises:
        ConfigurationError: the name is empty, or has braces, white space, control characters or what isn't UTF-8.
    """
    if name == root.strip("{}"):
        return root
    if not re.fullmatch(_NAME, name):
        raise ConfigurationError(f"the queue name {name!r} can't be used: no braces, spaces or empty names")
    return f"{root.strip('{}')}:{{{name}}}"


def check_prefix(prefix: str, *, cluster: bool) -> str:
    """The prefix as it is used.

    Raises:
        ConfigurationError: it is empty, has stray braces, or lacks the hash tag that a cluster needs.
    """
    if not _PREFIX.fullmatch(prefix):
        raise ConfigurationError(
            f"the prefix {prefix!r} can't be used: write it like jobs, {{jobs}} or jobs:{{emails}}, without spaces"
        )
    if cluster and "{" not in prefix:
        if prefix == "jobs":
            return "{jobs}"
        raise ConfigurationError(f"on a Redis Cluster the prefix {prefix!r} needs a hash tag: write {{{prefix}}}")
    return prefix


def same_slot(key: str) -> str:
    """A hash tag that puts a key of ours beside ``key``."""
    start = key.find("{")
    end = key.find("}", start + 1)
    return f"{{{key[start + 1 : end]}}}" if start >= 0 and end > start + 1 else f"{{{key}}}"
