"""The chain: signatures called one after the other, each with the result of the one before."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from svcjobs_celery_compat._state import current_app
from svcjobs_celery_compat.canvas.folded import folded, is_long
from svcjobs_celery_compat.canvas.folding import _fold_chain, _merge_chain_step
from svcjobs_celery_compat.canvas.signatures import Options, Signature, maybe_signature
from svcjobs_celery_compat.canvas.stamps import StampingVisitor, collected
from svcjobs_celery_compat.canvas.steps import Steps, first_of, flat_steps
from svcjobs_celery_compat.result import allow_join_result
from svcjobs_celery_compat.states import IGNORED, REJECTED
from svcjobs_celery_compat.utils.collections import ChainMap
from svcjobs_celery_compat.utils.functional import is_list, maybe_list, regen
from svcjobs_celery_compat.utils.objects import getitem_property
from svcjobs_celery_compat.utils.text import remove_repeating_from_task


def _prepare_chain_from_options(options: Options, tasks: list[Any], use_link: bool) -> Any:
    """The options that the first step is sent with: ``chain`` holds the steps that are left, the next one last.

    The steps of the chain come before those that the options have already, as when the chain is the body of a chord
    that is a step of a chain itself.
    """
    if use_link:  # the steps are linked to each other instead
        return ChainMap({"chain": None}, options)
    return ChainMap({"chain": [*(options.get("chain") or ()), *tasks]}, options)


@Signature.register_type(name="chain")
class _chain(Signature):
    """A chain as it was written; :class:`chain` joins its steps."""

    tasks = getitem_property("kwargs.tasks", "Steps of the chain.")

    @classmethod
    def from_dict(cls, d: dict[str, Any], app: Any = None) -> Any:
        """The chain that ``d`` describes."""
        tasks = [maybe_signature(task, app=app) for task in d["kwargs"]["tasks"] or ()]
        sig = _chain.__new__(cls)
        _chain.__init__(sig, tasks, app=app, **d["options"])
        sig.update(args=tuple(d.get("args") or ()), immutable=bool(d.get("immutable")), subtask_type=d["subtask_type"])
        return sig

    def __init__(self, *tasks: Any, **options: Any) -> None:
        steps = regen(tasks[0]) if len(tasks) == 1 and is_list(tasks[0]) else tasks
        app = options.pop("app", None)
        self._use_link = options.pop("use_link", None)
        super().__init__("celery.chain", (), {"tasks": steps}, options=options, subtask_type="chain", app=app)
        self._frozen: tuple[list[Any], list[Any]] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Send the chain; returns the result of its last step, None for a chain of none."""
        return self.apply_async(args, kwargs) if self.tasks else None

    def __or__(self, other: Any) -> Any:
        from svcjobs_celery_compat.canvas.groups import group

        steps = self.unchain_tasks()
        if not steps and isinstance(other, group) and len(other.tasks) > 1:
            return other
        if not steps and isinstance(other, _chain):
            return _fold_chain(other.unchain_tasks())
        if _merge_chain_step(steps, other, clone_other=False) is NotImplemented:
            return NotImplemented
        return type(self)._of(steps, self._app)

    @classmethod
    def _of(cls, steps: list[Any], app: Any = None, **options: Any) -> Any:
        """A chain of these very steps."""
        sig = _chain.__new__(_chain if cls is chain else cls)
        type(sig).__init__(sig, steps, app=app, **options)
        return sig

    def clone(self, *args: Any, **kwargs: Any) -> Any:
        """A copy of the chain and of its steps."""
        copy = super().clone(*args, **kwargs)
        copy._use_link = self._use_link
        copy.tasks = [maybe_signature(task, app=self._app, clone=True) for task in copy.tasks]
        return copy

    def unchain_tasks(self) -> list[Any]:
        """Clones of the steps, which have the links of the chain: the last its callbacks, each its errbacks."""
        tasks = [maybe_signature(task, clone=True) for task in self.tasks]
        for errback in maybe_list(self.options.get("link_error")) or ():
            for task in tasks:
                task.link_error(deepcopy(errback))
        for callback in maybe_list(self.options.get("link")) or ():
            if tasks:
                tasks[-1].link(deepcopy(callback))
        return tasks

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:  # type: ignore[override]  # as Celery has it
        """Send the first step; returns the result of the last, whose ``parent`` is that of the one before.

        Parameters:
            args: positional arguments for the first step, prepended to its own.
            kwargs: keyword arguments for the first step.
            **options: ``task_id`` and ``link`` are for the last step, ``link_error`` for each, others for the first.
        """
        app = self.app
        if app.conf.task_always_eager:
            with allow_join_result():
                return self.apply(args, kwargs, **options)
        return self.run(args, kwargs, app=app, **{**self.options, **options})

    def run(
        self,
        args: Any = None,
        kwargs: dict[str, Any] | None = None,
        group_id: str | None = None,
        chord: Any = None,
        task_id: str | None = None,
        link: Any = None,
        link_error: Any = None,
        publisher: Any = None,
        producer: Any = None,
        root_id: str | None = None,
        parent_id: str | None = None,
        app: Any = None,
        group_index: int | None = None,
        **options: Any,
    ) -> Any:
        """Send the first step; parameters as for :meth:`apply_async`, with the place of the chain in its canvas."""
        app = app or self.app
        use_link = self._links_steps(app)
        tasks, results = self.prepare_steps(
            self._first_args(args),
            kwargs or {},
            self.tasks,
            root_id,
            parent_id,
            link_error,
            app,
            task_id,
            group_id,
            chord,
            group_index=group_index,
        )
        if not results:
            return None
        if link:
            tasks[0].extend_list_option("link", link)
        first = tasks.pop()
        if producer or publisher:
            options["producer"] = producer or publisher
        sent = first.apply_async(**self._with_rest(options, tasks, use_link, app))
        # with one step, what was sent is the chain: a group for example knows more than its frozen result
        return results[0] if tasks else sent

    def _with_rest(self, options: Options, tasks: list[Any], use_link: bool, app: Any) -> Any:
        """The options that the first step is sent with; of a long chain they hold the next steps only."""
        prepared = _prepare_chain_from_options(options, tasks, use_link)
        if use_link or not is_long(prepared["chain"], app):
            return prepared
        return ChainMap({"chain": folded(prepared["chain"], app)}, prepared)

    def _links_steps(self, app: Any) -> bool:
        return bool(app.conf.task_protocol == 1 if self._use_link is None else self._use_link)

    def _first_args(self, args: Any) -> Any:
        return (*args, *self.args) if args and not self.immutable else self.args

    def freeze(
        self,
        _id: str | None = None,
        group_id: str | None = None,
        chord: Any = None,
        root_id: str | None = None,
        parent_id: str | None = None,
        group_index: int | None = None,
    ) -> Any:
        """Freeze each step; returns the result of the last, with parents. Its id is that of the chain."""
        _, results = self._frozen = self.prepare_steps(
            self.args,
            {},
            self.tasks,
            root_id,
            parent_id,
            None,
            self.app,
            _id,
            group_id,
            chord,
            clone=False,
            group_index=group_index,
        )
        self.args = ()  # the first step has them now
        return results[0]

    _freeze = freeze

    def prepare_steps(
        self,
        args: Any,
        kwargs: dict[str, Any],
        tasks: Any,
        root_id: str | None = None,
        parent_id: str | None = None,
        link_error: Any = None,
        app: Any = None,
        last_task_id: str | None = None,
        group_id: str | None = None,
        chord_body: Any = None,
        clone: bool = True,
        from_dict: Any = Signature.from_dict,
        group_index: int | None = None,
    ) -> tuple[list[Any], list[Any]]:
        """The steps ready to be sent, and their results, both from last to first.

        Parameters:
            args: positional arguments for the first step.
            kwargs: keyword arguments for the first step.
            tasks: the steps as written.
            root_id: the id of the task that all began with.
            parent_id: not used; the worker that sends a step says what called it.
            link_error: errbacks for each step.
            app: the app.
            last_task_id: the id of the last step, unless it has one.
            group_id: the group that the chain is in: its last step is the member.
            chord_body: the body of the chord that the chain is in; its last step reports to it.
            clone: copy the steps; else they are frozen in place.
            from_dict: makes signatures of dictionaries.
            group_index: the place of the chain in its group.
        """
        app = app or self.app
        steps = Steps(
            app=app,
            root_id=root_id,
            link_error=link_error,
            last_task_id=last_task_id,
            group_id=group_id,
            chord_body=chord_body,
            group_index=group_index,
            clone=clone,
            use_link=self._links_steps(app),
        )
        prepared, results = steps.prepare(tasks, args, kwargs, from_dict)
        if results:
            self.id = results[0].id
        return prepared, results

    def apply(self, args: Any = None, kwargs: dict[str, Any] | None = None, **options: Any) -> Any:
        """Run the steps here and now; returns the result of the last that ran.

        Raises:
            Exception: what a step raised, unless it was the last.
        """
        options = {**self.options, **options}
        for_last: Options = {key: options.pop(key) for key in ("link", "task_id") if key in options}
        steps = flat_steps(self.tasks, self.app)
        args, kwargs, last = self._first_args(args), kwargs, None
        for at, step in enumerate(steps):
            step_options = {**options, **for_last} if at == len(steps) - 1 else options
            result = step.clone().apply(args, kwargs, **step_options)
            first_of(result).parent, last = last, result
            if getattr(result, "state", None) in (IGNORED, REJECTED):  # a group has none
                break
            if at < len(steps) - 1:
                args, kwargs = (result.get(),), None
        return last

    def stamp(self, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any) -> Any:
        """Stamp each step, and what is linked to the chain."""
        added = None if visitor is None else visitor.on_chain_start(self, **headers) or {}
        headers = collected(headers, added, None, append_stamps)
        self.stamp_links(visitor, append_stamps, **headers)
        for task in self.tasks:
            maybe_signature(task).stamp(visitor, append_stamps, **headers)
        if visitor is not None:
            visitor.on_chain_end(self, **headers)

    def _own_app(self) -> Any:
        first = next(iter(self.tasks), None) if self._app is None else None
        return first._own_app() if isinstance(first, Signature) else self._app

    @property
    def app(self) -> Any:
        """The app of the chain, or of its first step."""
        own = self._own_app()
        return current_app if own is None else own

    def __repr__(self) -> str:
        if not self.tasks:
            return f"<{type(self).__name__}@{id(self):#x}: empty>"
        return remove_repeating_from_task(self.tasks[0]["task"], " | ".join(repr(task) for task in self.tasks))


class chain(_chain):
    """Tasks called one after the other, each with the result of the one before as its first argument.

    ``chain(a, b, c)`` is ``a | b | c``: chains in it are joined, a group that is followed by a task becomes a chord. So
    what is returned may be a chord, or a group. With options, as in ``chain(a, b, task_id=…)``, steps stay as they are.

    Parameters:
        *tasks: signatures, or one list or iterator of them.
        **options: options for the chain, and its ``app``.
    """

    def __new__(cls, *tasks: Any, **kwargs: Any) -> Any:
        if not kwargs and tasks and (len(tasks) != 1 or is_list(tasks[0])):
            folded = _fold_chain(tasks[0] if len(tasks) == 1 else tasks)
            if cls is chain or not isinstance(folded, _chain):
                return folded
        return super().__new__(cls)
