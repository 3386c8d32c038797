"""Looking for blocked code and for memory that grows."""

from __future__ import annotations

import inspect
import os
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pprint import pprint
from typing import Any

from svcjobs_celery_compat.local import try_import
from svcjobs_celery_compat.platforms import signals
from svcjobs_celery_compat.utils.text import WhateverIO

Process: Any = getattr(try_import("psutil"), "Process", None)

__all__ = ("blockdetection", "cry", "hfloat", "humanbytes", "mem_rss", "memdump", "ps", "sample", "sample_mem")

UNITS = ((2**40.0, "TB"), (2**30.0, "GB"), (2**20.0, "MB"), (2**10.0, "KB"), (0.0, "b"))

_process: Any = None
_mem_sample: list[Any] = []


def _on_blocking(signum: int, frame: Any) -> None:
    raise RuntimeError(f"Blocking detection timed-out at: {inspect.getframeinfo(frame)}")


@contextmanager
def blockdetection(timeout: float) -> Iterator[None]:
    """Raise RuntimeError inside of the block, if it takes longer than `timeout` seconds; in the main thread only."""
    if not timeout:
        yield
        return
    before = signals["ALRM"]
    before = None if before == _on_blocking else before
    signals["ALRM"] = _on_blocking
    try:
        signals.arm_alarm(timeout)
        yield
    finally:
        if before:
            signals["ALRM"] = before
        signals.reset_alarm()


def sample_mem() -> Any:
    """Note how much memory the process has now, for :func:`memdump`; return it."""
    current = mem_rss()
    _mem_sample.append(current)
    return current


def _memdump(samples: int = 10) -> tuple[list[Any], Any]:
    taken = list(_mem_sample)
    _mem_sample.clear()
    return list(sample(taken, samples)), mem_rss()


def memdump(samples: int = 10, file: Any = None) -> None:
    """Print what :func:`sample_mem` noted, and forget it.

    :param samples: how many of the notes.
    """
    say = partial(print, file=file)
    if ps() is None:
        say("- rss: (psutil not installed).")
        return
    taken, after = _memdump(samples)
    if taken:
        say("- rss (sample):")
        for memory in taken:
            say(f"-    > {memory},")
    say(f"- rss (end): {after}.")


def sample(x: Sequence[Any], n: int, k: int = 0) -> Iterator[Any]:
    """Yield `n` items at equal distances, from the index `k` on."""
    step = len(x) // n
    for _ in range(n):
        try:
            yield x[k]
        except IndexError:
            return
        k += step


def hfloat(f: float, p: int = 5) -> str | int:
    """Return a number with `p` digits; a whole one without a point."""
    whole = int(f)
    return whole if whole == f else f"{f:.{p}}"


def humanbytes(s: float) -> str:
    """Return a number of bytes in the largest unit that it has one of."""
    return next(f"{hfloat(s / divisor if divisor else s)}{unit}" for divisor, unit in UNITS if s >= divisor)


def mem_rss() -> Any:
    """Return the resident memory of this process, for a reader; None without psutil."""
    process = ps()
    return humanbytes(process.memory_info().rss) if process is not None else None


def ps() -> Any:
    """Return psutil's object for this process; None without psutil."""
    global _process
    if _process is None and Process is not None:
        _process = Process(os.getpid())
    return _process


def cry(out: Any = None, sepchr: str = "=", seplen: int = 49) -> str | None:
    """Write where each thread is, with its local variables: what a worker does on SIGUSR1.

    :param out: stream to write to; without it, the text is returned.
    """
    stream = WhateverIO() if out is None else out
    say = partial(print, file=stream)
    threads = {thread.ident: thread for thread in threading.enumerate()}
    separator = sepchr * seplen
    for ident, frame in sys._current_frames().items():
        thread = threads.get(ident)
        if thread is None:
            # it ended in between, or isn't one of Python's
            continue
        say(thread.name)
        say(separator)
        traceback.print_stack(frame, file=stream)
        say(separator)
        say("LOCAL VARIABLES")
        say(separator)
        pprint(frame.f_locals, stream=stream)
        say("\n")
    return stream.getvalue() if out is None else None
