"""Secrets in payloads and errors, covered before anything is shown."""

from __future__ import annotations

import re
from typing import Any

COVER = "••••••"
DEEPEST = 100
"""Levels of a payload that are shown; a deeper one would exhaust the stack."""
TOO_DEEP = "…"
_NAME = (
    r"(?:passw(?:or)?d|passphrase|pwd|secret|token|api[_-]?key|private[_-]?key|access[_-]?key|authorization|cookie"
    r"|credential|signature|session[_-]?id|card[_-]?number|cvv|cvc)"
)
# each begins where a word does, and takes it whole: a long word is read once or twice, not once a character
_WORD = rf"(?<![\w-])(?=[\w-]*?{_NAME})[\w-]++"
_SECRET = re.compile(_NAME, re.IGNORECASE)
_PASSWORD_IN_URL = re.compile(r"(?<![\w+.-])([\w+.-]+://[^\s/?#:@\"']*:)[^\s/?#\"']+(?=@)")
_TOKEN_IN_URL = re.compile(r"(?<![\w+.-])([\w+.-]+://)[^\s/?#:@\"']+(?=@)")
_HEADER = re.compile(r"(?<![\w-])((?:proxy-)?authorization|(?:set-)?cookie)(: *)(?![\"'])[^\n\"']+", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(?<![\w-])((?:Bearer|Basic)\s+)[\w.~+/=-]{6,}", re.IGNORECASE)
_ASSIGNED = re.compile(
    rf"({_WORD}\\?['\"]?\s*[:=]\s*)"
    r"(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[^\s,;)}\]&]+)",
    re.IGNORECASE,
)


def mask(value: Any, depth: int = 0) -> Any:
    """The value with a cover in place of what stands under the name of a secret, and of those in texts.

    Args:
        value: anything that JSON can hold.
        depth: how deep it lies.
    """
    if isinstance(value, str):
        return mask_text(value)
    if not isinstance(value, dict | list | tuple):
        return value
    if depth >= DEEPEST:
        return TOO_DEEP
    if isinstance(value, dict):
        return {name: COVER if _is_secret(name, item) else mask(item, depth + 1) for name, item in value.items()}
    return [mask(item, depth + 1) for item in value]


def mask_text(text: str) -> str:
    """The text with a cover in place of passwords in URLs, credentials, and values like ``token=…``."""
    text = _PASSWORD_IN_URL.sub(rf"\1{COVER}", text)
    text = _TOKEN_IN_URL.sub(rf"\1{COVER}", text)
    text = _HEADER.sub(rf"\1\2{COVER}", text)
    text = _CREDENTIALS.sub(rf"\1{COVER}", text)
    return _ASSIGNED.sub(rf"\1{COVER}", text)


def _is_secret(name: object, item: object) -> bool:
    return isinstance(name, str) and item is not None and _SECRET.search(name) is not None
