"""The results of a group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from svcjobs_celery_compat._state import app_or_default
from svcjobs_celery_compat.result.result_set import ResultSet

if TYPE_CHECKING:
    from svcjobs_celery_compat.app.base import Celery


class GroupResult(ResultSet):
    """A result set with an id, under which a backend can keep it.

    Args:
        id: the group's id.
        results: of its members.
        parent: the result of what called the group.
        kwargs: those of :class:`ResultSet`.
    """

    def __init__(self, id: Any = None, results: Any = None, parent: Any = None, **kwargs: Any) -> None:
        self.id = id
        self.parent = parent
        super().__init__(results, **kwargs)

    def save(self, backend: Any = None) -> Any:
        """Keep it in `backend`, by default that of the application; :meth:`restore` finds it by its id."""
        return (backend or self.app.backend).save_group(self.id, self)

    def delete(self, backend: Any = None) -> None:
        """Remove what :meth:`save` kept."""
        (backend or self.app.backend).delete_group(self.id)

    @classmethod
    def restore(cls, id: Any, backend: Any = None, app: Celery | None = None) -> Any:
        """The group result that was saved under that id, None when there is none."""
        bound = None if isinstance(cls.app, property) else cls.app  # the class of one application
        return (backend or app_or_default(app or bound).backend).restore_group(id)

    def __reduce__(self) -> Any:
        return self.__class__, self.__reduce_args__()

    def __reduce_args__(self) -> tuple[Any, ...]:
        return self.id, self.results

    def __bool__(self) -> bool:
        return bool(self.id or self.results)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, GroupResult):
            return other.id == self.id and other.results == self.results and other.parent == self.parent
        if isinstance(other, str):
            return bool(other == self.id)
        return NotImplemented

    def __hash__(self) -> int:  # type: ignore[override]  # it has an id
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.id} [{', '.join(str(each.id) for each in self.results)}]>"

    def __str__(self) -> str:
        return str(self.id)

    def as_tuple(self) -> Any:
        """``((id, parent as a tuple or None), results as tuples)``: what :func:`result_from_tuple` takes."""
        return (self.id, self.parent and self.parent.as_tuple()), [each.as_tuple() for each in self.results]

    @property
    def children(self) -> list[Any]:
        """The results."""
        return self.results
