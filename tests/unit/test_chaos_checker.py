"""Each invariant of the chaos runs: a made-up history that breaks it is found, one that keeps it isn't."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.chaos.checker import INVARIANTS, Checker, Ending
from tests.chaos.history import Event, in_order

LEASE = 5.0


def stored(job: str, at: float = 0.0, **fields: Any) -> list[Event]:
    what = {"due": at, "unique": None, "max_attempts": 5, "backoff": 1.0, "created": True} | fields
    return [
        Event("asked", at, 1, {"job": job, "ask": job}),
        Event("enqueued", at + 0.01, 1, {"job": job, "ask": job} | what),
    ]


def ran(
    job: str, start: float, end: float | None, outcome: str = "ok", *, n: int = 1, attempt: int = 1, pid: int = 7
) -> list[Event]:
    lease = f"{n}-aa"
    events = [Event("start", start, pid, {"job": job, "attempt": attempt, "lease": lease})]
    if end is not None:
        events.append(Event("end", end, pid, {"job": job, "lease": lease, "outcome": outcome}))
    return events


def death(pid: int, at: float) -> Event:
    return Event("death", at, 1, {"pid": pid})


def excuse(since: float, until: float, *pids: int) -> Event:
    return Event("excuse", until, 1, {"since": since, "pids": list(pids) or None})


def totals(**counts: int) -> dict[str, int]:
    return {"enqueued": 1, "acked": 1} | counts


def broken(*parts: list[Event] | Event, lossy: bool = False, **ending: Any) -> list[str]:
    """Names of the invariants that a history breaks."""
    events = in_order(event for part in parts for event in (part if isinstance(part, list) else [part]))
    left = {"dead": {}, "totals": totals()} | ending
    return [finding.invariant for finding in Checker(events, Ending(**left), LEASE, lossy=lossy).findings()]


def test_a_job_that_is_done_breaks_nothing() -> None:
    assert broken(stored("a"), ran("a", 1, 2)) == []


def test_a_retried_job_and_a_killed_one_break_nothing() -> None:
    history = [
        stored("a"),
        ran("a", 1, 2, "raised"),
        ran("a", 3, None, n=2, attempt=2),
        death(7, 4.0),
        ran("a", 8, 9, n=3, attempt=3, pid=8),
    ]
    assert broken(*history, totals=totals(retried=1, reclaimed=1)) == []


def test_a_process_that_died_by_itself_and_is_told_of_again_later_was_dead_in_between() -> None:
    history = [stored("a"), ran("a", 1, None), death(7, 2.0), ran("a", 6.5, 7.0, n=2, attempt=2, pid=8), death(7, 8.0)]
    assert broken(*history, totals=totals(reclaimed=1)) == []


def test_a_lost_job_is_found() -> None:
    assert broken(stored("a"), totals=totals()) == ["terminal"]
    assert broken(stored("a"), ran("a", 1, 2, "raised"), totals=totals(retried=1)) == ["terminal"]


def test_a_lost_job_is_only_counted_when_the_server_lost_its_log() -> None:
    checker = Checker(in_order(stored("a")), Ending({}, {}), LEASE, lossy=True)
    assert checker.findings() == []
    assert checker.lost == ["a"]


def test_a_job_dead_for_no_reason_or_the_wrong_one_is_found() -> None:
    counts = totals(acked=0, buried=1)
    history = [stored("a", max_attempts=1), ran("a", 1, 2, "raised")]
    assert broken(*history, dead={"a": "exhausted"}, totals=counts) == ["terminal"]
    right = {"dead": {"a": "exhausted"}, "expected_dead": {"a": "exhausted"}, "totals": counts}
    assert broken(*history, **right) == []
    assert broken(*history, **right | {"expected_dead": {"a": "worker_lost"}}) == ["terminal"]
    assert broken(stored("a"), ran("a", 1, 2), expected_dead={"a": "exhausted"}) == ["terminal"]


def test_an_outcome_lost_with_the_log_may_bury_the_job_as_lost() -> None:
    """The worker had settled it; the server came back without that, and the lease of the last attempt ran out."""
    history = [stored("a", max_attempts=1), ran("a", 1, 2, "raised")]
    right = {"dead": {"a": "worker_lost"}, "expected_dead": {"a": "exhausted"}, "totals": totals(acked=0, buried=1)}
    assert broken(*history, **right, lossy=True) == []
    assert "terminal" in broken(*history, **right)


def test_an_outcome_that_came_after_the_lease_may_bury_the_job_as_lost() -> None:
    """The server was away when the run ended, or its process stood still before it could tell."""
    history = [stored("a", max_attempts=1), ran("a", 4, 4, "raised")]
    right = {"dead": {"a": "worker_lost"}, "expected_dead": {"a": "exhausted"}, "totals": totals(acked=0, buried=1)}
    for late in (excuse(3, 12), excuse(4.5, 12, 7)):
        assert broken(*history, late, **right) == []
    for other in (excuse(6, 12), excuse(3, 12, 8)):
        assert broken(*history, other, **right) == ["terminal", "totals"]


def test_a_job_out_of_nowhere_is_found() -> None:
    assert broken(stored("a"), ran("a", 1, 2), ran("b", 1, 2)) == ["known"]


def test_a_job_whose_answer_was_lost_is_known() -> None:
    assert broken(stored("a")[:1], ran("a", 1, 2)) == []


def test_a_token_that_falls_is_found() -> None:
    history = [stored("a"), ran("a", 1, 2, "cancelled", n=5), ran("a", 4, 5, n=4)]
    assert broken(*history, totals=totals(released=1)) == ["tokens"]


def test_a_token_used_twice_is_found() -> None:
    history = [stored("a"), ran("a", 1, 2, "raised"), ran("a", 4, 5, attempt=2)]
    assert "tokens" in broken(*history, totals=totals(retried=1))


def late_end() -> list[list[Event] | Event]:
    """Process 7 is stopped past its lease, and ends its run after 8 has begun one."""
    return [stored("a"), ran("a", 1, 12), excuse(2, 11, 7), ran("a", 8, 13, n=2, attempt=2, pid=8)]


def test_a_late_outcome_breaks_nothing() -> None:
    """Whether it is refused and counted, or given up by a child that was told first."""
    assert broken(*late_end(), totals=totals(stale=1, reclaimed=1)) == []
    assert broken(*late_end(), totals=totals(reclaimed=1)) == []


def test_a_refused_settlement_without_a_lost_lease_is_found() -> None:
    assert broken(stored("a"), ran("a", 1, 2), totals=totals(stale=1)) == ["stale"]


@pytest.mark.parametrize(
    "failures",
    [
        [(2, "oops token=1-aa attempt=1")],
        [(1, "oops token=2-aa attempt=1"), (2, "oops token=1-bb attempt=2")],
    ],
)
def test_an_outcome_committed_under_an_old_token_is_found(failures: list[tuple[int, str]]) -> None:
    assert broken(stored("a"), ran("a", 1, 2), failures={"a": failures}) == ["stale"]


def test_outcomes_committed_in_order_break_nothing() -> None:
    failures = [(1, "oops token=1-aa attempt=1"), (2, "worker_lost"), (3, "oops token=9-bb attempt=3")]
    assert broken(stored("a"), ran("a", 1, 2), failures={"a": failures}) == []


def test_an_attempt_too_many_is_found() -> None:
    history = [stored("a", max_attempts=1), ran("a", 1, 2, "raised"), ran("a", 4, 5, n=2, attempt=2)]
    assert broken(*history, totals=totals(retried=1)) == ["attempts"]


def test_an_attempt_that_ended_twice_is_found() -> None:
    history = [stored("a", max_attempts=2), ran("a", 1, 2, "raised"), ran("a", 4, 5, n=2)]
    assert broken(*history, totals=totals(retried=1)) == ["attempts"]


def test_a_run_that_was_given_back_isnt_charged() -> None:
    history = [stored("a", max_attempts=1), ran("a", 1, 2, "cancelled"), ran("a", 4, 5, n=2)]
    assert broken(*history, totals=totals(released=1)) == []


def test_two_runs_at_once_are_found() -> None:
    history = [stored("a"), ran("a", 1, None), death(7, 3.0), ran("a", 2, 5, n=2, attempt=2, pid=8)]
    assert broken(*history) == ["overlap"]


def test_two_runs_at_once_are_excused_only_for_the_process_that_was_stopped() -> None:
    history = [stored("a"), ran("a", 1, 12), excuse(2, 11, 9), ran("a", 8, 13, n=2, attempt=2, pid=8)]
    assert broken(*history, totals=totals(stale=1, reclaimed=1)) == ["overlap"]


def test_a_stopped_process_may_begin_a_job_late_under_a_lease_that_ran_out() -> None:
    late = [stored("a"), ran("a", 8, 13, n=2, attempt=2, pid=8), ran("a", 11.2, 11.3, "cancelled", n=1)]
    counts = totals(stale=1, reclaimed=1)
    assert broken(*late, excuse(2, 11, 7), totals=counts) == []
    assert broken(*late, excuse(2, 11, 8), totals=counts) == ["tokens", "overlap"]


def test_an_early_start_is_found() -> None:
    assert broken(stored("a", due=3.0), ran("a", 2.5, 4)) == ["early"]
    assert broken(stored("a", due=3.0), ran("a", 3.001, 4)) == []


def test_as_much_as_the_clock_was_put_forward_is_not_early() -> None:
    def put_forward(seconds: float) -> Event:
        return Event("over", 5.0, 1, {}, wall=5.0 + seconds)

    started = ran("a", 2.9, 4)
    assert broken(stored("a", due=3.0), started, put_forward(0.05)) == ["early"]
    assert broken(stored("a", due=3.0), started, put_forward(0.09)) == []


def test_an_early_retry_is_found() -> None:
    history = [stored("a", backoff=2.0), ran("a", 1, 2, "raised"), ran("a", 3.5, 5, n=2, attempt=2)]
    assert broken(*history, totals=totals(retried=1)) == ["early"]


def test_two_live_jobs_of_a_unique_key_are_found() -> None:
    history = [stored("a", unique="k"), stored("b", 1.0, unique="k"), ran("a", 0.5, 2), ran("b", 2, 3)]
    assert broken(*history, totals=totals(enqueued=2, acked=2)) == ["unique"]


def test_jobs_of_a_unique_key_one_after_the_other_break_nothing() -> None:
    history = [stored("a", unique="k"), stored("b", 3.0, unique="k"), ran("a", 0.5, 2), ran("b", 4, 5)]
    assert broken(*history, totals=totals(enqueued=2, acked=2)) == []


def test_a_tick_taken_twice_is_found() -> None:
    ticks = [Event("tick", at, pid, {"name": "n", "tick": 60.0}) for at, pid in ((1.0, 7), (1.5, 8))]
    assert broken(stored("a"), ran("a", 1, 2), ticks) == ["ticks"]
    assert broken(stored("a"), ran("a", 1, 2), ticks[:1]) == []


@pytest.mark.parametrize("counts", [{"enqueued": 2, "acked": 2}, {"acked": 0}, {"buried": 1}, {"retried": 1}])
def test_counters_that_differ_from_the_history_are_found(counts: dict[str, int]) -> None:
    assert broken(stored("a"), ran("a", 1, 2), totals=totals(**counts)) == ["totals"]


def test_a_failure_that_isnt_counted_is_found() -> None:
    assert broken(stored("a"), ran("a", 1, 2, "raised"), ran("a", 9, 10, n=2, attempt=2)) == ["totals"]


def test_a_key_left_behind_is_found() -> None:
    assert broken(stored("a"), ran("a", 1, 2), problems=["jobs:job:9 lies nowhere"]) == ["census"]


def test_every_invariant_has_a_history_that_breaks_it() -> None:
    source = Path(__file__).read_text()
    missing = [name for name in INVARIANTS if f'["{name}"]' not in source]
    assert not missing
