"""Tasks that every app has."""

from __future__ import annotations

from typing import Any

from kombu.exceptions import OperationalError
from kombu.utils.functional import retry_over_time

from svcjobs_celery_compat import canvas
from svcjobs_celery_compat import result as results
from svcjobs_celery_compat._state import connect_on_app_finalize
from svcjobs_celery_compat.canvas.folded import TASK, load
from svcjobs_celery_compat.exceptions import ChordError, Ignore, Retry
from svcjobs_celery_compat.utils.log import get_logger

logger = get_logger(__name__)

__all__ = ()

#: what a retry policy may have that retry_over_time knows
RETRY_OPTIONS = ("max_retries", "interval_start", "interval_step", "interval_max")


@connect_on_app_finalize
def add_backend_cleanup_task(app: Any) -> Any:
    """``celery.backend_cleanup``: has the result backend drop what has expired; beat calls it daily."""

    def backend_cleanup() -> None:
        app.backend.cleanup()

    return app.task(name="celery.backend_cleanup", shared=False, lazy=False)(backend_cleanup)


@connect_on_app_finalize
def add_accumulate_task(app: Any) -> Any:
    """``celery.accumulate``: returns its arguments; the body of the chord that a task is replaced by."""

    def accumulate(self: Any, *args: Any, **kwargs: Any) -> Any:
        index = kwargs.get("index")
        return args[index] if index is not None else args

    return app.task(bind=True, name="celery.accumulate", shared=False, lazy=False)(accumulate)


@connect_on_app_finalize
def add_map_task(app: Any) -> Any:
    """``celery.map``: what :class:`canvas.xmap` sends."""

    def xmap(task: Any, it: Any) -> list[Any]:
        run = canvas.signature(task, app=app).type
        return [run(item) for item in it]

    return app.task(name="celery.map", shared=False, lazy=False)(xmap)


@connect_on_app_finalize
def add_starmap_task(app: Any) -> Any:
    """``celery.starmap``: what :class:`canvas.xstarmap` sends, and :class:`canvas.chunks` for each part."""

    def xstarmap(task: Any, it: Any) -> list[Any]:
        run = canvas.signature(task, app=app).type
        return [run(*item) for item in it]

    return app.task(name="celery.starmap", shared=False, lazy=False)(xstarmap)


@connect_on_app_finalize
def add_chunk_task(app: Any) -> Any:
    """``celery.chunks``: sends the parts of a :class:`canvas.chunks` from a worker."""

    def chunks(task: Any, it: Any, n: int) -> Any:
        return canvas.chunks.apply_chunks(task, it, n, app=app)

    return app.task(name="celery.chunks", shared=False, lazy=False)(chunks)


@connect_on_app_finalize
def add_group_task(app: Any) -> Any:
    """``celery.group``: sends tasks that are frozen already; groups themselves are sent without it."""
    from svcjobs_celery_compat.canvas import maybe_signature  # what it is when the task is made

    def group(self: Any, tasks: Any, result: Any, group_id: str, partial_args: Any, add_to_parent: bool = True) -> Any:
        result = results.result_from_tuple(result, app)
        members = [maybe_signature(task, app=app).clone(partial_args) for task in tasks]
        with app.producer_or_acquire() as producer:
            for member in members:
                member.apply_async(group_id=group_id, producer=producer, add_to_parent=False)
        parent = app.current_worker_task
        if add_to_parent and parent:
            parent.add_trail(result)
        return result

    return app.task(name="celery.group", bind=True, shared=False, lazy=False)(group)


@connect_on_app_finalize
def add_chain_task(app: Any) -> Any:
    """``celery.chain``: the type of chains, which are never sent as a task."""

    def chain(*args: Any, **kwargs: Any) -> None:
        raise NotImplementedError("a chain is not a task: its steps are sent one after the other")

    return app.task(name="celery.chain", shared=False, lazy=False)(chain)


@connect_on_app_finalize
def add_chord_task(app: Any) -> Any:
    """``celery.chord``: starts a chord from a worker."""

    def chord(
        self: Any,
        header: Any,
        body: Any,
        partial_args: Any = (),
        interval: float | None = None,
        countdown: float = 1,
        max_retries: int | None = None,
        eager: bool = False,
        **kwargs: Any,
    ) -> Any:
        tasks = header.tasks if isinstance(header, canvas.group) else header
        group = canvas.group([canvas.maybe_signature(task, app=app) for task in tasks], app=self.app)
        body = canvas.maybe_signature(body, app=app)
        chord = canvas.chord(group, body)
        return chord.run(group, body, partial_args, app, interval, countdown, max_retries, eager, **kwargs)

    return app.task(name="celery.chord", bind=True, ignore_result=False, shared=False, lazy=False)(chord)


@connect_on_app_finalize
def add_unfold_task(app: Any) -> Any:
    """``svcjobs.unfold``: sends the steps of a chain that were too long for a message; see :mod:`canvas.folded`."""

    def unfold(self: Any, *args: Any) -> None:
        *value, part_id = args
        request = self.request
        steps = canvas._chain(load(part_id, app)[::-1], app=app)
        rest = {"chain": request.chain} if request.chain else {}
        steps.apply_async(tuple(value), root_id=request.root_id, parent_id=request.parent_id, **rest)
        raise Ignore("the steps that it stood for were sent")

    return app.task(name=TASK, bind=True, shared=False, lazy=False, track_started=False)(unfold)


@connect_on_app_finalize
def add_unlock_chord_task(app: Any) -> Any:
    """``celery.chord_unlock``: looks whether a header is done, for result backends that can't count.

    Ours count, and never send it; it is here for those that Celery's producers have sent.
    """
    from svcjobs_celery_compat.canvas import maybe_signature  # what it is when the task is made

    def unlock_chord(
        self: Any,
        group_id: str,
        callback: Any,
        interval: float | None = None,
        max_retries: int | None = None,
        result: Any = None,
        Result: Any = app.AsyncResult,
        GroupResult: Any = app.GroupResult,
        result_from_tuple: Any = results.result_from_tuple,
        **kwargs: Any,
    ) -> Any:
        callback = maybe_signature(callback, app=app)
        header = GroupResult(group_id, [result_from_tuple(member, app=app) for member in result or ()], app=app)
        again = {"countdown": app.conf.result_chord_retry_interval if interval is None else interval}
        again["max_retries"] = max_retries
        if "_chord_unlock_exchange_type" in kwargs:
            again["exchange_type"] = kwargs["_chord_unlock_exchange_type"]
        return _unlock(self, app, header, callback, again)

    return app.task(
        name="celery.chord_unlock",
        max_retries=None,
        shared=False,
        default_retry_delay=app.conf.result_chord_retry_interval,
        ignore_result=True,
        lazy=False,
        bind=True,
    )(unlock_chord)


def _unlock(task: Any, app: Any, header: Any, callback: Any, again: dict[str, Any]) -> None:
    try:
        ready = header.ready()
    except Exception as error:  # noqa: BLE001  # whatever a backend raises, the chord is looked at again, or fails
        _look_again(task, app, callback, again, error)
    if not ready:
        _look_again(task, app, callback, again, None)
    try:
        with results.allow_join_result():
            values = header.join(timeout=app.conf.result_chord_join_timeout, propagate=True)
    except Exception as error:
        culprit = next(header._failed_join_report(), None)
        reason = f"Dependency {culprit.id} raised {error!r}" if culprit else repr(error)
        logger.exception("Chord %r raised: %r", header.id, error)
        app.backend.chord_error_from_stack(callback=callback, exc=ChordError(reason))
        return
    try:
        _publish(app, callback, values)
    except Exception as error:
        logger.exception("Chord %r raised: %r", header.id, error)
        app.backend.chord_error_from_stack(callback=callback, exc=ChordError(f"Callback error: {error!r}"))


def _publish(app: Any, callback: Any, values: Any) -> None:
    """Send the body; a broker that is away for a moment is waited for here, as the header isn't looked at again."""
    if not app.conf.task_publish_retry:
        callback.delay(values)
        return
    policy = {key: value for key, value in app.conf.task_publish_retry_policy.items() if key in RETRY_OPTIONS}
    retry_over_time(callback.delay, (OperationalError, OSError), args=(values,), **policy)


def _look_again(task: Any, app: Any, callback: Any, again: dict[str, Any], cause: Exception | None) -> None:
    try:
        raise task.retry(**again, **({} if cause is None else {"exc": cause}))
    except Retry:
        raise
    except Exception as error:
        reason = f"Couldn't look for the header again: {error!r}" + (f", after {cause!r}" if cause else "")
        app.backend.chord_error_from_stack(callback=callback, exc=ChordError(reason))
        raise
