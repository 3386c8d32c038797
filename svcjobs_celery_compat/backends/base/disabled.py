"""No backend: ``result_backend`` isn't set, or is ``disabled://``."""

from __future__ import annotations

from typing import Any, NoReturn

from svcjobs_celery_compat.backends.base.backend import Backend
from svcjobs_celery_compat.backends.base.sync import SyncBackendMixin

E_NO_BACKEND = "No result backend is configured: set result_backend, for example to the redis:// URL of your broker."
E_CHORD_NO_BACKEND = """\
Starting chords requires a result backend to be configured.

Note that a group chained with a task is also upgraded to be a chord, as this pattern requires synchronization.
Set result_backend to one that supports chords: redis, cache or a database.
"""


class DisabledBackend(Backend, SyncBackendMixin):
    """Stores nothing, and says so when it is asked."""

    _cache: Any = {}  # noqa: RUF012  # there is never anything in it

    def store_result(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""

    def ensure_chords_allowed(self) -> NoReturn:
        """Raise NotImplementedError."""
        raise NotImplementedError(E_CHORD_NO_BACKEND.strip())

    def _is_disabled(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(E_NO_BACKEND)

    def as_uri(self, *args: Any, **kwargs: Any) -> str:
        """``disabled://``."""
        return "disabled://"

    @property
    def _get_task_meta_for(self) -> NoReturn:
        # as the attribute is missing, `getattr(result, "state", None)` and `hasattr` don't raise
        raise AttributeError(f"'DisabledBackend' object has no attribute '_get_task_meta_for'. {E_NO_BACKEND}")

    get_state = get_status = get_result = get_traceback = _is_disabled
    get_task_meta_for = wait_for = get_many = _is_disabled
