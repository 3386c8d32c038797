"""Proxies: they are what they stand for, as far as one can see."""

from __future__ import annotations

import pickle

import pytest

from svcjobs_celery_compat import _state
from svcjobs_celery_compat.local import PromiseProxy, Proxy, class_property, maybe_evaluate
from svcjobs_celery_compat.utils.threads import LocalStack


class Thing:
    """A thing."""

    __module__ = "warehouse"
    count = 3

    def __call__(self) -> str:
        return "called"


def test_a_proxy_looks_like_its_object() -> None:
    thing = Thing()
    proxy = Proxy(lambda: thing)
    assert isinstance(proxy, Thing)
    assert (proxy.__doc__, proxy.__module__, proxy()) == ("A thing.", "warehouse", "called")
    proxy.count = 4
    assert thing.count == 4
    assert Proxy.__module__ == "svcjobs_celery_compat.local"
    assert Proxy.__doc__.startswith("Stands for")


def test_without_an_object_it_is_false_and_says_so() -> None:
    stack = LocalStack()
    proxy = stack()
    assert not proxy
    assert "unbound" in repr(proxy)
    with pytest.raises(RuntimeError):
        proxy.count  # noqa: B018 - it raises
    stack.push(Thing())
    assert proxy.count == 3


def test_a_promise_is_kept_once() -> None:
    made: list[int] = []
    promise = PromiseProxy(lambda: made.append(1) or Thing())
    told: list[str] = []
    promise.__then__(told.append, "ready")
    assert (made, told, promise.__evaluated__()) == ([], [], False)
    assert promise.count == 3
    assert maybe_evaluate(promise) is maybe_evaluate(promise)
    assert (made, told, promise.__evaluated__()) == ([1], ["ready"], True)


def test_a_proxy_is_pickled_as_its_object() -> None:
    assert pickle.loads(pickle.dumps(Proxy(lambda: 10 + 0j))) == 10


def test_a_property_of_the_class() -> None:
    class Counter:
        _count = 1
        count = class_property(lambda cls: cls._count, lambda cls, value: setattr(cls, "_count", value))

    Counter().count = 5
    assert (Counter.count, Counter().count) == (5, 5)


def test_each_thread_has_its_current_app() -> None:
    from threading import Thread

    from svcjobs_celery_compat import Celery, current_app

    before = _state._tls.current_app
    try:
        app = Celery("here")
        seen: list[object] = []
        thread = Thread(target=lambda: seen.append(_state._tls.current_app))
        thread.start()
        thread.join()
        assert current_app._get_current_object() is app
        assert seen == [None]
    finally:
        _state._set_current_app(before)
