"""Task messages as a worker would receive them, without a broker."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import Mock

from kombu.utils.json import dumps
from kombu.utils.uuid import uuid


def TaskMessage(
    name: str,
    id: str | None = None,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    callbacks: Any = None,
    errbacks: Any = None,
    chain: Any = None,
    shadow: str | None = None,
    utc: bool | None = None,
    **options: Any,
) -> Any:
    """Return a message of protocol 2: what says how to run the task lies in the headers.

    ``options`` are further headers. ``utc`` is a field of protocol 1 only, and ignored.
    """
    kwargs = {} if kwargs is None else kwargs
    id = id or uuid()
    embed = {"callbacks": callbacks, "errbacks": errbacks, "chain": chain}
    return _message(
        id,
        headers={"id": id, "task": name, "shadow": shadow, **options},
        body=dumps((args, kwargs, embed)),
        payload=(args, kwargs, embed),
    )


def TaskMessage1(
    name: str,
    id: str | None = None,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    callbacks: Any = None,
    errbacks: Any = None,
    chain: Any = None,
    **options: Any,
) -> Any:
    """Return a message of protocol 1: everything lies in the body, ``options`` too."""
    id = id or uuid()
    payload = {
        "task": name,
        "id": id,
        "args": args,
        "kwargs": {} if kwargs is None else kwargs,
        "callbacks": callbacks,
        "errbacks": errbacks,
        **options,
    }
    return _message(id, headers={}, body=dumps(payload), payload=payload)


def _message(id: str, **attributes: Any) -> Any:
    message = Mock(name=f"TaskMessage-{id}")
    message.content_type, message.content_encoding = "application/json", "utf-8"
    for name, value in attributes.items():
        setattr(message, name, value)
    return message


def task_message_from_sig(app: Any, sig: Any, utc: bool = True, TaskMessage: Callable[..., Any] = TaskMessage) -> Any:
    """Return the message that calling the signature ``sig`` would send.

    Parameters:
        app: the app that the message is of; answers go to its thread's reply queue.
        utc: goes to protocol 1.
        TaskMessage: makes the message, such as :func:`TaskMessage1`.
    """
    sig.freeze()
    options = dict(sig.options)
    callbacks, errbacks = options.pop("link", None), options.pop("link_error", None)
    countdown, eta, expires = (options.pop(key, None) for key in ("countdown", "eta", "expires"))
    if countdown:
        eta = app.now() + timedelta(seconds=countdown)
    if isinstance(expires, numbers.Real):
        expires = app.now() + timedelta(seconds=float(expires))
    return TaskMessage(
        sig.task,
        id=sig.id,
        args=sig.args,
        kwargs=sig.kwargs,
        callbacks=[dict(each) for each in callbacks] if callbacks else None,
        errbacks=[dict(each) for each in errbacks] if errbacks else None,
        eta=_iso(eta),
        expires=_iso(expires),
        utc=utc,
        **options,
    )


def _iso(moment: Any) -> Any:
    return moment.isoformat() if isinstance(moment, datetime) else moment


class _ContextMock(Mock):
    """Its children serve as contexts, too; ``with`` looks for these methods at the class."""

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass


def ContextMock(*args: Any, **kwargs: Any) -> Any:
    """Return a mock that a ``with`` statement takes; it is the value of the statement and hides no exception."""
    mock: Any = _ContextMock(*args, **kwargs)
    mock.__enter__ = Mock(return_value=mock)
    mock.__exit__ = Mock(return_value=None)
    return mock
