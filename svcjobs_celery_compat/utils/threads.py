"""Values of the current thread, background threads, and time-outs for sockets."""

from __future__ import annotations

import os
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from threading import get_ident
from types import GenericAlias
from typing import Any

from svcjobs_celery_compat.local import Proxy

__all__ = (
    "Local",
    "LocalManager",
    "LocalStack",
    "bgThread",
    "bound_open_broker_sockets",
    "default_socket_timeout",
    "get_ident",
)

THREAD_TIMEOUT_MAX = threading.TIMEOUT_MAX


@contextmanager
def default_socket_timeout(timeout: float | None) -> Iterator[None]:
    """Give sockets that are made inside the block this timeout (seconds); afterwards the former one holds again."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(timeout)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _open_broker_sockets(connection: Any) -> Iterator[Any]:
    # names with an underscore on purpose: the public properties reconnect, which is what mustn't happen here
    for channel in getattr(connection.transport, "channels", None) or ():
        for name in ("client", "subclient"):
            client = vars(channel).get(name)
            sock = getattr(getattr(client, "connection", None), "_sock", None)
            if sock is not None:
                yield sock
    sock = getattr(getattr(getattr(connection, "_connection", None), "_transport", None), "sock", None)
    if sock is not None:
        yield sock


def bound_open_broker_sockets(connection: Any, timeout: float) -> None:
    """Let no read or write on the open sockets of `connection` (kombu's) take longer than `timeout` seconds.

    For the shutdown, when the broker may be gone: nothing is connected anew, and an error changes nothing.
    """
    with suppress(Exception):
        for sock in _open_broker_sockets(connection):
            with suppress(Exception):
                sock.settimeout(timeout)


class bgThread(threading.Thread):
    """A daemon thread that calls :meth:`body` again and again until :meth:`stop`; if it raises, the process ends."""

    def __init__(self, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.daemon = True
        self.name = name or type(self).__name__
        self.__is_shutdown = threading.Event()
        self.__is_stopped = threading.Event()

    def body(self) -> None:
        """Do one round of the work."""
        raise NotImplementedError

    def on_crash(self, msg: str, *fmt: Any, **kwargs: Any) -> None:
        """Report that a round raised."""
        print(msg.format(*fmt), file=sys.stderr)  # noqa: T201 - the process is about to end, logging may be gone
        traceback.print_exc(None, sys.stderr)

    def run(self) -> None:
        try:
            while not self.__is_shutdown.is_set():
                try:
                    self.body()
                except Exception as exc:  # noqa: BLE001 - of any kind: the work can't go on without this thread
                    try:
                        self.on_crash("{0!r} crashed: {1!r}", self.name, exc)
                    finally:
                        sys.stderr.flush()
                        os._exit(1)
        finally:
            self.__is_stopped.set()

    def stop(self) -> None:
        """Let the thread end after this round, and wait for that."""
        self.__is_shutdown.set()
        self.__is_stopped.wait()
        if self.is_alive():
            self.join(THREAD_TIMEOUT_MAX)


def release_local(local: Any) -> None:
    """Forget the values of the current thread in a :class:`Local` or :class:`LocalStack`."""
    local.__release_local__()


class Local:
    """Attributes that are separate in each thread."""

    __slots__ = ("__ident_func__", "__storage__")

    __storage__: dict[Any, dict[str, Any]]
    __ident_func__: Callable[[], Any]

    def __init__(self) -> None:
        object.__setattr__(self, "__storage__", {})
        object.__setattr__(self, "__ident_func__", get_ident)

    def __iter__(self) -> Iterator[tuple[Any, dict[str, Any]]]:
        return iter(self.__storage__.items())

    def __call__(self, proxy: Any) -> Proxy:
        """Return a proxy for the attribute of that name."""
        return Proxy(self, name=proxy)

    def __release_local__(self) -> None:
        self.__storage__.pop(self.__ident_func__(), None)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__storage__[self.__ident_func__()][name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self.__storage__.setdefault(self.__ident_func__(), {})[name] = value

    def __delattr__(self, name: str) -> None:
        ident = self.__ident_func__()
        try:
            del self.__storage__[ident][name]
        except KeyError:
            raise AttributeError(name) from None
        if not self.__storage__[ident]:
            del self.__storage__[ident]


class _LocalStack:
    """A stack of each thread, and of each asyncio task: one that is begun inside of another goes on from its stack."""

    __class_getitem__: Any = classmethod(GenericAlias)

    def __init__(self) -> None:
        self._items: ContextVar[tuple[Any, ...]] = ContextVar("stack", default=())
        self.__ident_func__: Callable[[], Any] = get_ident

    def __release_local__(self) -> None:
        self._items.set(())

    def __call__(self) -> Proxy:
        """Return a proxy for what is on top."""

        def top() -> Any:
            if self.top is None:
                raise RuntimeError("object unbound")
            return self.top

        return Proxy(top)

    def push(self, obj: Any) -> list[Any]:
        """Put `obj` on top; return the stack."""
        items = (*self._items.get(), obj)
        self._items.set(items)
        return list(items)

    def pop(self) -> Any:
        """Take off what is on top, and return it; None if there is nothing."""
        items = self._items.get()
        if not items:
            return None
        self._items.set(items[:-1])
        return items[-1]

    def __len__(self) -> int:
        return len(self._items.get())

    @property
    def stack(self) -> list[Any]:
        """A copy of the stack, from the bottom."""
        return list(self._items.get())

    @property
    def top(self) -> Any:
        """What is on top; None if there is nothing."""
        items = self._items.get()
        return items[-1] if items else None


class _FastLocalStack(threading.local):
    """The same with the thread-local storage of the interpreter."""

    __class_getitem__: Any = classmethod(GenericAlias)

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.push = self.stack.append

    def pop(self) -> Any:
        """Take off what is on top, and return it; None if there is nothing."""
        return self.stack.pop() if self.stack else None

    @property
    def top(self) -> Any:
        """What is on top; None if there is nothing."""
        return self.stack[-1] if self.stack else None

    def __len__(self) -> int:
        return len(self.stack)


LocalStack = _LocalStack


class LocalManager:
    """Several :class:`Local` objects that are released together.

    :param locals: one, or a list.
    :param ident_func: what tells threads apart, if it isn't their ident.
    """

    def __init__(self, locals: Any = None, ident_func: Callable[[], Any] | None = None) -> None:
        self.locals = [] if locals is None else [locals] if hasattr(locals, "__release_local__") else list(locals)
        self.ident_func = ident_func or get_ident
        if ident_func is not None:
            for local in self.locals:
                object.__setattr__(local, "__ident_func__", ident_func)

    def get_ident(self) -> Any:
        """Return what stands for the current thread."""
        return self.ident_func()

    def cleanup(self) -> None:
        """Forget the values of the current thread."""
        for local in self.locals:
            release_local(local)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} storages: {len(self.locals)}>"
