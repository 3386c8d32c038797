"""The types of ``@app.task`` and ``@shared_task``, for type checkers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar, overload

if TYPE_CHECKING:
    from svcjobs_celery_compat.app.task import Task

    P = ParamSpec("P")
    R = TypeVar("R")
    T = TypeVar("T", bound=Task[..., Any])

    class AsyncTask(Task[P, R]):
        """The task of an ``async def`` function: called as a function it returns a coroutine."""

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...  # type: ignore[override]  # of the function

    class Decorator(Protocol):
        """Makes a task of a function."""

        @overload
        def __call__(self, fun: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
        @overload
        def __call__(self, fun: Callable[P, R], /) -> Task[P, R]: ...

    class BindingDecorator(Protocol):
        """Makes a task of a function whose first argument is the task."""

        @overload
        def __call__(self, fun: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
        @overload
        def __call__(self, fun: Callable[Concatenate[Any, P], R], /) -> Task[P, R]: ...

    class LooseDecorator(Protocol):
        """Makes a task of a function whose messages hold other types than its arguments are of."""

        def __call__(self, fun: Callable[..., Any], /) -> Task[..., Any]: ...


class TaskDecorator(Protocol):
    """``@app.task``: arguments and the type of the result are the function's.

    With ``base=`` the task is of that class, and with ``pydantic=True`` callers pass models or mappings: then the
    arguments aren't checked.
    """

    if TYPE_CHECKING:

        @overload
        def __call__(self, fun: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
        @overload
        def __call__(self, fun: Callable[P, R], /) -> Task[P, R]: ...
        @overload
        def __call__(self, *, base: type[T], **options: Any) -> Callable[[Callable[..., Any]], T]: ...
        @overload
        def __call__(self, *, pydantic: Literal[True], **options: Any) -> LooseDecorator: ...
        @overload
        def __call__(self, *, bind: Literal[True], **options: Any) -> BindingDecorator: ...
        @overload
        def __call__(self, **options: Any) -> Decorator: ...
