"""How functions become tasks of an app."""

from __future__ import annotations

import inspect
import os
import threading
import types
from collections import deque
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import svcjobs_celery_compat.app.base as _module
from svcjobs_celery_compat._state import _announce_app_finalized
from svcjobs_celery_compat.app.autoretry import add_autoretry_behaviour
from svcjobs_celery_compat.app.base.duplicates import (
    IGNORED,
    REPLACED,
    task_callable_qualname,
    warn_of_duplicate,
)
from svcjobs_celery_compat.app.base.pydantic_arguments import PydanticArguments
from svcjobs_celery_compat.app.base.typed import TaskDecorator
from svcjobs_celery_compat.local import PromiseProxy, maybe_evaluate
from svcjobs_celery_compat.utils.functional import head_from_fun
from svcjobs_celery_compat.utils.imports import gen_task_name


class Defining:
    """The part of :class:`~svcjobs_celery_compat.Celery` that makes and keeps tasks."""

    autofinalize: bool
    finalized: bool
    strict_typing: bool
    main: str | None
    on_after_finalize: Any
    _tasks: Any
    _pending: deque[Any]
    _finalize_mutex: threading.RLock
    _duplicate_task_names_warned: set[str]

    if TYPE_CHECKING:
        Task: Any
        task: TaskDecorator
    else:

        def task(self, *args, **opts):
            """Make a task of a function; a decorator, with or without options.

            Each attribute of :class:`~svcjobs_celery_compat.app.task.Task` may be given as an option, and these:

            Parameters:
                name: of the task; made of the module and the function without one.
                bind: the function gets the task as its first argument.
                base: the class of the task.
                shared: every app gets the task.
                lazy: the task is made when it is first used; until then a proxy stands for it.
                filter: is called with the task, and returns what stands for it.
                pydantic: arguments and the result are models where the function's annotations say so.
                pydantic_strict, pydantic_context, pydantic_dump_kwargs: for these models.
                autoretry_for, dont_autoretry_for, retry_kwargs, retry_backoff, retry_backoff_max, retry_jitter: see
                    :func:`~svcjobs_celery_compat.app.autoretry.add_autoretry_behaviour`.

            Raises:
                TypeError: what is decorated is no function.
            """
            if (_module.USING_EXECV or os.environ.get("FORKED_BY_MULTIPROCESSING")) and opts.get("lazy", True):
                # this process imported the module under another name: tasks are looked up in the current app
                from svcjobs_celery_compat.app import shared_task

                return shared_task(*args, **{**opts, "lazy": False})
            if len(args) == 1 and callable(args[0]):
                return self._decorator(**opts)(args[0])
            if args:
                raise TypeError(
                    "argument 1 to @task() must be a callable"
                    if len(args) == 1
                    else f"@task() takes exactly 1 argument ({len(args)} given)"
                )
            return self._decorator(**opts)

    def _decorator(
        self,
        shared: bool = True,
        filter: Callable[[Any], Any] | None = None,
        lazy: bool = True,
        **opts: Any,
    ) -> Callable[[Callable[..., Any]], Any]:
        def decorate(fun: Callable[..., Any]) -> Any:
            if shared:

                def cons(app: Any) -> Any:
                    return app._task_from_fun(fun, **opts)

                cons.__doc__ = fun.__doc__
                _module.connect_on_app_finalize(cons)
            task: Any
            if not lazy or self.finalized:
                task = self._task_from_fun(fun, **opts)
            else:
                task = PromiseProxy(self._task_from_fun, (fun,), opts, __doc__=fun.__doc__)
                self._pending.append(task)
            return filter(task) if filter else task

        return decorate

    def _task_from_fun(
        self,
        fun: Callable[..., Any],
        name: str | None = None,
        base: Any = None,
        bind: bool = False,
        pydantic: bool = False,
        pydantic_strict: bool = False,
        pydantic_context: dict[str, Any] | None = None,
        pydantic_dump_kwargs: dict[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        if not self.finalized and not self.autofinalize:
            raise RuntimeError("Contract breach: app not finalized")
        name = name or self.gen_task_name(fun.__name__, fun.__module__)
        if name in self._tasks:
            task = self._tasks[name]
            self._warn_if_duplicate_task_name(task, fun, name)
            return task

        function, extra = fun, {}
        if pydantic:
            models = PydanticArguments(
                self,
                fun,
                name,
                bind=bind,
                strict=pydantic_strict,
                context=pydantic_context,
                dump_kwargs=pydantic_dump_kwargs,
            )
            function, extra = models.wrapped(), {"_dump_pydantic_arguments": staticmethod(models.to_send)}
        run: Any = function if bind else staticmethod(function)
        attributes = {
            "app": self,
            "name": name,
            "run": run,
            "_fun": staticmethod(fun),
            "_decorated": True,
            "gets_itself": bind,
            "__doc__": fun.__doc__,
            "__module__": fun.__module__,
            "__annotations__": _annotations(fun),
            "__header__": self.type_checker(fun, bound=bind),
            "__wrapped__": run,
            **extra,
            **options,
        }
        bases = types.resolve_bases((base or self.Task,))  # a base may have type parameters
        task = type(fun.__name__, bases, attributes)()
        task.__qualname__ = getattr(fun, "__qualname__", fun.__name__)
        self._tasks[name] = task
        task.bind(self)
        add_autoretry_behaviour(task, **options)
        return task

    def type_checker(self, fun: Callable[..., Any], bound: bool = False) -> Any:
        """Return what checks the arguments of calls of ``fun``."""
        return staticmethod(head_from_fun(fun, bound=bound))

    def register_task(self, task: Any, **options: Any) -> Any:
        """Add a task that was written as a class, and return it.

        Parameters:
            task: the class, or an object of it.
            options: of ``autoretry_for``, as in :meth:`task`.
        """
        task = task() if inspect.isclass(task) else task
        if not task.name:
            cls = type(task)
            task.name = self.gen_task_name(cls.__name__, cls.__module__)
        existing = self._tasks.get(task.name)
        if existing is not None and type(existing) is not type(task):
            self._warn_duplicate_task_name(
                task.name, task_callable_qualname(existing), task_callable_qualname(task), REPLACED
            )
        add_autoretry_behaviour(task, **options)
        self.tasks[task.name] = task
        task._app = self
        task.bind(self)
        return task

    def gen_task_name(self, name: str, module: str) -> str:
        """Return the name of the task for a function of a module. Override it."""
        return gen_task_name(self, name, module)

    def finalize(self, auto: bool = False) -> None:
        """Make all tasks that were waiting for their first use, and those of other modules that every app has.

        Parameters:
            auto: it wasn't asked for, but is needed; with ``autofinalize`` off, that is an error.
        """
        with self._finalize_mutex:
            if self.finalized:
                return
            if auto and not self.autofinalize:
                raise RuntimeError("Contract breach: app not finalized")
            self.finalized = True
            _announce_app_finalized(self)
            while self._pending:
                maybe_evaluate(self._pending.popleft())
            for task in self._tasks.values():
                task.bind(self)
            self.on_after_finalize.send(sender=self)

    @cached_property
    def tasks(self) -> Any:
        """The tasks by name. Asking for them finalizes the app."""
        self.finalize(auto=True)
        return self._tasks

    def _warn_if_duplicate_task_name(self, task: Any, fun: Any, name: str) -> None:
        existing = getattr(task, "_fun", None)
        # what is decorated may itself be a task
        if existing is not None and existing is not getattr(fun, "_fun", fun):
            self._warn_duplicate_task_name(
                name, task_callable_qualname(task), f"{fun.__module__}.{getattr(fun, '__qualname__', fun)}", IGNORED
            )

    def _warn_duplicate_task_name(self, name: str, existing: str, new: str, consequence: str) -> None:
        if name not in self._duplicate_task_names_warned:
            self._duplicate_task_names_warned.add(name)
            warn_of_duplicate(name, existing, new, consequence)


def _annotations(fun: Callable[..., Any]) -> dict[str, Any]:
    return dict(getattr(fun, "__annotations__", None) or {})
