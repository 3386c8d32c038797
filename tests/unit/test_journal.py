"""What jobs report and log: the values, and how seldom and how bounded they are written."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from svcjobs import Job, current_job
from svcjobs.attempt import Attempt
from svcjobs.errors import InvalidJob, QueueUnavailable
from svcjobs.job_log import JournalHandler
from svcjobs.journal import Journal
from svcjobs.journal_store import JournalPage
from svcjobs.pools.slots import Slots
from svcjobs.progress import Progress
from tests.eventually import eventually


class Store:
    """Keeps pages in a list, and may be away."""

    def __init__(self) -> None:
        self.writes: list[list[tuple[str, str, JournalPage]]] = []
        self.away = threading.Event()
        self.asked = 0

    def write(self, pages: Sequence[tuple[str, str, JournalPage]]) -> None:
        self.asked += 1
        if self.away.is_set():
            raise QueueUnavailable("no answer")
        self.writes.append(list(pages))

    def close(self) -> None:
        pass

    def last(self, job_id: str) -> JournalPage | None:
        pages = [page for write in self.writes for _, one, page in write if one == job_id]
        return pages[-1] if pages else None


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def make(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr("svcjobs.journal.EVERY_SECONDS", 0.05)
    made: list[Journal] = []

    def make(lines: int = 0) -> Journal:
        made.append(Journal(store, lines=lines))  # type: ignore[arg-type]  # as much of one as it needs
        return made[-1]

    yield make
    for journal in made:
        journal.close()


def taken(journal: Journal, job_id: str = "1", attempts: int = 1) -> Job:
    """A job as a pool has it when its handler begins."""
    slots = Slots(1)
    slots.reporting = journal
    slots.put([Job(id=job_id, name="n", payload={}, attempts=attempts, lease="l")])
    run = slots.take()
    assert run is not None
    return run.job


def fail(job: Job) -> None:
    with contextlib.suppress(RuntimeError), Attempt(job):
        job.progress(7)
        raise RuntimeError


def test_a_handler_reports_how_far_it_is(make: Any, store: Store) -> None:
    with Attempt(taken(make(), attempts=3)):
        job = current_job()
        assert job is not None
        job.progress(3, 12, "copying")
        page = eventually(lambda: store.last("1"))
        assert (page.attempt, page.lines, page.done) == (3, (), False)
        assert page.progress is not None
        assert str(page.progress) == "3 of 12 (25 %) copying"
    page = eventually(lambda: (page := store.last("1")) and page.done and page)
    assert page.progress is not None


def test_many_reports_are_few_writes(make: Any, store: Store) -> None:
    with Attempt(job := taken(make(), "0")):
        for number in range(20_000):
            job.progress(number)
        eventually(lambda: (page := store.last("0")) and page.progress and page.progress.done == 19_999)
    assert len(store.writes) < 100


def test_a_quick_job_that_succeeds_is_never_written(make: Any, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("svcjobs.journal.EVERY_SECONDS", 60)
    journal = make(lines=5)
    for number in range(100):
        with Attempt(job := taken(journal, str(number))):
            job.progress(1)
    fail(taken(journal, "failed"))
    with Attempt(job := taken(journal, "told")) as attempt:
        job.progress(2)
        attempt.failed("JobResult")
    journal.close()
    assert [[job_id for _, job_id, _ in write] for write in store.writes] == [["failed", "told"]]


def test_after_its_attempt_a_job_says_nothing(make: Any, store: Store) -> None:
    with Attempt(job := taken(make())):
        pass
    job.progress(1)
    assert job.reporting is None
    Job(id="1", name="n", payload={}).progress(1, 2)  # nor outside of a worker


def test_while_the_server_is_away_the_newest_state_is_kept(make: Any, store: Store) -> None:
    store.away.set()
    journal = make()
    with Attempt(job := taken(journal)):
        job.progress(1)
        eventually(lambda: store.asked > 2)
        job.progress(2)
        fail(taken(journal, "other"))
        eventually(lambda: store.asked > 4)
        store.away.clear()
        eventually(lambda: (page := store.last("1")) and page.progress and page.progress.done == 2)
        eventually(lambda: store.last("other"))


def test_the_last_lines_that_a_job_logs_are_kept(make: Any, store: Store) -> None:
    handler = JournalHandler()
    logger = logging.getLogger("test.journal")
    logger.setLevel("INFO")
    logger.addHandler(handler)
    try:
        logger.info("outside of any job")
        with Attempt(taken(make(lines=3))):
            for number in range(9):
                logger.info("line %d", number)
            logger.warning("see https://ada:hush@example.com/ %s", "x" * 1000)
            lines = eventually(lambda: (page := store.last("1")) and len(page.lines) == 3 and page.lines)
    finally:
        logger.removeHandler(handler)
    assert [line.partition("test.journal: ")[2][:6] for line in lines] == ["line 7", "line 8", "see ht"]
    assert len(lines[-1]) == 500
    assert "hush" not in lines[-1]


def test_numbers_that_are_none_are_refused() -> None:
    job = Job(id="1", name="n", payload={})
    for bad in ((-1, None), (float("nan"), None), (1, float("inf"))):
        with pytest.raises(InvalidJob, match="progress"):
            job.progress(*bad)
    assert len(Progress(1, note="x" * 1000).note) == 200
    assert [str(Progress(*args)) for args in ((0,), (1, 0), (2.5, 10), (1, None, "at"))] == [
        "0", "1 of 0", "2.5 of 10 (25 %)", "1 at",
    ]  # fmt: skip


@pytest.mark.timeout(30)
def test_a_close_right_after_the_pause_between_two_writes_is_heard(make: Any) -> None:
    journal = make()
    pauses = iter([True])

    def paused(_seconds: float) -> bool:
        if next(pauses, False):
            journal._closed.set()  # what close does, while the pause ends
            journal._woken.set()
            return False
        return bool(journal._closed.is_set())

    journal._closed.wait = paused
    journal._wake()
    eventually(lambda: not journal._thread.is_alive())
