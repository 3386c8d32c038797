"""What happens to a task, told to its backend: results, chord parts, error callbacks."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from typing import Any

from billiard.einfo import ExceptionInfo

from svcjobs_celery_compat import states
from svcjobs_celery_compat.app.task import Context
from svcjobs_celery_compat.backends import base
from svcjobs_celery_compat.backends.base.errbacks import result_of, takes_request
from svcjobs_celery_compat.backends.base.storing import Storing, logger
from svcjobs_celery_compat.exceptions import NotRegistered, TaskRevokedError
from svcjobs_celery_compat.outcome import at_once


class Marking(Storing):
    """The part of a backend that a worker calls."""

    def mark_as_started(self, task_id: str, **meta: Any) -> Any:
        """The task runs; `meta` is its result meanwhile."""
        return self.store_result(task_id, meta, states.STARTED)

    def mark_as_done(
        self, task_id: str, result: Any, request: Any = None, store_result: bool = True, state: str = states.SUCCESS
    ) -> None:
        """The task returned `result`."""
        if store_result:
            self.store_result(task_id, result, state, request=request)
        if request and request.chord:
            self.on_chord_part_return(request, state, result)

    def mark_as_failure(
        self,
        task_id: str,
        exc: Any,
        traceback: Any = None,
        request: Any = None,
        store_result: bool = True,
        call_errbacks: bool = True,
        state: str = states.FAILURE,
    ) -> None:
        """The task raised `exc`: what waits for it fails as well, and error callbacks are called."""
        if store_result:
            here = bool(call_errbacks and request and request.errbacks and self._errbacks_of(request)[0])
            # what runs here, before the outcome of the task commits, finds the result
            with at_once() if here else nullcontext():
                self.store_result(task_id, exc, state, traceback=traceback, request=request)
        if not request:
            return
        if request.chord:
            self.on_chord_part_return(request, state, exc)
        chain = request.chain
        if isinstance(chain, Iterable):
            self._fail_chain(chain, exc, traceback, store_result, state)
        if call_errbacks and request.errbacks:
            self._call_task_errbacks(request, exc, traceback)

    def mark_as_revoked(
        self,
        task_id: str,
        reason: str = "",
        request: Any = None,
        store_result: bool = True,
        state: str = states.REVOKED,
    ) -> None:
        """The task was revoked, and isn't run."""
        exc = TaskRevokedError(reason)
        if store_result:
            self.store_result(task_id, exc, state, traceback=None, request=request)
        if request and request.chord:
            self.on_chord_part_return(request, state, exc)

    def mark_as_retry(
        self,
        task_id: str,
        exc: Any,
        traceback: Any = None,
        request: Any = None,
        store_result: bool = True,
        state: str = states.RETRY,
    ) -> Any:
        """The task raised `exc` and is tried again."""
        return self.store_result(task_id, exc, state, traceback=traceback, request=request)

    def fail_from_current_stack(self, task_id: str, exc: BaseException | None = None) -> Any:
        """The task failed with `exc`, or with the exception that is being handled.

        Returns:
            the :class:`ExceptionInfo` of it.
        """
        kind, current, tb = sys.exc_info()
        try:
            failure = current if exc is None else exc
            info = ExceptionInfo((kind, failure, tb))
            self.mark_as_failure(task_id, failure, info.traceback)
            return info
        finally:
            while tb is not None:  # the frames keep everything alive that was in them
                with suppress(RuntimeError):  # one that still runs
                    tb.tb_frame.clear()
                tb = tb.tb_next

    def _fail_chain(
        self,
        chain: Iterable[Any],
        exc: Any,
        traceback: Any = None,
        store_result: bool = True,
        state: str = states.FAILURE,
    ) -> None:
        """What was to follow never runs: each has `exc` as its result, and a member of a chord counts as failed."""
        for link in chain:
            follower = result_of(link, self.app)
            context = Context(follower)
            context.update(follower.options)
            context.id, context.group = follower.options.get("task_id"), follower.options.get("group_id")
            # the part of a follower that failed before was returned then
            returns_part = bool(context.id and context.chord) and self.get_state(context.id) not in self.READY_STATES
            if store_result and context.id is not None:
                self.store_result(context.id, exc, state, traceback=traceback, request=context)
            if returns_part:
                self.on_chord_part_return(context, state, exc)

    def _errbacks_of(self, request: Any) -> tuple[list[Any], list[Any]]:
        """The error callbacks that take the request and are called here, and those that get its id by a message."""
        here: list[Any] = []
        by_message: list[Any] = []
        for errback in request.errbacks:
            errback = base.maybe_signature(errback, self.app)
            try:
                (here if takes_request(errback) else by_message).append(errback)
            except NotRegistered:  # a worker that knows it will find out
                by_message.append(errback)
        return here, by_message

    def _call_task_errbacks(self, request: Any, exc: Any, traceback: Any) -> None:
        here, by_message = self._errbacks_of(request)
        for errback in here:
            try:
                errback(request, exc, traceback)
            except Exception:  # noqa: BLE001  # the next ones are called all the same
                logger.exception("Error callback %s of task %s raised", errback.task, request.id)
        if by_message:
            self._send_errbacks(by_message, request)

    def _send_errbacks(self, errbacks: list[Any], request: Any) -> None:
        errback_group = base.group(errbacks, app=self.app)
        root_id = request.root_id or request.id
        eager = self.app.conf.task_always_eager or request.delivery_info.get("is_eager", False)
        call: Any = errback_group.apply if eager else errback_group.apply_async
        call((request.id,), parent_id=request.id, root_id=root_id)

    def on_chord_part_return(self, request: Any, state: str, result: Any, **kwargs: Any) -> Any:
        """A member of a chord is done; the last one starts the chord's body. By default nothing counts them."""
