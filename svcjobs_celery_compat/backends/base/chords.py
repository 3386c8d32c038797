"""Chords: how one is started, and what happens to one that failed."""

from __future__ import annotations

import sys
from typing import Any

from svcjobs_celery_compat import canvas
from svcjobs_celery_compat.backends import base
from svcjobs_celery_compat.backends.base.errbacks import _create_fake_task_request, errbacks_of, result_of
from svcjobs_celery_compat.backends.base.marking import Marking
from svcjobs_celery_compat.backends.base.storing import logger
from svcjobs_celery_compat.exceptions import ChordError, NotRegistered
from svcjobs_celery_compat.outcome import at_once
from svcjobs_celery_compat.utils import uuid
from svcjobs_celery_compat.utils.functional import maybe_list


class Chords(Marking):
    """The part of a backend that knows of chords.

    A store that can count starts the body with the last member; for any other a task, ``celery.chord_unlock``, asks
    again and again whether the members are done.
    """

    def apply_chord(self, header_result_args: Any, body: Any, **kwargs: Any) -> Any:
        """Called before the members of a chord are sent.

        Args:
            header_result_args: id and results of the group of members.
            body: the signature that gets their results.

        Raises:
            NotImplementedError: this backend can't have chords.
        """
        self.ensure_chords_allowed()
        self.fallback_chord_unlock(self.app.GroupResult(*header_result_args), body, **kwargs)

    def ensure_chords_allowed(self) -> None:
        """Raise NotImplementedError when this backend can't have chords."""

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        """Called once the number of members is known."""

    def add_to_chord(self, chord_id: str, result: Any) -> Any:
        """Add a member to a chord that runs."""
        raise NotImplementedError("Backend does not support add_to_chord")

    def fallback_chord_unlock(self, header_result: Any, body: Any, countdown: float = 1, **kwargs: Any) -> None:
        """Send the task that asks whether all members are done; it goes where the body goes."""
        kwargs["result"] = [result.as_tuple() for result in header_result]
        options = self._routing_of(body, kwargs)
        if options.get("exchange_type"):
            kwargs["_chord_unlock_exchange_type"] = options["exchange_type"]
        priority = body.options.get("priority", getattr(_type_of(body), "priority", None)) if body else None
        self.app.tasks["celery.chord_unlock"].apply_async(
            (header_result.id, body), kwargs, countdown=countdown, priority=priority, **options
        )

    def _routing_of(self, body: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        given = body.options
        queue = given.get("queue") or getattr(_type_of(body), "queue", None)
        if queue is None:
            queue = self.app.amqp.router.route(kwargs, body.name)["queue"].name
        options = {"queue": queue}
        options.update((name, given[name]) for name in ("exchange", "exchange_type", "routing_key") if name in given)
        if given.get("headers") and not given.get("stamped_headers"):
            options["headers"] = given["headers"]
        return options

    def chord_error_from_stack(self, callback: Any, exc: Any = None) -> Any:
        """A chord failed: its body gets `exc` as its result, as does what follows it, and error callbacks are called.

        Args:
            callback: the chord's body.
            exc: what happened; the exception that is being handled by default.
        """
        exc = sys.exc_info()[1] if exc is None else exc
        try:
            backend = self.app._tasks[callback.task].backend
        except KeyError:
            backend = self
        if isinstance(callback, base.group):
            outcome = self._handle_group_chord_error(group_callback=callback, backend=backend, exc=exc)
        else:
            outcome, exc = self._fail_body(callback, backend, exc)
        following = list(callback.options.get("chain") or ())
        if isinstance(callback, canvas.chord):  # its id is that of its header; what people wait for is its body
            following.append(callback)
        self._fail_chain(following, exc)
        return outcome

    def _fail_body(self, callback: Any, backend: Any, exc: Any) -> tuple[Any, Any]:
        body_id = callback.id
        if body_id is None:
            body_id = callback.options["task_id"] = uuid()
        request = _create_fake_task_request(
            body_id, callback.options.get("link_error", []), **{**callback, "task_name": callback.task}
        )
        try:
            self._call_task_errbacks(request, exc, None)
        except Exception as error:  # noqa: BLE001  # user code; its error is the chord's then
            exc = error
        return backend.fail_from_current_stack(body_id, exc=exc), exc

    def _handle_group_chord_error(self, group_callback: Any, backend: Any, exc: Any = None) -> Any:
        """The body is a group: each of its results fails, with its own error callbacks and the group's."""
        if isinstance(exc, ChordError) and exc.__cause__ is not None:
            exc = exc.__cause__
        try:
            result = group_callback.freeze()
            errbacks = {result_of(task, self.app).id: errbacks_of(task, self.app) for task in group_callback.tasks}
            shared = maybe_list(group_callback.options.get("link_error")) or []
            for member in result.results:
                own = errbacks.get(member.id, [])
                own.extend(each for each in shared if each not in own)
                self._fail_member(member, own, backend, exc)
            with at_once():
                backend.mark_as_failure(result.id, exc)
            result.revoke()  # after the failures are stored: a revoke leaves them as they are
        except Exception:  # noqa: BLE001  # anything: the body has to fail somehow
            logger.exception("Failed to handle chord error of a group")
            return backend.fail_from_current_stack(group_callback.id, exc=exc)
        return None

    def _fail_member(self, member: Any, errbacks: list[Any], backend: Any, exc: Any) -> None:
        try:
            with at_once():
                backend.fail_from_current_stack(member.id, exc=exc)
            name = getattr(member, "task", None) or "unknown"
            backend._call_task_errbacks(_create_fake_task_request(member.id, errbacks, name), exc, None)
        except Exception:  # noqa: BLE001  # the other members have to fail as well
            logger.exception("Failed to handle chord error for task %s", member.id)


def _type_of(body: Any) -> Any:
    """The task of a signature, None when this process doesn't know it."""
    try:
        return body.type
    except NotRegistered:
        return None
