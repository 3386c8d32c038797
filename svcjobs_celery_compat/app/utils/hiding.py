"""Settings without what nobody is to read: passwords, keys, tokens."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any

__all__ = ("filter_hidden_settings", "sanitize_url")

MASK = "********"

HIDDEN_SETTINGS = re.compile(r"API|TOKEN|KEY|SECRET|PASS|PROFANITIES_LIST|SIGNATURE|DATABASE|BEAT_DBURI", re.IGNORECASE)
URL_SETTINGS = re.compile(r"(broker(_read|_write)?_url|result_backend)$", re.IGNORECASE)

#: Keys of an Azure connection string whose values are secret.
AZURE_SECRETS = {"accountkey", "sharedaccesssignature"}

# one server of a URL that may have several: [scheme://][user[:password]@]host[:port]
_SERVER = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*://)?"
    r"(?:(?P<user>[^:@;,/]*)(?P<password>:[^@;,/]*)?@)?"
    r"(?P<host>\[[^\]]*\]|[^:@;,/]+)(?P<port>:\d+)?",
    re.IGNORECASE,
)
# where the servers may end: at a slash that isn't one of "://", at a question mark or a hash sign
_END = re.compile(r"(?<![:/])/(?!/)|[?#]")


def filter_hidden_settings(conf: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return a copy with secrets replaced, in nested mappings, too."""

    def shown(key: Any, value: Any) -> Any:
        if isinstance(value, Mapping):
            return filter_hidden_settings(value)
        if not isinstance(key, str):
            return value
        if HIDDEN_SETTINGS.search(key):
            return MASK
        if URL_SETTINGS.search(key):
            if isinstance(value, (list, tuple)):
                return [sanitize_url(url) for url in value]
            return sanitize_url(value)
        return value

    return {key: shown(key, value) for key, value in conf.items()}


def sanitize_url(url: Any, mask: str = MASK) -> Any:
    """Replace the passwords in the URL of a broker or a result store, which may name several servers.

    If it isn't clear what the password is, more is replaced. Anything but text is returned as it is.
    """
    if not isinstance(url, str) or not url:
        return url
    try:
        scheme, separator, rest = url.partition("://")
        if scheme.lower().startswith("azureblockblob"):
            return scheme + separator + _redact_azure_connection_string(rest, mask)
        if not separator:
            return url
        servers, rest = _split_servers(rest)
        return scheme + separator + _sanitize_servers(servers, mask) + rest
    except Exception:  # noqa: BLE001 - whatever it is, a password mustn't be shown
        return re.sub(r"(?s)(?<=://).*@", f"{mask}@", url) if "@" in url else "<unparsable url>"


def _split_servers(rest: str) -> tuple[str, str]:
    ends = [match.start() for match in _END.finditer(rest)]
    if "@" in rest:
        # a password may have the same characters: the servers don't end before the first @
        ends = [end for end in ends if "@" in rest[:end]]
    end = ends[0] if ends else len(rest)
    return rest[:end], rest[end:]


def _sanitize_servers(servers: str, mask: str) -> str:
    separator = ";" if ";" in servers else ","
    chunks = [chunk for chunk in servers.split(separator) if chunk]
    if "@" not in servers:
        return separator.join(chunks)
    matches = [_SERVER.fullmatch(chunk) for chunk in re.split(r"[;,]", servers) if chunk]
    if all(matches) and not _is_ambiguous([match for match in matches if match]):
        return separator.join(_sanitize_server(match, mask) for match in matches if match)
    credentials, _, hosts = servers.rpartition("@")
    user, colon, _ = credentials.partition(":")
    if not colon or "@" in user or "//" in credentials:
        return f"{mask}@{hosts}"
    return f"{user}:{mask}@{hosts}"


def _is_ambiguous(matches: list[re.Match[str]]) -> bool:
    """Return whether a chunk without credentials may be the start of the password that goes on in the next one."""
    if matches[0]["user"] is None:
        return True
    return any(
        before["user"] is None and after["user"] is not None and after["password"] is None
        for before, after in itertools.pairwise(matches)
    )


def _sanitize_server(match: re.Match[str], mask: str) -> str:
    parts = [match["scheme"] or ""]
    if match["user"] is not None:
        parts.append(f"{match['user']}:{mask}@" if match["password"] is not None else f"{match['user']}@")
    return "".join([*parts, match["host"], match["port"] or ""])


def _redact_azure_connection_string(connection_string: str, mask: str = MASK) -> str:
    def shown(part: str) -> str:
        key, equals, _value = part.partition("=")
        if equals and key.strip().lower() in AZURE_SECRETS:
            return f"{key}={mask}"
        # a shared access signature in the query of an endpoint
        return re.sub(r"(?i)([?&]sig=)[^&;#]*", rf"\g<1>{mask}", part)

    return ";".join(map(shown, connection_string.split(";")))
