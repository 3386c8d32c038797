"""Pid files, daemons and signals, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from svcjobs_celery_compat.platforms import (
    EX_CANTCREAT,
    LockFailed,
    Pidfile,
    check_privileges,
    ignore_errno,
    parse_gid,
    parse_uid,
    signal_name,
    signals,
)
from tests.eventually import eventually

ROOT = Path(__file__).parents[3]


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_pid_file_is_a_lock(tmp_path: Path) -> None:
    path = tmp_path / "worker.pid"
    with Pidfile(str(path)) as lock:
        assert path.read_text() == f"{os.getpid()}\n"
        assert lock.read_pid() == os.getpid()
        with pytest.raises(LockFailed):
            Pidfile(str(path)).acquire()
    assert not path.exists()
    assert lock.read_pid() is None


@pytest.mark.parametrize("content", ["nonsense\n", "12"])
def test_a_broken_pid_file_is_replaced(tmp_path: Path, content: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "worker.pid"
    path.write_text(content)
    lock = Pidfile(str(path))
    with pytest.raises(ValueError, match="pidfile"):
        lock.read_pid()
    assert lock.remove_if_stale()
    assert not path.exists()
    assert "Broken pidfile" in capfd.readouterr().err


def test_a_second_program_is_refused_while_the_first_runs(tmp_path: Path) -> None:
    path = tmp_path / "worker.pid"
    code = """
import sys
from svcjobs_celery_compat.platforms import create_pidlock
create_pidlock(sys.argv[1])
"""
    path.write_text(f"{os.getppid()}\n")
    refused = run(code, str(path))
    assert (refused.returncode, path.exists()) == (EX_CANTCREAT, True)
    assert f"pid: {os.getppid()}" in refused.stderr
    path.write_text("999999999\n")
    assert run(code, str(path)).returncode == 0
    assert not path.exists()


def test_a_daemon_is_a_session_of_its_own(tmp_path: Path) -> None:
    code = """
import os, sys
from svcjobs_celery_compat.platforms import detached
folder = sys.argv[1]
with detached(logfile=f"{folder}/log", pidfile=f"{folder}/pid", umask="077", workdir=folder):
    with open("told.part", "w") as told:
        print(os.getsid(0) != int(sys.argv[2]), os.getcwd() == folder, oct(os.umask(0)), file=told)
    os.rename("told.part", "told")
"""
    assert run(code, str(tmp_path), str(os.getsid(0))).returncode == 0
    eventually(lambda: (tmp_path / "told").exists(), timeout=20)
    assert (tmp_path / "told").read_text() == "True True 0o77\n"
    assert (tmp_path / "log").exists()
    assert not (tmp_path / "pid").exists()


def test_signals_by_name() -> None:
    before = signals["USR2"]
    caught: list[int] = []
    try:
        signals["USR2"] = lambda signum, frame: caught.append(signum)
        os.kill(os.getpid(), signal.SIGUSR2)
        assert [signal_name(signum) for signum in caught] == ["USR2"]
        signals.ignore("USR2")
        os.kill(os.getpid(), signal.SIGUSR2)
        assert len(caught) == 1
        signals.reset("USR2")
        assert signals["USR2"] == signal.SIG_DFL
    finally:
        signals["USR2"] = before
    assert signals.supported("INT")
    assert not signals.supported("NOSUCH")
    with pytest.raises(TypeError, match="upper case"):
        signals.signum("int")


def test_errors_by_name(tmp_path: Path) -> None:
    with ignore_errno("ENOENT"):
        (tmp_path / "missing").read_text()
    with pytest.raises(FileNotFoundError), ignore_errno("EPERM"):
        (tmp_path / "missing").read_text()


def test_users_by_name() -> None:
    assert (parse_uid("root"), parse_uid("12"), parse_gid(3)) == (0, 12, 3)
    with pytest.raises(KeyError, match="no_such_user"):
        parse_uid("no_such_user")


def test_root_and_pickle_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from svcjobs_celery_compat.exceptions import SecurityError, SecurityWarning

    for name in ("getuid", "geteuid", "getgid", "getegid"):
        monkeypatch.setattr(os, name, lambda: 0)
    monkeypatch.delenv("C_FORCE_ROOT", raising=False)
    with pytest.raises(SecurityError, match="C_FORCE_ROOT"):
        check_privileges(["json", "pickle"])
    with pytest.warns(SecurityWarning, match="superuser"):
        check_privileges(["json"])
