"""Error callbacks: which form one has, and the requests and signatures that they are called for."""

from __future__ import annotations

import inspect
from typing import Any

from svcjobs_celery_compat import canvas
from svcjobs_celery_compat.app.task import Context
from svcjobs_celery_compat.utils.functional import maybe_list


def takes_request(errback: Any) -> bool:
    """Whether an error callback is called with ``(request, exc, traceback)``, here and now; else with the task's id.

    The first form is that of a function with more than one argument of its own; what the signature brings along isn't
    its own. One that gets its task (``bind=True``) is called with the id, as a task of its own.
    """
    if errback.type.gets_itself:
        return False
    try:
        parameters = inspect.signature(errback.type.run)
    except (TypeError, ValueError):
        return False
    if not _takes_more_than_one(parameters):
        return False
    args, kwargs = errback.args, errback.kwargs
    if errback.immutable or not (args or kwargs) or _binds(parameters, (None, None, None, *args), kwargs):
        return True
    return not _binds(parameters, (None, *args), kwargs)  # neither form: the call says what is wrong


def _takes_more_than_one(signature: inspect.Signature) -> bool:
    positional = 0
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            return True
        if parameter.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD):
            positional += 1
    return positional > 1


def _binds(signature: inspect.Signature, args: Any, kwargs: Any) -> bool:
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def _create_fake_task_request(
    task_id: str | None, errbacks: Any = None, task_name: str = "unknown", **extra: Any
) -> Context:
    """The request of a task that never ran, for its error callbacks."""
    return Context({"id": task_id, "errbacks": errbacks or [], "delivery_info": {}, "task": task_name, **extra})


def result_of(sig: Any, app: Any) -> Any:
    """The signature whose task has the result that people wait for: of a chord its body, of a chain its last task."""
    sig = canvas.maybe_signature(sig, app)
    if isinstance(sig, canvas.chord) and sig.body is not None:
        return result_of(sig.body, app)
    if isinstance(sig, canvas._chain) and sig.tasks:
        return result_of(sig.tasks[-1], app)
    return sig


def errbacks_of(sig: Any, app: Any) -> list[Any]:
    """The error callbacks of a signature's result, each once: its own, then those of what its result comes from."""
    sig = canvas.maybe_signature(sig, app)
    if sig is None:
        return []
    found = list(maybe_list(sig.options.get("link_error")) or [])
    for source in _sources(sig):
        found.extend(each for each in errbacks_of(source, app) if each not in found)
    return found


def _sources(sig: Any) -> list[Any]:
    if isinstance(sig, canvas.chord):
        return [sig.body]
    if isinstance(sig, canvas.group):
        return list(sig.tasks)
    if isinstance(sig, canvas._chain):
        return list(sig.tasks[-1:])
    return []
