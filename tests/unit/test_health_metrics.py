"""Metrics of several processes as one."""

from __future__ import annotations

from svcjobs.memory_queue import InMemoryJobQueue
from svcjobs.metrics import Metrics, SummedMetrics
from svcjobs.tally import Tally


def test_counts_of_the_dead_stay() -> None:
    sums = SummedMetrics()
    for pid in (1, 2, 3):
        metrics = Metrics("shop")
        metrics.observe("greet", 0.1, None)
        for tally in metrics.tallies(pid):
            sums.add(Tally.decode(tally.encode()))
            sums.add(tally)  # totals, not changes
        sums.bury({pid})
    assert b'shop_processed_total{job_name="greet",status="success"} 3.0' in sums.text()
    assert b'shop_duration_seconds_bucket{job_name="greet",le="0.1"} 3.0' in sums.text()


def test_what_this_process_counts_is_its_own_however_many_others_die() -> None:
    sums, queue = SummedMetrics(), InMemoryJobQueue()
    queue.reconnects = 3  # type: ignore[attr-defined]
    sums.watch(queue)
    for _ in range(3):
        assert b'jobs_reconnects_total{queue="jobs"} 3.0' in sums.text()
        sums.bury({1, 2})


def test_many_names_go_in_several_messages() -> None:
    metrics = Metrics()
    for number in range(500):
        metrics.observe(f"job{number}", 0.1, None)
    assert max(len(tally.encode()) for tally in metrics.tallies(1)) < 100_000
