"""The same program on Celery and on the facade: messages, retries, defaults, eager runs and errors are the same."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("same_program.py")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
ORIGIN = re.compile(r"gen\d+@\S+")
OWN_PROPERTIES = ("argsrepr", "kwargsrepr", "origin")
"""Celery publishes them as properties of the message, too, where nobody reads them."""


def run(package: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), package],
        cwd=PROGRAM.parents[3],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


@pytest.fixture(scope="module")
def both() -> tuple[dict[str, Any], dict[str, Any]]:
    return run("celery"), run("svcjobs_celery_compat")


class Normal:
    """Gives ids numbers in the order in which they come."""

    def __init__(self) -> None:
        self.ids: dict[str, str] = {}

    def __call__(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self(each) for key, each in sorted(value.items())}
        if isinstance(value, list):
            return [self(each) for each in value]
        if isinstance(value, str):
            text = ORIGIN.sub("gen@host", value)
            return UUID.sub(lambda found: self.ids.setdefault(found[0], f"id-{len(self.ids)}"), text)
        return value


def messages(seen: Any) -> Any:
    for message in seen:
        for name in OWN_PROPERTIES:
            message.pop(name, None)
        for part in (message, message["body"], message.get("headers")):
            if isinstance(part, dict):
                take_out_what_passes(part)
    return Normal()(seen)


def take_out_what_passes(fields: dict[str, Any]) -> None:
    for name in ("timestamp", "pid", "timeout", "confirm_timeout"):
        fields.pop(name, None)
    for name in ("expires", "expiration"):
        if fields.get(name) and not str(fields[name]).startswith("2030"):
            fields[name] = type(fields[name]).__name__


def cases(part: str) -> list[str]:
    names = re.findall(r'^    "([^"]+)": lambda', PROGRAM.read_text(), re.MULTILINE)
    return names if part == "messages" else []


@pytest.mark.parametrize("case", cases("messages"))
def test_messages(both: tuple[dict[str, Any], dict[str, Any]], case: str) -> None:
    celery, ours = both
    assert messages(ours["messages"][case]) == messages(celery["messages"][case])


def test_retries(both: tuple[dict[str, Any], dict[str, Any]]) -> None:
    celery, ours = both
    for name, (kind, text, sent) in celery["retries"].items():
        own_kind, own_text, own_sent = ours["retries"][name]
        assert (own_kind, own_text) == (kind, text), name
        assert messages(own_sent) == messages(sent), name


@pytest.mark.parametrize("part", ["defaults", "eager", "errors"])
def test_the_rest(both: tuple[dict[str, Any], dict[str, Any]], part: str) -> None:
    celery, ours = both
    assert Normal()(ours[part]) == Normal()(celery[part])
