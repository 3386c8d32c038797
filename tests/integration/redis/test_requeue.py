"""Requeueing while workers are at it."""

from __future__ import annotations

from threading import Event, Thread

from svcjobs.redis_queue import RedisJobQueue

JOBS = 300


def test_a_job_that_is_done_before_requeue_returns_was_requeued_all_the_same(queue: RedisJobQueue) -> None:
    for number in range(JOBS):
        queue.enqueue("x", job_id=f"j{number}")
        queue.cancel(f"j{number}")
    done: list[str] = []
    stop = Event()

    def work() -> None:
        while not stop.is_set():
            if job := queue.reserve_next():
                queue.ack(job)
                done.append(job.id)

    worker = Thread(target=work)
    worker.start()
    try:
        requeued = [queue.requeue(f"j{number}") for number in range(JOBS)]
    finally:
        stop.set()
        worker.join()
    assert [(job.id, job.attempts, job.reason) for job in requeued] == [(f"j{n}", 0, None) for n in range(JOBS)]
    assert done, "no job was taken in between"
    assert queue.stats().dead == 0
