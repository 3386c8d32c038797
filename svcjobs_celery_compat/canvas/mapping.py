"""The signatures of built-in tasks that call a task for each element of a sequence: map, starmap and chunks."""

from __future__ import annotations

from typing import Any, ClassVar

from svcjobs_celery_compat.canvas.groups import group
from svcjobs_celery_compat.canvas.signatures import Signature
from svcjobs_celery_compat.utils.functional import chunks as cut
from svcjobs_celery_compat.utils.functional import regen


class _basemap(Signature):
    _task_name: ClassVar[str]

    @classmethod
    def from_dict(cls, d: dict[str, Any], app: Any = None) -> Any:
        """The signature that ``d`` describes."""
        return cls(d["kwargs"]["task"], d["kwargs"]["it"], app=app, **d["options"])

    def __init__(self, task: Any, it: Any, **options: Any) -> None:
        app = options.pop("app", None)
        super().__init__(self._task_name, (), {"task": task, "it": regen(it)}, immutable=True, options=options, app=app)

    def apply_async(self, args: Any = None, kwargs: dict[str, Any] | None = None, **opts: Any) -> Any:  # type: ignore[override]  # the route is that of the mapped task
        """Send the one task; it is routed as the task that it maps would be. It takes no arguments."""
        opts = {key: value for key, value in opts.items() if value is not None or key not in self.options}
        _, _, options = self._merge(options=opts)
        return self.type.apply_async(
            (), {"task": self.kwargs["task"], "it": list(self.kwargs["it"])}, **{"route_name": self._mapped, **options}
        )

    @property
    def _mapped(self) -> Any:
        return self.kwargs["task"].get("task")


@Signature.register_type()
class xmap(_basemap):
    """Calls a task with each element of ``it``; the result is the list of the results."""

    _task_name = "celery.map"

    def __repr__(self) -> str:
        task, it = self.kwargs["task"], self.kwargs["it"]
        return f"[{task.task}(x) for x in {it!r}]"


@Signature.register_type()
class xstarmap(_basemap):
    """Calls a task with the elements of each element of ``it`` as arguments."""

    _task_name = "celery.starmap"

    def __repr__(self) -> str:
        task, it = self.kwargs["task"], self.kwargs["it"]
        return f"[{task.task}(*x) for x in {it!r}]"


@Signature.register_type()
class chunks(Signature):
    """Calls a task as :class:`xstarmap` does, ``n`` elements of ``it`` in each of as many tasks as that needs."""

    @classmethod
    def from_dict(cls, d: dict[str, Any], app: Any = None) -> Any:
        """The chunks that ``d`` describes."""
        return cls(d["kwargs"]["task"], d["kwargs"]["it"], d["kwargs"]["n"], app=app, **d["options"])

    def __init__(self, task: Any, it: Any, n: int, **options: Any) -> None:
        app = options.pop("app", None)
        arguments = {"task": task, "it": regen(it), "n": n}
        super().__init__("celery.chunks", (), arguments, immutable=True, options=options, app=app)

    def __call__(self, **options: Any) -> Any:
        """Send the tasks; returns their :class:`GroupResult`."""
        return self.apply_async(**options)

    def apply_async(self, args: Any = None, kwargs: dict[str, Any] | None = None, **opts: Any) -> Any:  # type: ignore[override]  # the route is that of the mapped task
        """Send the tasks, each routed as the task that it maps; returns their :class:`GroupResult`."""
        route = self.kwargs["task"].get("task")
        return self.group().apply_async(args or (), kwargs or {}, **{"route_name": route, **opts})

    def group(self) -> Any:
        """The group of the tasks."""
        task, it, n = self.kwargs["task"], self.kwargs["it"], self.kwargs["n"]
        return group((xstarmap(task, part, app=self._app) for part in cut(iter(it), n)), app=self._app)

    @classmethod
    def apply_chunks(cls, task: Any, it: Any, n: int, app: Any = None) -> Any:
        """Send the tasks for these arguments."""
        return cls(task, it, n, app=app)()
