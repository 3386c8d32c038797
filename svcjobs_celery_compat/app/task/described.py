"""How tasks look when printed."""

from __future__ import annotations

from typing import Any

from svcjobs_celery_compat.app.utils import appstr

R_BOUND_TASK = "<class {0.__name__} of {app}{flags}>"
R_UNBOUND_TASK = "<unbound {0.__name__}{flags}>"
R_INSTANCE = "<@task: {0.name} of {app}{flags}>"


def _strflags(flags: list[str], default: str = "") -> str:
    return f" ({', '.join(flags)})" if flags else default


def _reprtask(task: Any, fmt: str | None = None, flags: list[str] | None = None) -> str:
    flags = list(flags or [])
    if task.__v2_compat__:
        flags.append("v2 compatible")
    if not fmt:
        fmt = R_BOUND_TASK if task._app else R_UNBOUND_TASK
    app = appstr(task._app) if task._app else None
    return fmt.format(task, flags=_strflags(flags), app=app)
