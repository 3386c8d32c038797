"""The Lua scripts: one file a transition, shared parts joined in by ``--@include`` lines."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_INCLUDE = re.compile(r"^--@include (\w+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script as the server gets it."""

    name: str
    source: str
    sha: str


@cache
def script(name: str) -> Script:
    """The script in ``lua/<name>.lua`` with its fragments joined in, each once."""
    source = _join(files(__package__).joinpath("lua", f"{name}.lua").read_text(), set())
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


def _join(source: str, seen: set[str]) -> str:
    def fragment(match: re.Match[str]) -> str:
        name = match[1]
        if name in seen:
            return ""
        seen.add(name)
        return _join(files(__package__).joinpath("lua", "fragments", f"{name}.lua").read_text(), seen)

    return _INCLUDE.sub(fragment, source)
