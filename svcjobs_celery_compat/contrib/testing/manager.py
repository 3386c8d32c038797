"""What integration tests wait for: that workers have received, started or ended tasks."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import count
from typing import IO, Any

from kombu.utils.functional import retry_over_time

from svcjobs_celery_compat import states
from svcjobs_celery_compat.exceptions import TimeoutError
from svcjobs_celery_compat.result import AsyncResult, ResultSet
from svcjobs_celery_compat.utils.text import truncate
from svcjobs_celery_compat.utils.time import humanize_seconds as _humanize_seconds

E_STILL_WAITING = "Still waiting for {0}.  Trying again {when}: {exc!r}"

humanize_seconds = partial(_humanize_seconds, microseconds=True)


class Sentinel(Exception):
    """What was waited for isn't there yet."""


class ManagerMixin:
    """The methods of :class:`Manager`, for a class that has an ``app``."""

    app: Any

    def _init_manager(
        self,
        block_timeout: float = 30 * 60.0,
        no_join: bool = False,
        stdout: IO[str] | None = None,
        stderr: IO[str] | None = None,
    ) -> None:
        self.stdout = sys.stdout if stdout is None else stdout
        self.stderr = sys.stderr if stderr is None else stderr
        self.connerrors = self.app.connection().recoverable_connection_errors
        self.block_timeout = block_timeout
        self.no_join = no_join

    def remark(self, s: str, sep: str = "-") -> None:
        print(f"{sep}{s}", file=self.stdout)  # the report of a test program

    def warn(self, s: str) -> None:
        print(s, file=self.stderr)  # the report of a test program

    def missing_results(self, r: Iterable[AsyncResult[Any]]) -> list[str]:
        """Return the ids among the results ``r`` that have none stored in a cache backend."""
        return [result.id for result in r if result.id not in result.backend._cache]

    def wait_for(
        self,
        fun: Callable[..., Any],
        catch: type[BaseException] | tuple[type[BaseException], ...],
        desc: str = "thing",
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        errback: Callable[..., Any] | None = None,
        max_retries: int = 10,
        interval_start: float = 0.1,
        interval_step: float = 0.5,
        interval_max: float = 5.0,
        emit_warning: bool = False,
        **options: Any,
    ) -> Any:
        """Call ``fun`` until it doesn't raise ``catch``, and return what it returns.

        Parameters:
            errback: called with the error, the intervals to come, and the number of retries made.
            interval_start, interval_step, interval_max: seconds between the calls.
            emit_warning: say on the error stream what is waited for.
        """

        def failed(exc: BaseException, intervals: Iterator[float], retries: int) -> float:
            interval = next(intervals)
            if emit_warning:
                self.warn(
                    E_STILL_WAITING.format(
                        desc, when=humanize_seconds(interval, "in", " ") if interval else "now", exc=exc
                    )
                )
            if errback is not None:
                errback(exc, interval, retries)
            return interval

        return self.retry_over_time(
            fun,
            catch,
            args=args,
            kwargs=dict(kwargs or {}),
            errback=failed,
            max_retries=max_retries,
            interval_start=interval_start,
            interval_step=interval_step,
            interval_max=interval_max,
            **options,
        )

    def ensure_not_for_a_while(
        self,
        fun: Callable[..., Any],
        catch: type[BaseException] | tuple[type[BaseException], ...],
        desc: str = "thing",
        max_retries: int = 20,
        interval_start: float = 0.1,
        interval_step: float = 0.02,
        interval_max: float = 1.0,
        emit_warning: bool = False,
        **options: Any,
    ) -> None:
        """Call ``fun`` as :meth:`wait_for` does, and expect that it raises ``catch`` each time.

        Raises:
            AssertionError: it returned.
        """
        try:
            self.wait_for(
                fun,
                catch,
                desc=desc,
                max_retries=max_retries,
                interval_start=interval_start,
                interval_step=interval_step,
                interval_max=interval_max,
                emit_warning=emit_warning,
                **options,
            )
        except catch:
            return
        raise AssertionError(f"Should not have happened: {desc}")

    def retry_over_time(self, *args: Any, **kwargs: Any) -> Any:
        return retry_over_time(*args, **kwargs)

    def join(self, r: Any, propagate: bool = False, max_retries: int = 10, **kwargs: Any) -> Any:
        """Return what the results ``r`` hold, waiting again after each time-out.

        Raises:
            AssertionError: they weren't there after ``max_retries`` time-outs.
        """
        if self.no_join:
            return None
        results = r if isinstance(r, ResultSet) else self.app.ResultSet([r])
        received: list[str] = []
        for attempt in range(max_retries) if max_retries else count():
            received.clear()
            try:
                return results.get(
                    callback=lambda task_id, value: received.append(task_id), propagate=propagate, **kwargs
                )
            except (OSError, TimeoutError) as exc:
                waiting_for = self.missing_results(results)
                self.remark(
                    f"Still waiting for {len(results) - len(received)}/{len(results)}: "
                    f"[{truncate(', '.join(waiting_for))}]: {exc!r} (time-out {attempt + 1})",
                    "!",
                )
            except self.connerrors as exc:
                self.remark(f"join: connection lost: {exc!r}", "!")
        raise AssertionError("Test failed: Missing task results")

    def inspect(self, timeout: float = 3.0) -> Any:
        return self.app.control.inspect(timeout=timeout)

    def query_tasks(self, ids: Iterable[str], timeout: float = 0.5) -> Iterator[tuple[str, Any]]:
        """Ask the workers for the tasks ``ids``; each answer comes as the worker's name and what it said."""
        yield from (self.inspect(timeout).query_task(*ids) or {}).items()

    def query_task_states(self, ids: Iterable[str], timeout: float = 0.5) -> dict[str, set[str]]:
        """Return which of the tasks ``ids`` are ``reserved``, ``active`` and so on with a worker."""
        found: dict[str, set[str]] = defaultdict(set)
        for _worker, reply in self.query_tasks(ids, timeout=timeout):
            for task_id, (state, _task) in reply.items():
                found[state].add(task_id)
        return found

    def assert_accepted(
        self, ids: Iterable[str], interval: float = 0.5, desc: str = "waiting for tasks to be accepted", **policy: Any
    ) -> Any:
        """Wait until workers run the tasks ``ids``."""
        return self.assert_task_worker_state(self.is_accepted, ids, interval=interval, desc=desc, **policy)

    def assert_received(
        self, ids: Iterable[str], interval: float = 0.5, desc: str = "waiting for tasks to be received", **policy: Any
    ) -> Any:
        """Wait until workers have the tasks ``ids``, running or not."""
        return self.assert_task_worker_state(self.is_received, ids, interval=interval, desc=desc, **policy)

    def assert_result_tasks_in_progress_or_completed(
        self,
        async_results: Iterable[AsyncResult[Any]],
        interval: float = 0.5,
        desc: str = "waiting for tasks to be started or completed",
        **policy: Any,
    ) -> Any:
        """Wait until each of the results is of a task that was started."""
        return self.assert_task_state_from_result(
            self.is_result_task_in_progress, async_results, interval=interval, desc=desc, **policy
        )

    def assert_task_state_from_result(
        self, fun: Callable[..., bool], results: Iterable[AsyncResult[Any]], interval: float = 0.5, **policy: Any
    ) -> Any:
        return self.wait_for(partial(self.true_or_raise, fun, results, timeout=interval), (Sentinel,), **policy)

    @staticmethod
    def is_result_task_in_progress(results: Iterable[AsyncResult[Any]], **kwargs: Any) -> bool:
        return all(result.state in (states.STARTED, states.SUCCESS) for result in results)

    def assert_task_worker_state(
        self, fun: Callable[..., bool], ids: Iterable[str], interval: float = 0.5, **policy: Any
    ) -> Any:
        return self.wait_for(partial(self.true_or_raise, fun, ids, timeout=interval), (Sentinel,), **policy)

    def is_received(self, ids: Iterable[str], **kwargs: Any) -> bool:
        return self._ids_matches_state(["reserved", "active", "ready"], ids, **kwargs)

    def is_accepted(self, ids: Iterable[str], **kwargs: Any) -> bool:
        return self._ids_matches_state(["active", "ready"], ids, **kwargs)

    def _ids_matches_state(self, expected_states: Iterable[str], ids: Iterable[str], timeout: float = 0.5) -> bool:
        found = self.query_task_states(ids, timeout=timeout)
        known = set().union(*(found[state] for state in expected_states))
        return all(task_id in known for task_id in ids)

    def true_or_raise(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        value = fun(*args, **kwargs)
        if not value:
            raise Sentinel
        return value

    def wait_until_idle(self) -> None:
        """Drop what waits in the queues, and wait until no worker runs a task.

        Raises:
            AssertionError: a worker still ran one after half a minute.
        """
        try:
            self.app.control.purge()
        except self.connerrors as exc:
            self.remark(f"purge: connection lost: {exc!r}", "!")
        self.wait_for(
            self._assert_idle,
            (AssertionError,),
            desc="idle workers",
            max_retries=60,
            interval_step=0.1,
            interval_max=0.5,
        )

    def _assert_idle(self) -> None:
        active = self.inspect(timeout=1.0).active() or {}
        running = {worker: tasks for worker, tasks in active.items() if tasks}
        assert not running, f"these workers are still busy: {sorted(running)}"  # noqa: S101  # for test programs


class Manager(ManagerMixin):
    """Test helpers for integration tests.

    Parameters:
        app: the app whose tasks are waited for.
        block_timeout: seconds.
        no_join: let :meth:`~ManagerMixin.join` return at once.
        stdout, stderr: where the report and the warnings go.
    """

    def __init__(self, app: Any, **kwargs: Any) -> None:
        self.app = app
        self._init_manager(**kwargs)
