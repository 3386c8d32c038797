"""Tasks whose arguments and result are Pydantic models."""

from __future__ import annotations

import importlib
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, Union

from svcjobs_celery_compat.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from pydantic import BaseModel


class PydanticArguments:
    """What a task with ``pydantic=True`` does with models.

    The worker makes models of the arguments that are annotated with one, and a mapping of a returned model. The caller
    may pass models: those that come out of JSON as they were are sent so, others are left to the serializer.

    Parameters:
        app, task_name: given to validators, in their context.
        fun: the task's function.
        bind: its first parameter is the task.
        strict: don't let models convert values.
        context: more for the validators' context.
        dump_kwargs: for ``model_dump``; the mode is ``json`` without one.

    Raises:
        ImproperlyConfigured: Pydantic isn't installed.
    """

    def __init__(
        self,
        app: Any,
        fun: Callable[..., Any],
        task_name: str,
        *,
        bind: bool = False,
        strict: bool = False,
        context: dict[str, Any] | None = None,
        dump_kwargs: dict[str, Any] | None = None,
    ) -> None:
        try:
            self._pydantic: Any = importlib.import_module("pydantic")
        except ModuleNotFoundError as error:
            raise ImproperlyConfigured("You need to install pydantic to use pydantic model serialization.") from error
        self._app = app
        self._strict = strict
        self._context = {"celery_app": app, "celery_task_name": task_name, **(context or {})}
        self._dump_kwargs = {"mode": "json", **(dump_kwargs or {})}
        self._fun = fun
        self._signature = inspect.signature(fun)
        hints = _type_hints(fun)
        single = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        found = {
            name: self._model(hints.get(name))
            for name, parameter in self._signature.parameters.items()
            if parameter.kind not in single
        }
        self._models = {name: model for name, model in found.items() if model is not None}
        self._returns_model = self._model(hints.get("return")) is not None
        self._offset = 1 if bind else 0

    def _model(self, annotation: Any) -> type[BaseModel] | None:
        """The model that an annotation ``Model`` or ``Optional[Model]`` names."""
        if typing.get_origin(annotation) in (Union, types.UnionType):
            members = [member for member in typing.get_args(annotation) if member is not type(None)]
            annotation = members[0] if len(members) == 1 else None
        if inspect.isclass(annotation) and issubclass(annotation, self._pydantic.BaseModel):
            return annotation  # type: ignore[return-value]  # the class was imported at run time
        return None

    def wrapped(self) -> Callable[..., Any]:
        """Return the function, taking and returning plain values."""
        fun = self._fun
        if inspect.iscoroutinefunction(fun):

            @wraps(fun)
            async def run_async(*args: Any, **kwargs: Any) -> Any:
                bound = self._validated(args, kwargs)
                return self._dumped(await fun(*bound.args, **bound.kwargs))

            return run_async

        @wraps(fun)
        def run(*args: Any, **kwargs: Any) -> Any:
            bound = self._validated(args, kwargs)
            return self._dumped(fun(*bound.args, **bound.kwargs))

        return run

    def _validated(self, args: Any, kwargs: Any) -> inspect.BoundArguments:
        bound = self._signature.bind(*args, **kwargs)
        for name, value in bound.arguments.items():
            model = self._models.get(name)
            if model is not None and value is not None:
                bound.arguments[name] = self._validate(model, value)
        return bound

    def _validate(self, model: type[BaseModel], value: Any) -> BaseModel:
        return model.model_validate(value, strict=self._strict, context=self._context)

    def _dumped(self, value: Any) -> Any:
        if self._returns_model and isinstance(value, self._pydantic.BaseModel):
            return value.model_dump(**self._dump_kwargs)
        return value

    def to_send(self, args: Any, kwargs: Any, serializer: str | None) -> tuple[Any, Any]:
        """Return the arguments of a call with its models as mappings; the same objects if there is nothing to do."""
        if (serializer or self._app.conf.task_serializer) == "pickle":
            return args, kwargs
        if isinstance(args, list | tuple):
            args = self._positional_to_send(args)
        if isinstance(kwargs, Mapping):
            sent = {name: self._to_send(name, value) for name, value in kwargs.items()}
            if any(sent[name] is not value for name, value in kwargs.items()):
                kwargs = sent
        return args, kwargs

    def _positional_to_send(self, args: list[Any] | tuple[Any, ...]) -> list[Any] | tuple[Any, ...]:
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        names = [name for name, each in self._signature.parameters.items() if each.kind in kinds][self._offset :]
        sent = [self._to_send(name, value) for name, value in zip(names, args, strict=False)]
        if all(before is after for before, after in zip(args, sent, strict=False)):
            return args
        return type(args)([*sent, *args[len(sent) :]])

    def _to_send(self, name: str, value: Any) -> Any:
        model = self._models.get(name)
        if model is None or not isinstance(value, self._pydantic.BaseModel) or hasattr(value, "__json__"):
            return value
        try:
            dumped = value.model_dump(**self._dump_kwargs)
            same = self._validate(model, dumped) == value
        except Exception:  # noqa: BLE001  # validators may do anything; what can't be sent shows in the serializer
            return value
        # secrets and excluded fields, or a subclass for its base class, would reach the task as something else
        return dumped if same else value


def _type_hints(fun: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(fun)
    except (NameError, TypeError):
        # names that are there for type checkers only
        return {name: hint for name, hint in fun.__annotations__.items() if not isinstance(hint, str)}
