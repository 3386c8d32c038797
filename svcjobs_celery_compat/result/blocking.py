"""Whether a task may wait for another: it may not, unless it says so, since both may need the same worker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from svcjobs_celery_compat import result as results
from svcjobs_celery_compat._state import _set_task_join_will_block

E_WOULDBLOCK = """\
Never call result.get() within a task!
A worker whose tasks wait for each other can come to a standstill. Use a callback, a chain or a chord instead; see
https://docs.celeryq.dev/en/latest/userguide/tasks.html#avoid-launching-synchronous-subtasks
"""


def assert_will_not_block() -> None:
    """Raise RuntimeError when a task is running here that may not wait."""
    if results.task_join_will_block():
        raise RuntimeError(E_WOULDBLOCK)


@contextmanager
def allow_join_result() -> Iterator[None]:
    """Within this, a task may wait for results."""
    with _join_will_block(False):
        yield


@contextmanager
def denied_join_result() -> Iterator[None]:
    """Within this, waiting for results is refused."""
    with _join_will_block(True):
        yield


@contextmanager
def _join_will_block(blocks: bool) -> Iterator[None]:
    before = results.task_join_will_block()
    _set_task_join_will_block(blocks)
    try:
        yield
    finally:
        _set_task_join_will_block(before)
