"""What becomes of a leased job: a request that runs its task, or at once the settlement of one that isn't to run."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from billiard.einfo import ExceptionInfo
from kombu.exceptions import ContentDisallowed, DecodeError
from kombu.serialization import prepare_accept_content

from svcjobs.errors import TimeLimitExceeded as HardLimit
from svcjobs.failure import error_text, traceback_text
from svcjobs.job import Job
from svcjobs.settlement import Ack, Bury, Release, Settlement
from svcjobs_celery_compat import outcome as outcomes
from svcjobs_celery_compat import signals, states
from svcjobs_celery_compat.exceptions import InvalidTaskError, NotRegistered, WorkerLostError
from svcjobs_celery_compat.outcome import Home, Outcome, committing
from svcjobs_celery_compat.utils.log import get_logger
from svcjobs_celery_compat.utils.time import rate
from svcjobs_celery_compat.worker import state
from svcjobs_celery_compat.worker.broker import Broker
from svcjobs_celery_compat.worker.job_request import JobRequest, request_of
from svcjobs_celery_compat.worker.messages import MALFORMED, JobMessage
from svcjobs_celery_compat.worker.strategy import announce

logger = get_logger("celery.worker.consumer.consumer")

UNDECODABLE = "undecodable"


class Intake:
    """Reads jobs for one process of a worker.

    Args:
        app: whose tasks they are.
        hostname: the worker's name.
        broker: where they come from.
        sender: of the signals; the consumer of this process.
    """

    def __init__(self, app: Any, hostname: str, broker: Broker, sender: Any = None) -> None:
        self.app = app
        self.hostname = hostname
        self.new_outcome = functools.partial(Outcome, Home(broker.server, broker.database))
        self.sender = sender
        self.eventer: Any = None
        self._broker = broker
        self._accept = prepare_accept_content(app.conf.accept_content)
        self._limits_rates = not app.conf.worker_disable_rate_limits

    def take(self, jobs: Iterable[Job]) -> Iterable[tuple[Job, JobRequest | Settlement]]:
        """Each job with its request, or with its settlement."""
        messages: list[tuple[Job, JobMessage | Settlement]] = [(job, self._read(job)) for job in jobs]
        ids = [message.headers.get("id") for _, message in messages if isinstance(message, JobMessage)]
        for task_id in self._broker.revoked_among([task_id for task_id in ids if isinstance(task_id, str)]):
            state.revoked.add(task_id)
        for job, message in messages:
            yield job, self._request(job, message) if isinstance(message, JobMessage) else message

    def _read(self, job: Job) -> JobMessage | Settlement:
        try:
            return JobMessage(job, self._accept)
        except (ContentDisallowed, DecodeError) as error:
            logger.critical("Job %s can't be decoded, it goes to the dead letter queue: %s", job.uid, error)
            return Bury(job, UNDECODABLE, error_text(error), logged=True)
        except MALFORMED as error:
            return self._rejected(job, job, error)

    def _rejected(self, job: Job, message: Job | JobMessage, error: Exception) -> Settlement:
        logger.critical("Job %s is no task, it goes to the dead letter queue: %s", job.uid, error)
        signals.task_rejected.send(sender=self.sender, message=message, exc=error)
        return Bury(job, UNDECODABLE, error_text(error), logged=True)

    def _request(self, job: Job, message: JobMessage) -> JobRequest | Settlement:
        name = message.headers.get("task")
        if not isinstance(name, str):
            return self._rejected(job, message, InvalidTaskError("the message names no task"))
        task = self.app.tasks.get(name)
        if task is None:
            return self._unknown(job, message)
        try:
            request = request_of(job, message, task, self.app, self.hostname, self.eventer)
        except MALFORMED as error:
            return self._rejected(job, message, error)
        if _overran(job):
            return self.overran(job, request)
        if _was_lost(job) and (not task.acks_late or task.retry_on_worker_lost):
            return self.lost(job, request)
        wait_seconds = self._wait_seconds(job, task)
        if wait_seconds > 0:
            return Release(job, delay_seconds=wait_seconds)
        if settlement := self.revoked(job, request):
            return settlement  # it isn't told of as received, as in Celery
        announce(task, request, self.sender)
        return self._limited(job, request)

    def _wait_seconds(self, job: Job, task: Any) -> float:
        limit = rate(task.rate_limit) if self._limits_rates and task.rate_limit else 0
        return self._broker.rates(self.hostname).wait_seconds(job, task.name, limit) if limit else 0.0

    @staticmethod
    def _limited(job: Job, request: JobRequest) -> JobRequest:
        """The request, its job with the time limits of message and task."""
        hard, soft = request.time_limits or (None, None)
        job.time_limit_seconds = hard or request.task.time_limit or None
        job.soft_time_limit_seconds = soft or request.task.soft_time_limit or None
        return request

    def revoked(self, job: Job, request: JobRequest) -> Settlement | None:
        """The settlement of a task that isn't to run: revoked, or expired."""
        if not (request.expires or state.revoked_stamps or request.id in state.revoked):
            return None
        outcome = self._committed(request, request.revoked)
        if not request._already_revoked:
            return None
        request.settled(Ack(job), None)
        return Ack(job, effects=outcome.effects)

    def _unknown(self, job: Job, message: JobMessage) -> Settlement:
        name, task_id = message.headers.get("task"), message.headers.get("id")
        error = NotRegistered(name)
        delay = self._broker.unknown.delay_seconds(job)
        signals.task_unknown.send(sender=self.sender, message=message, exc=error, name=name, id=task_id)
        if delay is not None:
            logger.error(
                "Received unregistered task of type %r: it is given back, and looked at again in %d s. "
                "Did you remember to import the module containing this task?", name, delay,
            )  # fmt: skip
            return Release(job, delay_seconds=delay)
        logger.error("The task %s of type %r is known to no worker: it goes to the dead letter queue", task_id, name)
        outcome = self.new_outcome()
        token = outcomes.begin(outcome)
        try:
            with committing():
                self.app.backend.mark_as_failure(task_id, error)
        finally:
            outcomes.end(token)
        return Bury(job, "unknown_job", error_text(error), effects=outcome.effects, logged=True)

    # outcomes

    def settlement(self, job: Job, request: JobRequest, outcome: Outcome, told: Any) -> Settlement:
        """How a job whose task was traced is settled; `told` is the outcome other than success."""
        if request.is_rejected:
            if request.is_requeued:
                return Release(job, charged=True)
            return self.buried(job, request, outcome, told.retval, reason="rejected")
        if told is not None and told.state == states.FAILURE:
            return self.buried(job, request, outcome, told.retval)
        return Ack(job, effects=outcome.effects)

    def buried(
        self, job: Job, request: JobRequest, outcome: Outcome, error: BaseException, reason: str = "failed"
    ) -> Settlement:
        """A failure, with the job kept in the dead letter queue unless it was expected, or that is switched off."""
        throws = request.task.throws
        kept = self.app.conf.svcjobs_dead_letter_failures
        if not kept or (throws and isinstance(error, throws)):
            return Ack(job, effects=outcome.effects)
        return Bury(job, reason, error_text(error), traceback_text(error), effects=outcome.effects, logged=True)

    def lost(self, job: Job, request: JobRequest) -> Settlement:
        """The process that ran the task was lost, and it isn't to run again."""
        return self._dead(
            job,
            request,
            WorkerLostError("Worker exited prematurely while the task ran."),
            "worker_lost",
            may_retry=True,
        )

    def overran(self, job: Job, request: JobRequest) -> Settlement:
        """The process that ran the task was ended at its hard limit, and couldn't say so."""
        hard, _ = request.time_limits or (None, None)
        limit = hard or request.task.time_limit or self.app.conf.task_time_limit or 0
        outcome = self._committed(request, lambda: request.on_timeout(soft=False, timeout=limit))
        request.settled(Ack(job), None)
        if request.is_requeued:
            return Release(job, charged=True)
        return self.buried(job, request, outcome, HardLimit(job.name, limit))

    def condemned(self, job: Job, verdict: str) -> Settlement:
        """A job that a reserve found past its limit, unreadable, or cancelled."""
        if verdict == "exhausted" and job.attempts < job.max_attempts:
            return Ack(job)  # the time to live of its message is over
        message = self._read(job) if verdict != "corrupt" else None
        task = self.app.tasks.get(message.headers.get("task")) if isinstance(message, JobMessage) else None
        if task is None:
            return Bury(job, verdict, job.last_error or "")
        assert isinstance(message, JobMessage)  # noqa: S101 - it has a task
        request = request_of(job, message, task, self.app, self.hostname, self.eventer)
        if verdict == "cancelled":
            outcome = self._committed(
                request, lambda: request._announce_revoked("cancelled", terminated=False, signum=None, expired=False)
            )
            return Bury(job, verdict, job.last_error or "", effects=outcome.effects)
        error = WorkerLostError(f"{verdict}: {job.last_error or 'delivered too often'}")
        return self._dead(job, request, error, verdict)

    def _dead(
        self, job: Job, request: JobRequest, error: Exception, reason: str, *, may_retry: bool = False
    ) -> Settlement:
        try:
            raise error
        except type(error):
            einfo = ExceptionInfo()
        retried: list[bool] = []
        tell = request.lose if may_retry else request.fail
        outcome = self._committed(request, lambda: retried.append(bool(tell(error, einfo))))
        request.settled(Ack(job), None)
        if any(retried):
            return Ack(job, effects=outcome.effects)
        return Bury(job, reason, error_text(error), effects=outcome.effects, logged=True)

    def _committed(self, request: JobRequest, tell: Any) -> Outcome:
        outcome = self.new_outcome()
        token = outcomes.begin(outcome)
        try:
            with committing():
                tell()
        finally:
            outcomes.end(token)
        return outcome


def _was_lost(job: Job) -> bool:
    """Whether the process that ran the job's last attempt was lost."""
    if not job.history:
        return job.suspect
    return job.suspect or bool(_ends_of_last_attempt(job))


def _overran(job: Job) -> bool:
    """Whether that process was ended at a hard limit, as its keeper has noted."""
    return bool(job.history) and any(error.startswith(HardLimit.__name__) for error in _ends_of_last_attempt(job))


def _ends_of_last_attempt(job: Job) -> list[str]:
    return [str(entry.get("error")) for entry in job.history if entry.get("attempt") == job.attempts - 1]
