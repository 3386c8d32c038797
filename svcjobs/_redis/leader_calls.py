"""The stubs of the scripts that elect a scheduler."""

from __future__ import annotations

from svcjobs._redis.calls import Call
from svcjobs._redis.scripts import script


def lead(key: str, owner: str, lease_seconds: float) -> Call[bool]:
    """Take or renew the leadership; whether ``owner`` has it now. May be sent again."""
    return Call(script("lead"), (key,), (owner, max(1, round(lease_seconds * 1000))), bool)


def resign(key: str, owner: str) -> Call[bool]:
    """Give the leadership up; whether ``owner`` had it. May be sent again."""
    return Call(script("resign"), (key,), (owner,), bool)
