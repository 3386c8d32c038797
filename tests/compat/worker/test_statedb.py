"""The file of ``--statedb`` keeps what was revoked, and the clock."""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu.clocks import LamportClock

from svcjobs_celery_compat.utils.collections import LimitedSet
from svcjobs_celery_compat.worker import state


@pytest.fixture(autouse=True)
def nothing_revoked() -> Iterator[None]:
    state.revoked.clear()
    yield
    state.revoked.clear()


def test_a_worker_that_starts_again_knows_what_was_revoked(tmp_path: Path) -> None:
    clock = LamportClock(41)
    state.revoked.add("one")
    state.Persistent(state, str(tmp_path / "state"), clock).save()

    state.revoked.clear()
    later = LamportClock()
    kept = state.Persistent(state, str(tmp_path / "state"), later)
    assert "one" in state.revoked
    assert later.value > 41
    assert "one" in pickle.loads(kept.decompress(kept.db["zrevoked"]))
    kept.close()


def test_a_file_of_celery_is_read(tmp_path: Path) -> None:
    ids = LimitedSet()
    ids.add("theirs", now=10.0**9)  # of a clock that isn't ours
    with state.Persistent.storage.open(str(tmp_path / "state")) as file:
        file["zrevoked"] = zlib.compress(pickle.dumps(ids))
    state.Persistent(state, str(tmp_path / "state")).close()
    assert "theirs" in state.revoked
    assert state.revoked.as_dict()["theirs"] < 10.0**9


def test_a_subclass_packs_in_its_own_way(tmp_path: Path) -> None:
    class Plain(state.Persistent):
        compress = decompress = staticmethod(bytes)

    state.revoked.add("one")
    kept = Plain(state, str(tmp_path / "state"))
    kept.sync()
    assert "one" in pickle.loads(kept.db["zrevoked"])
    kept.close()
