"""The signature: the arguments and options of a task call, as a dictionary that can be sent."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import cached_property, partial
from typing import Any, ClassVar, Self

from kombu.utils.functional import reprcall
from kombu.utils.uuid import uuid

from svcjobs_celery_compat._state import current_app
from svcjobs_celery_compat.canvas.linkable import Linkable
from svcjobs_celery_compat.utils import abstract
from svcjobs_celery_compat.utils.objects import getitem_property

Options = dict[str, Any]


class Signature(Linkable):
    """A task call that can be passed on, sent and called later.

    A dictionary with the keys ``task``, ``args``, ``kwargs``, ``options``, ``subtask_type`` and ``immutable``, each an
    attribute too. Arguments given when it is called are prepended to its own, keyword arguments and options win over
    its own. An immutable one takes options only.

    Parameters:
        task: a task, its name, or a dictionary as this class makes it.
        args: positional arguments.
        kwargs: keyword arguments.
        options: options for ``apply_async``.
        type: the task, where ``task`` is its name.
        subtask_type: the name in ``TYPES`` of the class that the dictionary becomes again.
        immutable: take no arguments from whoever calls it.
        app: the app that the task is of; by default that of the task, else the current app.
        **ex: more options.
    """

    TYPES: ClassVar[dict[str, type[Signature]]] = {}

    #: options that, once set, a call doesn't replace
    _IMMUTABLE_OPTIONS = frozenset({"group_id", "stamped_headers"})

    _app: Any = None
    _type: Any = None

    task = getitem_property("task", "Name of the task.")
    args = getitem_property("args", "Positional arguments.")
    kwargs = getitem_property("kwargs", "Keyword arguments.")
    options = getitem_property("options", "Options for ``apply_async``.")
    subtask_type = getitem_property("subtask_type", "Type of the signature.")
    immutable = getitem_property("immutable", "Whether it takes no more arguments.")
    id = getitem_property("options.task_id", "Id of the task, if frozen.")
    parent_id = getitem_property("options.parent_id", "Id of the task that called it.")
    root_id = getitem_property("options.root_id", "Id of the task that all began with.")

    @classmethod
    def register_type(cls, name: str | None = None) -> Callable[[type[Any]], type[Any]]:
        """Has a class make the signatures of the type ``name``, by default that of the class; a decorator."""

        def register(subclass: type[Any]) -> type[Any]:
            cls.TYPES[name or subclass.__name__] = subclass
            return subclass

        return register

    @classmethod
    def from_dict(cls, d: dict[str, Any], app: Any = None) -> Any:
        """The signature that ``d`` describes, of the class registered for its type.

        Raises:
            KeyError: no class is registered for the type.
        """
        kind = d.get("subtask_type")
        if kind:
            target = cls.TYPES[kind]
            if target is not cls:
                return target.from_dict(d, app=app)
        return Signature(d, app=app)

    def __init__(
        self,
        task: Any = None,
        args: Any = None,
        kwargs: dict[str, Any] | None = None,
        options: Options | None = None,
        type: Any = None,
        subtask_type: str | None = None,
        immutable: bool = False,
        app: Any = None,
        **ex: Any,
    ) -> None:
        self._app = app
        if isinstance(task, dict):
            super().__init__(task)  # shallow: a dictionary in a message and its signature are the same canvas
            return
        self._type = type
        if task is not None and not isinstance(task, str):
            self._type, task = task, task.name
        super().__init__(
            task=task,
            args=tuple(args or ()),
            kwargs=kwargs or {},
            options=dict(options or {}, **ex),
            subtask_type=subtask_type,
            immutable=immutable,
        )

    # calling

    def __call__(self, *partial_args: Any, **partial_kwargs: Any) -> Any:
        """Call the task here and now."""
        args, kwargs, _ = self._merge(partial_args, partial_kwargs, None)
        return self.type(*args, **kwargs)

    def delay(self, *partial_args: Any, **partial_kwargs: Any) -> Any:
        """Short for :meth:`apply_async` with arguments only."""
        return self.apply_async(partial_args, partial_kwargs)

    def apply(self, args: Any = None, kwargs: dict[str, Any] | None = None, **options: Any) -> Any:
        """Run the task here and now; returns its :class:`EagerResult`."""
        args, kwargs, options = self._merge(args, kwargs, options)
        return self.type.apply(args, kwargs, **options)

    def apply_async(self, args: Any = None, kwargs: Any = None, route_name: Any = None, **options: Any) -> Any:
        """Send the task; returns its result. An option of None counts as not given.

        Parameters:
            args: positional arguments, prepended to its own.
            kwargs: keyword arguments, added to its own.
            route_name: the task name that its route is looked up by, instead of its own.
            **options: as for ``Task.apply_async``; they win over its own.
        """
        options = {key: value for key, value in options.items() if value is not None or key not in self.options}
        args, kwargs, options = self._merge(args, kwargs, options)
        if route_name:
            options = {**options, "route_name": route_name}
        return self._apply_async(args, kwargs, **options)

    def election(self) -> Any:
        """Have the workers elect one of them, which runs the task; returns its result."""
        app = self.type.app
        task_id = self.options.get("task_id") or uuid()
        with app.producer_or_acquire(None) as producer:
            properties = app.backend.on_task_call(producer, task_id)
            app.control.election(
                task_id, "task", self.clone(task_id=task_id, **properties), connection=producer.connection
            )
        return self.type.AsyncResult(task_id)

    def __invert__(self) -> Any:
        return self.apply_async().get()

    # copies and changes

    def _merge(
        self,
        args: Any = None,
        kwargs: dict[str, Any] | None = None,
        options: Options | None = None,
        force: bool = False,
    ) -> tuple[Any, dict[str, Any], Options]:
        merged = self.options
        if options is not None:
            merged = {
                **self.options,
                **{k: v for k, v in options.items() if k not in self._IMMUTABLE_OPTIONS or k not in self.options},
            }
        if self.immutable and not force:
            return self.args, self.kwargs, merged
        return (
            (*args, *self.args) if args else self.args,
            {**self.kwargs, **kwargs} if kwargs else self.kwargs,
            merged,
        )

    def clone(self, args: Any = None, kwargs: dict[str, Any] | None = None, **opts: Any) -> Any:
        """A copy with more arguments and options.

        Options are copied deeply, signatures linked in them too. Arguments are not: they may be tasks or iterators.
        """
        args, kwargs, options = self._merge(args, kwargs, opts or None)
        copy = Signature.from_dict(
            {
                "task": self.task,
                "args": tuple(args or ()),
                "kwargs": dict(kwargs or {}),
                "options": deepcopy(options),
                "subtask_type": self.subtask_type,
                "immutable": self.immutable,
            },
            app=self._app,
        )
        copy._type = self._type
        return copy

    partial = clone

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        memo[id(self)] = copied = dict(self)
        # after the line above, as a canvas may be linked to itself; the arguments stay as they are: they may be lazy
        copied["options"] = deepcopy(self.options, memo)
        copied["kwargs"] = dict(self.kwargs)
        return copied

    def replace(self, args: Any = None, kwargs: dict[str, Any] | None = None, options: Options | None = None) -> Any:
        """A copy with these arguments and options instead of its own; None keeps its own."""
        copy = self.clone()
        for key, value in (("args", args), ("kwargs", kwargs), ("options", options)):
            if value is not None:
                copy[key] = value
        return copy

    def set(self, immutable: bool | None = None, **options: Any) -> Self:
        """Set options, and whether it is immutable; returns the signature."""
        if immutable is not None:
            self.set_immutable(immutable)
        self.options.update(options)
        return self

    def set_immutable(self, immutable: bool) -> None:
        """Have it take no more arguments, or take them again."""
        self.immutable = immutable

    def freeze(
        self,
        _id: str | None = None,
        group_id: str | None = None,
        chord: Any = None,
        root_id: str | None = None,
        parent_id: str | None = None,
        group_index: int | None = None,
    ) -> Any:
        """Give the call its id and its place, so that its result can be asked for before it is sent; returns that.

        Parameters:
            _id: its id, unless it has one; by default a new one.
            group_id: the id of the group it is in, unless it has one.
            chord: the body of the chord it is in.
            root_id: the id of the task that all began with.
            parent_id: the id of the task that calls it.
            group_index: its place in the group.
        """
        options = self.options
        if "task_id" not in options:
            options["task_id"] = _id or uuid()
        if root_id:
            options["root_id"] = root_id
        if parent_id:
            options["parent_id"] = parent_id
        if "reply_to" not in options:
            options["reply_to"] = self.app.thread_oid
        if group_id and "group_id" not in options:
            options["group_id"] = group_id
        if chord:
            options["chord"] = chord
        if group_index is not None:
            options["group_index"] = group_index
        return self.AsyncResult(options["task_id"])

    _freeze = freeze

    # as part of a chain

    def __or__(self, other: Any) -> Any:
        from svcjobs_celery_compat.canvas.chains import _chain
        from svcjobs_celery_compat.canvas.folding import maybe_unroll_group
        from svcjobs_celery_compat.canvas.groups import group

        if isinstance(other, group):
            other = maybe_unroll_group(other)
        if isinstance(other, _chain):
            return _chain(self, *other.unchain_tasks(), app=self._app)
        if isinstance(other, Signature):
            return _chain(self, other, app=self._app)
        return NotImplemented

    def __ior__(self, other: Any) -> Any:
        return self.__or__(other)

    # what it is made of

    def reprcall(self, *args: Any, **kwargs: Any) -> str:
        """The call as it would be written, with these arguments added."""
        args, kwargs, _ = self._merge(args, kwargs, None, force=True)
        return str(reprcall(self.task, args, kwargs))

    def __repr__(self) -> str:
        return self.reprcall()

    def __reduce__(self) -> Any:
        return signature, (dict(self),)

    def __json__(self) -> dict[str, Any]:
        return dict(self)

    @property
    def name(self) -> str:
        """Name of the task."""
        return str(self.task)

    def _own_app(self) -> Any:
        """The app that it was given, or that its parts were; None where the current app counts."""
        return self._app

    @cached_property
    def app(self) -> Any:
        """The app that the task is of."""
        own = self._own_app()
        return current_app if own is None else own

    @cached_property
    def type(self) -> Any:
        """The task.

        Raises:
            KeyError: none of that name is registered here; the signature can be sent none the less.
        """
        return self._type or self.app.tasks[self.task]

    @cached_property
    def AsyncResult(self) -> Any:
        """The class, or method, that makes results of the task."""
        try:
            return self.type.AsyncResult
        except KeyError:
            return self.app.AsyncResult

    @cached_property
    def _apply_async(self) -> Any:
        try:
            return self.type.apply_async
        except KeyError:
            return partial(self.app.send_task, self.task)


abstract.CallableSignature.register(Signature)


def signature(varies: Any, *args: Any, **kwargs: Any) -> Any:
    """A signature: of a task or its name with arguments as for :class:`Signature`, or of a dictionary of one.

    Of a signature it makes a copy.
    """
    if isinstance(varies, dict):
        if isinstance(varies, abstract.CallableSignature):
            return varies.clone()
        return Signature.from_dict(varies, app=kwargs.get("app"))
    return Signature(varies, *args, **kwargs)


subtask = signature


def maybe_signature(d: Any, app: Any = None, clone: bool = False) -> Any:
    """``d`` as a signature, if it is one or a dictionary of one; else as it is, None for example.

    Parameters:
        d: anything.
        app: the app to give to a signature that has none.
        clone: return a copy.
    """
    if d is None:
        return None
    if isinstance(d, abstract.CallableSignature):
        if clone:
            d = d.clone()
    elif isinstance(d, dict):
        d = signature(d)
    if app is not None:
        d._app = app
    return d


maybe_subtask = maybe_signature


def task_name_from(task: Any) -> Any:
    """The name of ``task``, which may be a name already."""
    return getattr(task, "name", task)
