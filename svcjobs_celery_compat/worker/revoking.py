"""The part of a request that ends it early: revoked, expired, terminated or cancelled."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from svcjobs_celery_compat import signals
from svcjobs_celery_compat.exceptions import Retry
from svcjobs_celery_compat.platforms import signals as _signals
from svcjobs_celery_compat.utils.functional import maybe_list
from svcjobs_celery_compat.utils.log import get_logger
from svcjobs_celery_compat.worker import state

logger = get_logger("celery.worker.request")


class Revoking:
    """See :class:`~svcjobs_celery_compat.worker.request.Request`."""

    _already_revoked: bool
    _already_cancelled: bool
    _terminate_on_ack: Any
    _apply_result: Any
    expires: Any
    time_start: float | None
    worker_pid: int | None

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def maybe_expire(self) -> bool:
        """Whether the task has expired; its id counts as revoked then."""
        if not self.expires:
            return False
        now = datetime.now(UTC if self.expires.tzinfo else None)
        if now <= self.expires:
            return False
        state.revoked.add(self.id)
        return True

    def revoked(self) -> bool:
        """Whether the task isn't to run; the first time that this is found, it is stored and announced."""
        if self._already_revoked:
            return True
        expired = self.maybe_expire()
        if self.id in state.revoked:
            logger.info("Discarding revoked task: %s[%s]", self.name, self.id)
            self._announce_revoked("expired" if expired else "revoked", False, None, expired)
            return True
        if header := self._revoked_header():
            logger.info("Discarding revoked task: %s[%s] (revoked by header: %s)", self.name, self.id, header)
            self._announce_revoked("revoked", False, None, expired)
            return True
        return False

    def _revoked_header(self) -> dict[str, Any] | None:
        """The stamp by which the task is revoked."""
        if not state.revoked_stamps:
            return None
        stamps = self.stamps
        for header, values in state.revoked_stamps.items():
            own = stamps.get(header)
            if own is None:
                continue
            both = [value for value in maybe_list(own) if value in maybe_list(values)]
            if both:
                return {header: both}
        return None

    def _announce_revoked(self, reason: str, terminated: bool, signum: Any, expired: bool) -> None:
        self._ready()
        self.send_event("task-revoked", terminated=terminated, signum=signum, expired=expired)
        self.task.backend.mark_as_revoked(self.id, reason, request=self._context, store_result=self.store_errors)
        self.acknowledge()
        self._already_revoked = True
        signals.task_revoked.send(
            sender=self.task, request=self._context, terminated=terminated, signum=signum, expired=expired
        )

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """End the task if it runs; else as soon as it starts."""
        signum = _signals.signum(signal or "TERM")
        if self.time_start:
            pool.terminate_job(self.worker_pid, signum)
            self._announce_revoked("terminated", True, signum, False)
        else:
            self._terminate_on_ack = pool, signum
        if self._apply_result is not None and (running := self._apply_result()) is not None:
            running.terminate(signum)

    def cancel(self, pool: Any, signal: Any = None, emit_retry: bool = True) -> None:
        """End the task if it runs, for it to be delivered again."""
        signum = _signals.signum(signal or "TERM")
        if self.time_start:
            pool.terminate_job(self.worker_pid, signum)
            self._announce_cancelled(emit_retry=emit_retry)
        if self._apply_result is not None and (running := self._apply_result()) is not None:
            running.terminate(signum)

    def _announce_cancelled(self, emit_retry: bool = True) -> None:
        self._ready()
        self.send_event("task-cancelled")
        reason = Retry(message="cancelled by Celery")
        self._already_cancelled = True
        if not emit_retry:
            return
        self.task.backend.mark_as_retry(self.id, reason, request=self._context)
        self.task.on_retry(reason, self.id, self.args, self.kwargs, None)
        signals.task_retry.send(sender=self.task, request=self._context, einfo=None, reason=reason)
