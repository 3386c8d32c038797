"""What follows a task that succeeded: its callbacks, and the next task of its chain."""

from __future__ import annotations

from typing import Any

from kombu.exceptions import EncodeError, OperationalError

from svcjobs_celery_compat import canvas, states
from svcjobs_celery_compat.app import trace
from svcjobs_celery_compat.app.trace.log import get_task_name
from svcjobs_celery_compat.canvas import group
from svcjobs_celery_compat.exceptions import BackendGetMetaError, Reject
from svcjobs_celery_compat.worker.state import successful_requests


class Unsent(Exception):
    """It couldn't be published; the task counts as failed."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def send_following(app: Any, context: Any, retval: Any, uuid: str, root_id: str, priority: Any) -> None:
    """Publish the callbacks of a task, and the next one of its chain.

    Raises:
        Unsent: that failed.
    """
    callbacks, chain = context.callbacks, context.chain
    if not (callbacks or chain):
        return
    from svcjobs_celery_compat.app.amqp import _callback_publish_retry  # type: ignore[attr-defined]  # its own name

    token = _callback_publish_retry.set(True)
    family = {"parent_id": uuid, "root_id": root_id, "priority": priority}
    try:
        if callbacks:
            sigs = [canvas.maybe_signature(callback, app=app) for callback in callbacks]
            single = [sig for sig in sigs if not isinstance(sig, group)]
            for sig in (sig for sig in sigs if isinstance(sig, group)):
                sig.apply_async((retval,), **family)
            if len(single) > 1:
                group(single, app=app).apply_async((retval,), **family)
            elif single:
                single[0].apply_async((retval,), **family)
        if chain:
            # a copy: the request belongs to the message, which may be delivered again
            *rest, following = chain
            canvas.maybe_signature(following, app=app).apply_async((retval,), chain=rest, **family)
    except (EncodeError, OperationalError) as error:
        raise Unsent(error) from error
    finally:
        _callback_publish_retry.reset(token)


def is_repeated(app: Any, task: Any, uuid: str, context: Any, root_id: str, priority: Any) -> bool:
    """Whether a redelivered task has succeeded before (``worker_deduplicate_successful_tasks``).

    What follows it is sent if the first run didn't come so far.

    Raises:
        Reject: that couldn't be done; the message is to be delivered again.
    """
    redelivered = (context.delivery_info or {}).get("redelivered", False)
    if not (redelivered and task.acks_late and task.backend.persistent):
        return False
    if uuid in successful_requests:
        return True
    known: Any = trace.AsyncResult(uuid, app=app)
    try:
        if known.state != states.SUCCESS:
            return False
    except BackendGetMetaError:
        return False
    said = {
        "id": uuid,
        "name": get_task_name(context, task.name),
        "description": "Task already completed successfully.",
    }
    trace.info(trace.LOG_IGNORED, said)
    try:
        meta = known._get_task_meta()
        if not meta.get("children"):
            send_following(app, context, meta.get("result"), uuid, root_id, priority)
    except MemoryError:
        raise
    except Exception as exc:
        trace.logger.error(
            "Task %s[%s]: what follows the deduplicated task couldn't be sent; it is delivered again",
            task.name,
            uuid,
            exc_info=True,
        )
        raise Reject(exc, requeue=True) from exc
    successful_requests.add(uuid)
    return True
