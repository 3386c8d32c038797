"""How a task asks to be run again."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from svcjobs_celery_compat.exceptions import MaxRetriesExceededError, Reject, Retry
from svcjobs_celery_compat.utils.serialization import raise_with_context


class Retrying:
    """The part of :class:`~svcjobs_celery_compat.app.task.Task` that makes retries."""

    MaxRetriesExceededError = MaxRetriesExceededError

    #: Retries before the task fails for good; None: without end.
    max_retries: int | None = 3

    #: Seconds until a retry that names no time itself.
    default_retry_delay: float = 3 * 60

    if TYPE_CHECKING:
        name: str | None
        app: Any
        request: Any
        run: Callable[..., Any]
        signature: Callable[..., Any]

    def retry(
        self,
        args: Any = None,
        kwargs: Any = None,
        exc: Any = None,
        throw: bool = True,
        eta: Any = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> Any:
        """Send the task again, and leave this run.

        Parameters:
            args, kwargs: other arguments; without them, those of this run.
            exc: the reason. It is raised when there are no retries left, and stored with the state RETRY.
            throw: raise; else :exc:`Retry` is returned, to be raised by the caller.
            eta: the earliest moment of the next run.
            countdown: seconds until the next run; :attr:`default_retry_delay` without it.
            max_retries: instead of the attribute.
            options: of ``apply_async``.

        Raises:
            Retry: always, unless ``throw`` is false. It is no failure.
            MaxRetriesExceededError: no retries are left, and there is no ``exc``.
            Reject: the retry couldn't be sent.
        """
        request = self.request
        retries = request.retries + 1
        if max_retries is not None:
            request._max_retries = max_retries
        else:
            max_retries = self.max_retries

        if request.called_directly:  # a function call has no message that could be sent again
            raise_with_context(exc or Retry("Task can be retried", None))

        if not eta and countdown is None:
            countdown = self.default_retry_delay
        again = self.signature_from_request(
            request, args, kwargs, countdown=countdown, eta=eta, retries=retries, **options
        )
        if max_retries is not None and retries > max_retries:
            if exc:
                raise_with_context(exc)
            raise self.MaxRetriesExceededError(
                f"Can't retry {self.name}[{request.id}] args:{again.args} kwargs:{again.kwargs}",
                task_args=again.args,
                task_kwargs=again.kwargs,
            )

        ret = Retry(exc=exc, when=eta or countdown, is_eager=request.is_eager, sig=again)
        if not request.is_eager:
            self._send_retry(again)
        if throw:
            raise ret
        return ret

    def _send_retry(self, again: Any) -> None:
        try:
            if self.request._follow is not None:
                self.request._follow(again)
            else:
                again.apply_async()
        except Exception as error:
            # else the message would be acknowledged, and the task be gone
            raise Reject(error, requeue=False) from error

    def signature_from_request(
        self,
        request: Any = None,
        args: Any = None,
        kwargs: Any = None,
        queue: Any = None,
        **extra_options: Any,
    ) -> Any:
        """Return a signature that runs the task of ``request`` again: the same id, and the queue that it came from.

        Parameters:
            request: the current one, if None.
            args, kwargs: other arguments. With one of them given, the other one is as in the request, without what
                would then be given twice.
            queue: another queue.
            extra_options: over those of the request.
        """
        request = self.request if request is None else request
        args, kwargs = self._arguments_again(request, args, kwargs)
        options = {**request.as_execution_options(), "ignore_result": self._ignores_result(request), **extra_options}
        delivery = request.delivery_info or {}
        if (priority := delivery.get("priority")) is not None:
            options.setdefault("priority", priority)
        if queue:
            options["queue"] = queue
        else:
            exchange, routing_key = delivery.get("exchange"), delivery.get("routing_key")
            if exchange == "" and routing_key:
                options["queue"] = routing_key
            else:
                options |= delivery
        return self.signature(args, kwargs, **options)

    subtask_from_request = signature_from_request  # its former name

    def _ignores_result(self, request: Any) -> Any:
        from svcjobs_celery_compat.app.task import get_actual_ignore_result

        return get_actual_ignore_result(self, request)

    def _arguments_again(self, request: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
        if args is None and kwargs is None:
            return request.args, request.kwargs
        if kwargs is None:
            return args, self._without_bound(args, request.kwargs)
        if args is None:
            return self._with_replaced(request.args, kwargs)
        return args, kwargs

    def _positional(self, args: Any) -> list[inspect.Parameter]:
        """The parameters that ``args`` fill one each; none if they don't fit."""
        try:
            signature = inspect.signature(self.run)
            signature.bind_partial(*args)
        except (TypeError, ValueError):
            return []
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return [parameter for parameter in signature.parameters.values() if parameter.kind in kinds][: len(args)]

    def _without_bound(self, args: Any, kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
        bound = {
            parameter.name
            for parameter in self._positional(args)
            if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        }
        return {name: value for name, value in (kwargs or {}).items() if name not in bound}

    def _with_replaced(self, args: Any, kwargs: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        replaced, rest = list(args or ()), dict(kwargs)
        for index, parameter in enumerate(self._positional(replaced)):
            if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD and parameter.name in rest:
                replaced[index] = rest.pop(parameter.name)
        return tuple(replaced), rest
