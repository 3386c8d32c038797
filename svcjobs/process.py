"""Processes: making one by a fork, and what the system says about one."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class ProcessState:
    """A process at one moment.

    Args:
        started: a mark that another process with the same pid doesn't have.
        stopped: whether a signal or a debugger stopped it.
        cpu_seconds: the CPU time that it used, all threads together.
    """

    started: float
    stopped: bool
    cpu_seconds: float


def process_state(pid: int) -> ProcessState | None:
    """The state of a process; None when it doesn't live any more, its parent having noticed or not."""
    if sys.platform != "linux":
        return _psutil_state(pid)
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # the name, in parentheses, may hold anything; proc(5) numbers the fields from 1: state is 3, utime 14
    fields = text.rpartition(")")[2].split()
    if fields[0] in "ZXx":
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    return ProcessState(float(fields[19]), fields[0] in "Tt", (int(fields[11]) + int(fields[12])) / ticks)


def _psutil_state(pid: int) -> ProcessState | None:
    import psutil  # type: ignore[import-untyped,unused-ignore]

    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            status = process.status()
            state = ProcessState(process.create_time(), status == psutil.STATUS_STOPPED, times.user + times.system)
    except psutil.Error:
        return None
    return None if status == psutil.STATUS_ZOMBIE else state


def fork(run: Callable[[], int], *, dies_with_parent: bool) -> int:
    """Start ``run`` in a process of its own; returns its pid. Its exit code is what ``run`` returns.

    The new process starts with the signals' default actions, but ignores SIGINT: Ctrl-C reaches every process of a
    terminal, and it is the supervisor's to pass it on. Only a process with one thread may be forked.

    Args:
        run: called in the new process.
        dies_with_parent: it gets SIGTERM when this process dies. On Linux; elsewhere its keeper sends that.

    Raises:
        OSError: the system has no memory, or allows no process more.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # on a full disk, or with nobody at the other end
            stream.flush()
    parent = os.getpid()
    # a signal between the fork and the reset would run the parent's handlers in the child
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _become(run, mask, parent if dies_with_parent else None)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return pid


def _become(run: Callable[[], int], mask: set[int | signal.Signals], parent: int | None) -> None:
    """Be a new process until ``run`` returns. Never returns."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if parent is None or is_tied_to(parent):
            code = run()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:  # noqa: BLE001 - this is the outermost frame of a process
        traceback.print_exc()
    finally:
        # not sys.exit: the frames, files and exit handlers of the parent are the parent's
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def is_tied_to(parent: int) -> bool:
    """Ask for SIGTERM when ``parent`` dies, which Linux gives; False when that has happened already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
    return os.getppid() == parent


def send_signal(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process, if it still is there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def how_it_ended(code: int) -> str:
    """What to say of a process with that exit code, which is the negative number of the signal that killed it."""
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
