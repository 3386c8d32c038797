"""The same seed makes the same choices, and a short run strikes in many ways."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any, cast

from svcjobs.job import NewJob
from tests.chaos.history import History, read
from tests.chaos.load import KINDS, Load
from tests.chaos.nemeses import ALWAYS, order_of


def jobs(seed: int, count: int) -> list[NewJob]:
    load = Load(cast("Any", None), History(Path()), random.Random(seed), lease_seconds=3)
    return [load.next_job() for _ in range(count)]


def test_a_seed_decides_the_load() -> None:
    assert jobs(1, 50) == jobs(1, 50)
    assert jobs(1, 50) != jobs(2, 50)


def test_all_kinds_of_jobs_come() -> None:
    assert {job.name for job in jobs(1, 1000)} == KINDS.keys()


def test_jobs_that_must_die_are_known() -> None:
    load = Load(cast("Any", None), History(Path()), random.Random(1), lease_seconds=3)
    new = [load.next_job() for _ in range(500)]
    assert load.expected_dead.keys() == {job.job_id for job in new if job.name in ("failing", "poison")}
    assert set(load.expected_dead.values()) == {"exhausted", "worker_lost"}


def test_a_seed_decides_the_strikes_and_none_is_forgotten() -> None:
    first, again = (list(itertools.islice(order_of(random.Random(7), ALWAYS), 40)) for _ in range(2))
    assert first == again
    assert set(first[: len(ALWAYS)]) == set(ALWAYS)


def test_a_history_is_read_in_the_order_of_time(tmp_path: Path) -> None:
    history, other = History(tmp_path), History(tmp_path)
    for number in range(4):
        (history, other)[number % 2].write("note", number=number, text="line\nbreak \u2028")
    events = read(tmp_path)
    assert [event["number"] for event in events] == [0, 1, 2, 3]
    assert events[0]["text"] == "line\nbreak \u2028"
    assert len(list(tmp_path.iterdir())) == 2
