"""A port that a test was given is nobody else's, in this process or another."""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ports
from tests.server_program import ROOT

TAKE = """
import sys
from tests import ports

ports.PORTS = range(int(sys.argv[1]), int(sys.argv[2]))
print(ports.free_port(), flush=True)
sys.stdin.read()
"""
FEW = range(11000, 11003)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(ports, "PORTS", FEW)
    monkeypatch.setattr(ports, "_ours", deque())
    with (tmp_path / ports.LOCKS).open("ab") as file:
        monkeypatch.setattr(ports, "_file", file)
        yield


def test_each_port_is_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-c", TAKE, str(FEW.start), str(FEW.stop)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        theirs = int(other.stdout.readline())
        assert {ports.free_port(), ports.free_port(), theirs} == set(FEW)
        other.communicate()
    monkeypatch.setattr(ports, "PORTS", [theirs])
    assert ports.free_port() == theirs  # it ended


def test_the_oldest_ports_are_given_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "KEPT", 2)
    first, second, third = (ports.free_port() for _ in FEW)
    assert {first, second, third} == set(FEW)
    assert ports.free_port() == first
