"""The user and the group that a process runs as."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import warnings
from typing import Any

from svcjobs_celery_compat.exceptions import SecurityError, SecurityWarning
from svcjobs_celery_compat.local import try_import

__all__ = (
    "check_privileges",
    "initgroups",
    "maybe_drop_privileges",
    "parse_gid",
    "parse_uid",
    "setgid",
    "setgroups",
    "setuid",
)

pwd = try_import("pwd")
grp = try_import("grp")


def parse_uid(uid: Any) -> int:
    """Return the number of a user given by number or name.

    :raises KeyError: there is no such user.
    """
    try:
        return int(uid)
    except ValueError:
        try:
            return int(pwd.getpwnam(uid).pw_uid)
        except (AttributeError, KeyError):
            raise KeyError(f"User does not exist: {uid}") from None


def parse_gid(gid: Any) -> int:
    """Return the number of a group given by number or name.

    :raises KeyError: there is no such group.
    """
    try:
        return int(gid)
    except ValueError:
        try:
            return int(grp.getgrnam(gid).gr_gid)
        except (AttributeError, KeyError):
            raise KeyError(f"Group does not exist: {gid}") from None


def setgroups(groups: list[int]) -> None:
    """Set the groups of the process, as many as the system allows."""
    limit = None
    with contextlib.suppress(AttributeError, ValueError, OSError):
        limit = os.sysconf("SC_NGROUPS_MAX")
    try:
        os.setgroups(groups[:limit])
    except OSError as exc:
        if exc.errno != errno.EPERM:
            raise
        if any(group not in groups for group in os.getgroups()):
            # it would keep groups that it isn't to have
            raise


def initgroups(uid: int, gid: int) -> None:
    """Set the groups of the process to those of the user."""
    if pwd is None:
        return
    name = pwd.getpwuid(uid)[0]
    if hasattr(os, "initgroups"):
        os.initgroups(name, gid)
        return
    setgroups([group.gr_gid for group in grp.getgrall() if name in group.gr_mem])


def setgid(gid: Any) -> None:
    """Run as that group."""
    os.setgid(parse_gid(gid))


def setuid(uid: Any) -> None:
    """Run as that user."""
    os.setuid(parse_uid(uid))


def maybe_drop_privileges(uid: Any = None, gid: Any = None) -> None:
    """Run as another user and group, if they are given; a user's own group if only the user is.

    :raises SecurityError: root could be got back.
    """
    if sys.platform == "win32":
        return
    if os.geteuid() and not (uid or gid):
        return
    if uid:
        _setuid(parse_uid(uid), parse_gid(gid) if gid else None)
    elif gid:
        setgid(gid)
    if uid and not os.getuid() and not os.geteuid() and parse_uid(uid):
        raise SecurityError("Still root uid after drop privileges!")


def _setuid(uid: int, gid: int | None) -> None:
    if gid is None and pwd:
        gid = pwd.getpwuid(uid).pw_gid
    # the user last: after it, the group can't be changed
    if gid is not None:
        setgid(gid)
        initgroups(uid, gid)
    setuid(uid)
    if uid == 0:
        return
    try:
        setuid(0)
    except OSError as exc:
        if exc.errno != errno.EPERM:
            raise
    else:
        raise SecurityError("non-root user able to restore privileges after setuid.")


def check_privileges(accept_content: Any) -> None:
    """Warn of a worker that runs as root, and refuse one that also takes pickled messages.

    :raises SecurityError: it takes pickle and is root, without C_FORCE_ROOT in the environment.
    """
    if not hasattr(os, "getuid"):
        return
    takes_pickle = bool({"pickle", "application/x-python-serialize"} & set(accept_content or ()))
    uid, euid, gid, egid = os.getuid(), os.geteuid(), os.getgid(), os.getegid()
    who = f"uid={uid} euid={euid} gid={gid} egid={egid}"
    if grp is not None:
        groups = {_group_name(gid), _group_name(egid)}
        if None in groups:
            warnings.warn(
                SecurityWarning(f"The process's group isn't known; it is taken for root's. {who}"),
                stacklevel=2,
            )
        is_root_group = bool(groups & {"sudo", "wheel", None})
    else:
        is_root_group = False
    if uid and euid and gid and egid and not is_root_group:
        return
    if takes_pickle and not os.environ.get("C_FORCE_ROOT"):
        raise SecurityError(
            "A worker that takes pickled messages mustn't run with superuser privileges: whoever can write to the "
            f"broker could run any code as root. Set C_FORCE_ROOT in the environment to do it anyway. {who}"
        )
    warnings.warn(
        SecurityWarning(f"The worker runs with superuser privileges. Give it another user by --uid. {who}"),
        stacklevel=2,
    )


def _group_name(gid: int) -> str | None:
    try:
        return str(grp.getgrgid(gid)[0])
    except KeyError:
        return None
