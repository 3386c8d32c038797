"""A worker in a thread of the test's process, for tests of code that uses tasks."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from svcjobs_celery_compat import worker
from svcjobs_celery_compat._state import _set_task_join_will_block
from svcjobs_celery_compat.contrib.testing.tasks import ping
from svcjobs_celery_compat.result import allow_join_result
from svcjobs_celery_compat.utils.dispatch import Signal
from svcjobs_celery_compat.utils.nodenames import anon_nodename
from svcjobs_celery_compat.worker import state

WORKER_LOGLEVEL = os.environ.get("WORKER_LOGLEVEL", "error")

test_worker_starting = Signal(name="test_worker_starting", providing_args={})
test_worker_started = Signal(name="test_worker_started", providing_args={"worker", "consumer"})
test_worker_stopped = Signal(name="test_worker_stopped", providing_args={"worker"})


class TestWorkController(worker.WorkController):
    """A worker that tells when it is ready. Whatever its pool is called, tasks run in threads of this process."""

    __test__ = False
    logger_queue: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._on_started = threading.Event()
        super().__init__(*args, **kwargs)

    def on_consumer_ready(self, consumer: Any) -> None:
        """Tell it."""
        self._on_started.set()
        test_worker_started.send(sender=self.app, worker=self, consumer=consumer)

    def ensure_started(self) -> None:
        """Wait until it is ready."""
        self._on_started.wait()


@contextmanager
def start_worker(
    app: Any,
    concurrency: int = 1,
    pool: Any = "solo",
    loglevel: Any = WORKER_LOGLEVEL,
    logfile: Any = None,
    perform_ping_check: bool = True,
    ping_task_timeout: float = 10.0,
    shutdown_timeout: float = 10.0,
    **kwargs: Any,
) -> Iterator[Any]:
    """Run a worker beside the block; yields it.

    Args:
        app: the app.
        concurrency: how many tasks run at once.
        pool: the name that the worker shows; it always uses threads.
        loglevel: of the worker's log.
        logfile: where it goes.
        perform_ping_check: whether to see first that a task comes back.
        ping_task_timeout: seconds until that fails.
        shutdown_timeout: seconds for running tasks at the end.
        **kwargs: further options of the worker.

    Raises:
        RuntimeError: it didn't stop in time.
    """
    test_worker_starting.send(sender=app)
    started = None
    try:
        with _start_worker_thread(
            app, concurrency, pool, loglevel, logfile, shutdown_timeout=shutdown_timeout, **kwargs,
        ) as started:  # fmt: skip
            if perform_ping_check:
                with allow_join_result():
                    answer = ping.delay().get(timeout=ping_task_timeout)
                    assert answer == "pong"  # noqa: S101 - this is a test
            yield started
    finally:
        test_worker_stopped.send(sender=app, worker=started)


@contextmanager
def _start_worker_thread(
    app: Any,
    concurrency: int = 1,
    pool: Any = "solo",
    loglevel: Any = WORKER_LOGLEVEL,
    logfile: Any = None,
    WorkController: Any = TestWorkController,
    shutdown_timeout: float = 10.0,
    **kwargs: Any,
) -> Iterator[Any]:
    setup_app_for_worker(app, loglevel, logfile)
    options = {"without_heartbeat": True, "without_mingle": True, "without_gossip": True, **kwargs}
    controller = WorkController(
        app=app, concurrency=concurrency, hostname=options.pop("hostname", anon_nodename()), pool=pool,
        loglevel=loglevel, logfile=logfile, ready_callback=None, **options,
    )  # fmt: skip
    thread = threading.Thread(target=controller.start, name="celery-test-worker", daemon=True)
    thread.start()
    while thread.is_alive() and not controller._on_started.wait(0.05):
        continue
    if not thread.is_alive():
        raise RuntimeError("the worker ended before it was ready: see the log")
    # the test waits for results in a process that has a worker
    _set_task_join_will_block(False)
    try:
        yield controller
    finally:
        controller.grace_seconds = shutdown_timeout
        controller.stop()
        thread.join(shutdown_timeout + 10)
        state.should_stop = state.should_terminate = None
        if thread.is_alive():
            raise RuntimeError(
                "Worker thread failed to exit within the allocated timeout. Consider raising `shutdown_timeout` if "
                "your tasks take longer to execute."
            )


def setup_app_for_worker(app: Any, loglevel: Any, logfile: Any) -> None:
    """Make the app current, finalized, and its log set up."""
    app.finalize()
    app.set_current()
    app.set_default()
    type(app.log)._setup = False
    app.log.setup(loglevel=loglevel, logfile=logfile)
