"""The task: a function that has a name, and is called by messages."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from types import GenericAlias
from typing import TYPE_CHECKING, Any, ClassVar, Generic, ParamSpec, TypeVar

from kombu import serialization
from kombu.exceptions import OperationalError
from kombu.utils.uuid import uuid

import svcjobs_celery_compat.app.task as _module
from svcjobs_celery_compat.app.registry import _unpickle_task_v2
from svcjobs_celery_compat.app.task.binding import Binding
from svcjobs_celery_compat.app.task.context import Context
from svcjobs_celery_compat.app.task.described import R_INSTANCE, _reprtask
from svcjobs_celery_compat.app.task.eager import apply, eager_request
from svcjobs_celery_compat.app.task.options import Options
from svcjobs_celery_compat.app.task.replacing import Replacing
from svcjobs_celery_compat.app.task.retrying import Retrying
from svcjobs_celery_compat.utils.functional import mattrgetter
from svcjobs_celery_compat.utils.imports import instantiate

if TYPE_CHECKING:
    from svcjobs_celery_compat.canvas import Signature, chunks, xmap, xstarmap
    from svcjobs_celery_compat.result import AsyncResult, EagerResult

P = ParamSpec("P")
R = TypeVar("R")

TaskType = type

_of_calls = mattrgetter(
    "queue",
    "routing_key",
    "exchange",
    "priority",
    "expires",
    "serializer",
    "delivery_mode",
    "compression",
    "time_limit",
    "soft_time_limit",
    "immediate",
    "mandatory",
)


class Task(Options, Binding, Retrying, Replacing, Generic[P, R]):
    """A task. Decorate a function with ``@app.task``, or derive from this class and define :meth:`run`.

    There is one object of a task in a process. ``self.request`` tells runs apart. Type parameters are those of the
    function: ``Task[[int, int], int]``.
    """

    #: The class of a worker's requests for this task, and what decides whether a message is one for it.
    Request: Any = "svcjobs_celery_compat.worker.request:Request"
    Strategy: Any = "svcjobs_celery_compat.worker.strategy:default"

    OperationalError: ClassVar[type[Exception]] = OperationalError

    #: A class that is only there to be derived from.
    abstract: bool = True

    #: Checks the arguments of a call, by raising TypeError as the function would.
    __header__: Callable[..., Any]

    #: Set by the worker: what runs the task for a message.
    __trace__: Any = None

    #: Whether it was made of a function that gets the task, with ``bind=True``.
    gets_itself = False

    __v2_compat__ = False

    _exec_options: dict[str, Any] | None = None
    _default_request: Context | None = None
    _dump_pydantic_arguments: Any = None

    if not TYPE_CHECKING:
        # typing's own alias would turn [int] into a tuple
        __class_getitem__ = classmethod(GenericAlias)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the task here and now, as a function. Its request has no message: ``request.called_directly``."""
        if inspect.iscoroutinefunction(self.run):
            return self._awaited(args, kwargs)  # type: ignore[return-value]  # R is the coroutine then
        _module._task_stack.push(self)
        self.push_request(args=args, kwargs=kwargs)
        try:
            return self.run(*args, **kwargs)  # type: ignore[no-any-return]  # of the function
        finally:
            self.pop_request()
            _module._task_stack.pop()

    async def _awaited(self, args: Any, kwargs: Any) -> Any:
        _module._task_stack.push(self)
        self.push_request(args=args, kwargs=kwargs)
        try:
            return await self.run(*args, **kwargs)
        finally:
            self.pop_request()
            _module._task_stack.pop()

    def __reduce__(self) -> Any:
        # tasks are found by name, never carried: the function isn't in the pickle
        return _unpickle_task_v2, (self.name, type(self).__module__), None

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Do the work. To be defined."""
        raise NotImplementedError("Tasks must define the run method.")

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """Call the task by a message; :meth:`apply_async` without options."""
        return self.apply_async(args, kwargs)

    def apply_async(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: str | None = None,
        producer: Any = None,
        link: Any = None,
        link_error: Any = None,
        shadow: str | None = None,
        **options: Any,
    ) -> AsyncResult[R]:
        """Call the task by a message.

        Parameters:
            task_id: the id of the call; a new one without it.
            producer: a kombu producer to send with.
            link: a signature, or several, to be called with the result.
            link_error: the same for errors.
            shadow: another name, for logs and monitors.
            options:
                ``countdown`` (seconds) or ``eta`` (a moment): not before. ``expires`` (seconds, or a moment): not
                after. ``queue``, ``exchange``, ``routing_key``, ``priority`` (0 to 9), ``serializer``, ``compression``,
                ``headers`` (of the message), ``time_limit``, ``soft_time_limit`` (seconds), ``ignore_result``,
                ``retry`` (false: one try to reach the broker), ``retry_policy``, ``connection``, ``add_to_parent``,
                ``argsrepr``, ``kwargsrepr``: see the calling guide.

        Raises:
            TypeError: the arguments don't fit the function, or aren't a list and a mapping.
            ValueError: the soft time limit is longer than the hard one.
            kombu.exceptions.OperationalError: the broker can't be reached.
            kombu.exceptions.EncodeError: the serializer can't write the arguments.
        """
        if self.typing and hasattr(self, "__header__"):
            self.__header__(*(args or ()), **(kwargs or {}))
        app = self._get_app()
        shadow = shadow or self.shadow_name(args, kwargs, options)
        options = {**self._get_exec_options(), **options}
        options.setdefault("ignore_result", self.ignore_result)
        if self.priority is not None:
            options.setdefault("priority", self.priority)
        _check_limits(options.get("time_limit"), options.get("soft_time_limit"))
        if self._dump_pydantic_arguments is not None:
            args, kwargs = self._dump_pydantic_arguments(args, kwargs, options.get("serializer"))

        if app.conf.task_always_eager:
            eager: AsyncResult[R] = self._apply_as_sent(
                args, kwargs, producer, task_id=task_id or uuid(), link=link, link_error=link_error, **options
            )
            return eager
        result: AsyncResult[R] = app.send_task(
            self.name,
            args,
            kwargs,
            task_id=task_id,
            producer=producer,
            link=link,
            link_error=link_error,
            result_cls=self.AsyncResult,
            shadow=shadow,
            task_type=self,
            **options,
        )
        return result

    def _apply_as_sent(self, args: Any, kwargs: Any, producer: Any, **options: Any) -> Any:
        """Run eagerly, with the arguments as they would come out of a message: what can't be sent fails here, too."""
        from svcjobs_celery_compat.result import denied_join_result  # results know tasks

        app = self._get_app()
        with app.producer_or_acquire(producer) as eager_producer:
            serializer = options.get("serializer") or eager_producer.serializer or app.conf.task_serializer
            content_type, encoding, body = serialization.dumps((args, kwargs), serializer)
            args, kwargs = serialization.loads(body, content_type, encoding, accept=[content_type])
        with denied_join_result():
            return self.apply(args, kwargs, **options)

    def apply(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        link: Any = None,
        link_error: Any = None,
        task_id: str | None = None,
        retries: int | None = None,
        throw: bool | None = None,
        logfile: str | None = None,
        loglevel: Any = None,
        headers: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> EagerResult[R]:
        """Run the task here and now, as a worker would: with its retries, callbacks and handlers, and a result.

        An ``async def`` task is run to its end.

        Parameters:
            throw: raise what the task raises; the setting ``task_eager_propagates`` if None.
        """
        task = self._get_app()._tasks[self.name]  # self may be a class
        parent = _module._task_stack.top
        request = eager_request(
            task, parent, args, kwargs, link, link_error, task_id, retries, logfile, loglevel, headers, options
        )
        return apply(task, request, throw)

    def shadow_name(self, args: Any, kwargs: Any, options: Any) -> str | None:
        """Return another name for this call, in logs and monitors. Override it."""
        return None

    def AsyncResult(self, task_id: str, **kwargs: Any) -> AsyncResult[R]:
        """Return the result of the call ``task_id``."""
        return self._get_app().AsyncResult(  # type: ignore[no-any-return]  # a class of the app
            task_id, backend=self.backend, task_name=self.name, **kwargs
        )

    def signature(self, args: Any = None, *starargs: Any, **starkwargs: Any) -> Signature:
        """Return a signature: arguments and options of a call that is yet to be made."""
        from svcjobs_celery_compat.canvas import signature  # canvas knows tasks

        starkwargs.setdefault("app", self.app)
        return signature(self, args, *starargs, **starkwargs)  # type: ignore[no-any-return]

    subtask = signature  # its former name

    def s(self, *args: Any, **kwargs: Any) -> Signature:
        """Return a signature with these arguments; results of tasks before it come in front of them."""
        return self.signature(args, kwargs)

    def si(self, *args: Any, **kwargs: Any) -> Signature:
        """Return a signature that takes no further arguments."""
        return self.signature(args, kwargs, immutable=True)

    def chunks(self, it: Iterable[Any], n: int) -> chunks:
        """Return tasks for the argument lists in ``it``, of which each makes ``n`` calls."""
        from svcjobs_celery_compat.canvas import chunks

        return chunks(self.s(), it, n, app=self.app)

    def map(self, it: Iterable[Any]) -> xmap:
        """Return one task that calls this one with each item of ``it``."""
        from svcjobs_celery_compat.canvas import xmap

        return xmap(self.s(), it, app=self.app)

    def starmap(self, it: Iterable[Any]) -> xstarmap:
        """Return one task that calls this one with each argument list in ``it``."""
        from svcjobs_celery_compat.canvas import xstarmap

        return xstarmap(self.s(), it, app=self.app)

    def send_event(self, type_: str, retry: bool = True, retry_policy: Any = None, **fields: Any) -> Any:
        """Send an event of this run, such as ``task-progress``, to whoever monitors.

        Parameters:
            retry: try again while the broker can't be reached, by ``retry_policy`` or the app's.
        """
        if retry_policy is None:
            retry_policy = self.app.conf.task_publish_retry_policy
        with self.app.events.default_dispatcher(hostname=self.request.hostname) as dispatcher:
            return dispatcher.send(type_, uuid=self.request.id, retry=retry, retry_policy=retry_policy, **fields)

    def update_state(
        self, task_id: str | None = None, state: str | None = None, meta: Any = None, **kwargs: Any
    ) -> None:
        """Store a state of your own.

        Parameters:
            task_id: of another call; this one's if None.
            state: any word in capitals.
            meta: what is stored as the result.
            kwargs: of the backend's ``store_result``.
        """
        self.backend.store_result(task_id or self.request.id, meta, state, request=self.request, **kwargs)

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Called by the worker before the task runs."""

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        """Called by the worker when the task has returned."""

    def on_retry(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Called by the worker when the task is to be retried."""

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Called by the worker when the task has failed."""

    def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Called by the worker after the task has returned or failed; ``status`` is its state."""

    def add_trail(self, result: Any) -> Any:
        """Note the result of a task that this one called."""
        if self.trail:
            self.request.children.append(result)
        return result

    def start_strategy(self, app: Any, consumer: Any, **kwargs: Any) -> Any:
        """Return what a worker's consumer calls with each message of the task; :attr:`Strategy` makes it."""
        return instantiate(self.Strategy, self, app, consumer, **kwargs)

    def push_request(self, *args: Any, **kwargs: Any) -> None:
        """Begin a run: ``self.request`` is a :class:`Context` of these arguments, until :meth:`pop_request`."""
        # what isn't given is as in the run around this one
        self.request_stack.push(Context(*args, **{**vars(self.request), **kwargs}))

    def pop_request(self) -> None:
        """End a run."""
        self.request_stack.pop()

    @property
    def request(self) -> Context:
        """What the current run was called with."""
        return self._get_request()

    def _get_request(self) -> Context:
        request: Context | None = self.request_stack.top
        if request is None:
            # outside of a run there is one that stays, so that it can be prepared
            if self._default_request is None:
                self._default_request = Context()
            return self._default_request
        return request

    def _get_exec_options(self) -> dict[str, Any]:
        if self._exec_options is None:
            self._exec_options = _of_calls(self)
        return self._exec_options

    @property
    def backend(self) -> Any:
        """Where results are stored: the app's, unless one was set."""
        return self._backend if self._backend is not None else self.app.backend

    @backend.setter
    def backend(self, value: Any) -> None:
        self._backend = value

    @property
    def __name__(self) -> str:
        return type(self).__qualname__

    def __repr__(self) -> str:
        return _reprtask(self, R_INSTANCE)


def _check_limits(hard: float | None, soft: float | None) -> None:
    if hard and soft and soft > hard:
        raise ValueError("soft_time_limit must be less than or equal to time_limit")


BaseTask = Task
