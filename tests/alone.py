"""Tests marked ``alone`` assert how long something takes: while one runs, no other test of the run does.

A plugin. With pytest-xdist they are one group, so that the other processes stand still once and not once for each.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

MARK = "alone"


class Room:
    """What the processes of a run share: many tests at once, or one that is alone.

    Args:
        folder: where its files lie; all processes of one run give the same.
    """

    def __init__(self, folder: Path) -> None:
        self._list = folder / "alone.json"
        self._door = (folder / "door.lock").open("w")
        self._room = (folder / "room.lock").open("w")

    @property
    def ids_alone(self) -> set[str]:
        """The tests that are to be alone, as a process has listed them."""
        return set(json.loads(self._list.read_text()))

    def list_alone(self, ids: Sequence[str]) -> None:
        """Say which tests are to be alone; all processes of one run say the same."""
        written = self._list.with_suffix(f".{os.getpid()}")
        written.write_text(json.dumps(ids))
        written.replace(self._list)

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        """Others may be inside too."""
        with _locked(self._door, fcntl.LOCK_EX):  # closed while one waits to be alone
            fcntl.flock(self._room, fcntl.LOCK_SH)
        try:
            yield
        finally:
            fcntl.flock(self._room, fcntl.LOCK_UN)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Waits until nobody else is inside, and lets nobody in."""
        with _locked(self._door, fcntl.LOCK_EX), _locked(self._room, fcntl.LOCK_EX):
            yield


@contextlib.contextmanager
def _locked(file: Any, how: int) -> Iterator[None]:
    fcntl.flock(file, how)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


class InTheRoom:
    """The plugin of one process of a parallel run: no test begins without its place in the room."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._stay = contextlib.ExitStack()
        self._is_alone = False

    @pytest.hookimpl(tryfirst=True)  # before the scheduler hears that this process knows its tests
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._room.list_alone([item.nodeid for item in session.items if _is_alone(item)])

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # outermost: waiting doesn't count for a test's time-out
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[Any]:
        alone = _is_alone(item)
        if not (alone and self._is_alone):
            self._stay.enter_context(self._room.alone() if alone else self._room.shared())
        try:
            return (yield)
        finally:
            self._is_alone = alone and nextitem is not None and _is_alone(nextitem)
            if not self._is_alone:
                self._stay.close()


def _is_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker(MARK) is not None


class FilesAndTheAlone(LoadFileScheduling):  # type: ignore[misc]
    """A file's tests go to one process, and all that are alone do.

    Args:
        config, log: those of the superclass.
        room: that of the processes, which know the marks; all that a scheduler knows of a test is its id.
    """

    def __init__(self, config: pytest.Config, log: Any, room: Room) -> None:
        super().__init__(config, log)
        self._room = room

    def schedule(self) -> None:
        self._ids_alone = self._room.ids_alone
        super().schedule()

    def _split_scope(self, nodeid: str) -> str:
        return MARK if nodeid in self._ids_alone else str(super()._split_scope(nodeid))


@pytest.hookimpl(trylast=True)  # when the folder of the run's files is known
def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):  # a process of pytest-xdist; without it there is one test at a time anyway
        config.pluginmanager.register(InTheRoom(Room(_folder(config).parent)))


@pytest.hookimpl(optionalhook=True)  # without `-p no:xdist`
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesAndTheAlone | None:
    return FilesAndTheAlone(config, log, Room(_folder(config))) if config.getoption("dist") == "loadfile" else None


def _folder(config: pytest.Config) -> Path:
    return config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined,no-any-return]
