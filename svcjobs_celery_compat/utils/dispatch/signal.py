"""A signal and its receivers."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from functools import partial, wraps
from inspect import ismethod
from typing import Any

from kombu.utils.functional import retry_over_time

from svcjobs_celery_compat.local import PromiseProxy, Proxy
from svcjobs_celery_compat.utils.functional import fun_accepts_kwargs
from svcjobs_celery_compat.utils.log import get_logger
from svcjobs_celery_compat.utils.time import humanize_seconds

__all__ = ("Signal",)

logger = get_logger(__name__)

Receiver = Callable[..., Any]


def _make_id(target: Any) -> Any:
    """Return what tells receivers and senders apart: a text itself, object and function of a method, or an identity."""
    if isinstance(target, Proxy):
        target = target._get_current_object()
    if isinstance(target, (bytes, str)):
        return target
    if ismethod(target):
        return id(target.__self__), id(target.__func__)
    return id(target)


NONE_ID = _make_id(None)


def _make_lookup_key(receiver: Any, sender: Any, dispatch_uid: Any) -> tuple[Any, Any]:
    return dispatch_uid or _make_id(receiver), _make_id(sender)


def _until_it_works(receiver: Receiver) -> Receiver:
    @wraps(receiver)
    def retrying(*args: Any, **kwargs: Any) -> Any:
        def on_error(exc: BaseException, intervals: Any, retries: int) -> float:
            interval: float = next(intervals)
            logger.error(
                "Could not process signal receiver %(receiver)s. Retrying %(when)s...",
                {"receiver": receiver, "when": humanize_seconds(interval, "in ", " ")},
                exc_info=exc,
            )
            return interval

        return retry_over_time(receiver, Exception, args, kwargs, on_error)

    return retrying


class Signal:
    """A named event. Receivers take keyword arguments: ``signal``, ``sender``, and those of the event.

    :param providing_args: names of the event's arguments, for the reader.
    :param use_caching: accepted for Celery's sake; finding the receivers is fast.
    :param name: for the reader.
    """

    #: pairs of key and receiver (or a weak reference to it); the key is a pair of receiver and sender.
    #: It stays the same list, for those who hold it: whoever sends looks through a copy.
    receivers: list[tuple[tuple[Any, Any], Any]]

    def __init__(self, providing_args: Any = None, use_caching: bool = False, name: str | None = None) -> None:
        self.receivers = []
        self.providing_args = set(providing_args or ())
        self.lock = threading.RLock()
        self.use_caching = use_caching
        self.name = name
        self.sender_receivers_cache: Any = weakref.WeakKeyDictionary() if use_caching else {}

    def connect(self, *args: Any, **kwargs: Any) -> Any:
        """Call a function whenever the signal is sent; also a decorator, with or without arguments.

        :param fun: it must take any keyword arguments.
        :param sender: only events of this sender count.
        :param weak: keep a weak reference only: a function nobody else holds isn't called any more (default True).
        :param dispatch_uid: names the receiver: another one of the same name isn't connected.
        :param retry: call it again, with growing pauses, until it doesn't raise; the reference is a strong one then.
        :raises ValueError: the function doesn't take any keyword arguments.
        """

        def connect(
            sender: Any = None, weak: bool = True, dispatch_uid: Any = None, retry: bool = False
        ) -> Callable[[Receiver], Receiver]:
            def register(fun: Receiver) -> Receiver:
                self._connect(fun, sender, weak, dispatch_uid, retry)
                return fun

            return register

        if args and callable(args[0]):
            return connect(*args[1:], **kwargs)(args[0])
        return connect(*args, **kwargs)

    def _connect(self, fun: Receiver, sender: Any, weak: bool, dispatch_uid: Any, retry: bool) -> None:
        if not fun_accepts_kwargs(fun):
            raise ValueError(f"Signal receiver {fun!r} must accept keyword arguments (**kwargs)")
        if isinstance(sender, PromiseProxy) and not sender.__evaluated__():
            # a task that isn't made before the app is finalized: its identity isn't known yet
            sender.__then__(partial(self._connect, fun, sender, weak, dispatch_uid, retry))
            return
        key = _make_lookup_key(fun, sender, dispatch_uid)
        if retry:
            receiver: Any = _until_it_works(fun)
        elif weak:
            receiver = weakref.WeakMethod(fun) if ismethod(fun) else weakref.ref(fun)
        else:
            receiver = fun
        with self.lock:
            self._clear_dead_receivers()
            if all(known != key for known, _ in self.receivers):
                self.receivers.append((key, receiver))

    def disconnect(self, receiver: Any = None, sender: Any = None, weak: Any = None, dispatch_uid: Any = None) -> bool:
        """Undo :meth:`connect` with the same function (or ``dispatch_uid``) and sender.

        :returns: whether it was connected. A receiver with a weak reference needn't be disconnected.
        """
        key = _make_lookup_key(receiver, sender, dispatch_uid)
        with self.lock:
            self._clear_dead_receivers()
            found = [pair for pair in self.receivers if pair[0] == key]
            if found:
                self.receivers[:] = [pair for pair in self.receivers if pair[0] != key]
        return bool(found)

    def has_listeners(self, sender: Any = None) -> bool:
        """Return whether anybody would be called for an event of `sender`."""
        return bool(self._live_receivers(sender))

    def send(self, sender: Any, **named: Any) -> list[tuple[Receiver, Any]]:
        """Call the receivers, in the order in which they were connected.

        :param sender: of the event; receivers that were connected with another one aren't called.
        :returns: pairs of receiver and what it returned, or the exception that it raised. That is logged: an error of
            a receiver is none of the sender.
        """
        responses: list[tuple[Receiver, Any]] = []
        for receiver in self._live_receivers(sender) if self.receivers else ():
            try:
                response = receiver(signal=self, sender=sender, **named)
            except Exception as exc:
                logger.exception("Signal handler %r raised: %r", receiver, exc)
                response = exc
            responses.append((receiver, response))
        return responses

    send_robust = send  # as Django's signals have it

    def _live_receivers(self, sender: Any) -> list[Receiver]:
        live, dead = [], False
        for (_, sender_id), kept in self.receivers.copy():
            receiver = kept() if isinstance(kept, weakref.ref) else kept
            if receiver is None:
                dead = True
            elif sender_id == NONE_ID or sender_id == _make_id(sender):
                live.append(receiver)
        if dead:
            with self.lock:
                self._clear_dead_receivers()
        return live

    def _clear_dead_receivers(self) -> None:
        def alive(receiver: Any) -> bool:
            return not isinstance(receiver, weakref.ref) or receiver() is not None

        if not all(alive(receiver) for _, receiver in self.receivers):
            self.receivers[:] = [pair for pair in self.receivers if alive(pair[1])]

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.name} providing_args={self.providing_args!r}>"

    __str__ = __repr__
