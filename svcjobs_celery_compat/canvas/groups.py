"""The group: signatures called in parallel."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from kombu.utils.functional import fxrange
from kombu.utils.uuid import uuid
from vine import barrier

from svcjobs_celery_compat._state import current_app
from svcjobs_celery_compat.canvas.folding import _is_empty_group
from svcjobs_celery_compat.canvas.links import _clone_with_members, kind
from svcjobs_celery_compat.canvas.signatures import Options, Signature, maybe_signature, signature
from svcjobs_celery_compat.canvas.sizes import descend
from svcjobs_celery_compat.canvas.stamps import StampingVisitor, collected
from svcjobs_celery_compat.utils import abstract
from svcjobs_celery_compat.utils.functional import _regen, regen
from svcjobs_celery_compat.utils.objects import getitem_property
from svcjobs_celery_compat.utils.text import remove_repeating_from_task

Prepared = tuple[Any, Any, str | None]


@Signature.register_type()
class group(Signature):
    """Tasks that are sent at once; calling it returns a :class:`GroupResult` of their results, in order.

    Parameters:
        *tasks: signatures, or one list or iterator of them, or a group.
        **options: options for each task, and the ``app`` of the group.
    """

    tasks = getitem_property("kwargs.tasks", "Tasks in the group.")

    @classmethod
    def from_dict(cls, d: dict[str, Any], app: Any = None) -> Any:
        """The group that ``d`` describes."""
        tasks = d["kwargs"]["tasks"]
        members: Any = (maybe_signature(task, app=app) for task in tasks)
        sig = cls(members if isinstance(tasks, _regen) else list(members), app=app, **d["options"])
        sig.update(immutable=bool(d.get("immutable")), subtask_type=d["subtask_type"])
        return sig

    def __init__(self, *tasks: Any, **options: Any) -> None:
        members: Any = tasks
        if len(tasks) == 1:
            members = tasks[0]
            if isinstance(members, group):
                members = members.tasks
            elif isinstance(members, abstract.CallableSignature):
                members = [members.clone()]
            elif not isinstance(members, _regen):
                members = regen(members)
        app = options.pop("app", None)
        options = {**options.pop("options", {}), **options}
        super().__init__("celery.group", (), {"tasks": members}, options=options, subtask_type="group", app=app)

    def __call__(self, *partial_args: Any, **options: Any) -> Any:
        """Send the tasks, with ``partial_args`` prepended to their own arguments."""
        return self.apply_async(partial_args, **options)

    def __or__(self, other: Any) -> Any:
        if _is_empty_group(other) and not isinstance(other.tasks, _regen):
            return self
        if isinstance(other, Signature):
            from svcjobs_celery_compat.canvas.chords import _chord

            return _chord(self, body=other, app=self._app)
        return NotImplemented

    def skew(self, start: float = 1.0, stop: float | None = None, step: float = 1.0) -> Any:
        """Have each task wait ``step`` seconds longer than the one before, from ``start`` on; returns the group.

        From ``stop`` on all wait as long.
        """
        countdowns = fxrange(start, stop, step, repeatlast=True)
        for task in self.tasks:
            task.set(countdown=next(countdowns))
        return self

    # sending

    def apply_async(  # type: ignore[override]  # as Celery has it
        self,
        args: Any = None,
        kwargs: dict[str, Any] | None = None,
        add_to_parent: bool = True,
        producer: Any = None,
        link: Any = None,
        link_error: Any = None,
        **options: Any,
    ) -> Any:
        """Send the tasks; returns their :class:`GroupResult`.

        Parameters:
            args: positional arguments for each task, prepended to its own.
            kwargs: keyword arguments for each task.
            add_to_parent: the results are children of the task that sends them.
            producer: what to send them with.
            link: not possible: the results of a group are collected by a chord only.
            link_error: not possible either; link it with :meth:`link_error`.
            **options: options for each task; ``task_id`` is the id of the group.

        Raises:
            TypeError: ``link`` or ``link_error`` was given.
        """
        if link is not None:
            raise TypeError("Cannot add link to group: use a chord")
        if link_error is not None:
            raise TypeError("Cannot add link to group: do that on individual tasks")
        app = self.app
        if app.conf.task_always_eager:
            return self.apply(args, kwargs, **options)
        if not self.tasks:
            return self.freeze()
        options, group_id, root_id = self._freeze_gid(options)
        tasks = self._prepared(self.tasks, [], group_id, root_id, app)
        ready = barrier()
        results = list(self._apply_tasks(tasks, producer, app, ready, args=args, kwargs=kwargs, **options))
        result = app.GroupResult(group_id, results, ready_barrier=ready)
        ready.finalize()
        if len(results) == 1 and isinstance(results[0], app.GroupResult):  # the group that a chain in it ends with
            result = results[0]
        parent = app.current_worker_task
        if add_to_parent and parent:
            parent.add_trail(result)
        return result

    def _apply_tasks(
        self,
        tasks: Iterable[Prepared],
        producer: Any = None,
        app: Any = None,
        p: Any = None,
        add_to_parent: bool | None = None,
        chord: Any = None,
        args: Any = None,
        kwargs: dict[str, Any] | None = None,
        group_index: int | None = None,
        **options: Any,
    ) -> Iterator[Any]:
        app = app or self.app
        with app.producer_or_acquire(producer) as producer:
            size = 0
            # looks one ahead: the size has to be known before the last task is sent, as that one may end the chord
            ahead, behind = itertools.tee(tasks)
            next(ahead, None)
            for (sig, result, group_id), following in itertools.zip_longest(behind, ahead):
                body = chord if chord is not None else sig.options.get("chord")
                size += descend(sig)
                if group_id is not None and body is not None and following is None:
                    app.backend.set_chord_size(group_id, size)
                sig.apply_async(producer=producer, add_to_parent=False, chord=body, args=args, kwargs=kwargs, **options)
                if p and not p.cancelled and not p.ready:
                    p.size += 1
                    result.then(p, weak=True)
                yield result

    def apply(self, args: Any = None, kwargs: dict[str, Any] | None = None, **options: Any) -> Any:
        """Run the tasks here and now, one after the other; returns the :class:`GroupResult`."""
        app = self.app
        if not self.tasks:
            return self.freeze()
        options, group_id, root_id = self._freeze_gid(options)
        members = self._prepared(self.tasks, [], group_id, root_id, app, freeze=False)
        return app.GroupResult(group_id, [sig.apply(args, kwargs, **options) for sig, _, _ in members])

    def _prepared(
        self,
        tasks: Iterable[Any],
        partial_args: Any,
        group_id: str | None,
        root_id: str | None,
        app: Any,
        *,
        freeze: bool = True,
    ) -> Iterator[Prepared]:
        """The tasks to be sent, each with its result and the id of the group."""
        for at, task in enumerate(self._unroll_tasks(tasks, app)):
            if partial_args and not task.immutable:
                task.args = (*partial_args, *task.args)
            result = task.freeze(group_id=group_id, root_id=root_id, group_index=at) if freeze else None
            yield task, result, group_id

    # freezing

    def _freeze_gid(self, options: Options) -> tuple[Options, str, str | None]:
        """The options for each task, the id of the group, the id of the root."""
        _, _, options = self._merge(options=options)
        options = dict(options)
        options["group_id"] = group_id = options.pop("task_id", None) or uuid()
        return options, group_id, options.get("root_id")

    def freeze(
        self,
        _id: str | None = None,
        group_id: str | None = None,
        chord: Any = None,
        root_id: str | None = None,
        parent_id: str | None = None,
        group_index: int | None = None,
    ) -> Any:
        """Freeze each task; returns the :class:`GroupResult`. Groups in the group are dissolved in it."""
        return self.app.GroupResult(*self._freeze(_id, group_id, chord, root_id, parent_id, group_index))

    def _freeze(
        self,
        _id: str | None = None,
        group_id: str | None = None,
        chord: Any = None,
        root_id: str | None = None,
        parent_id: str | None = None,
        group_index: int | None = None,
    ) -> tuple[str, Any]:
        options = self.options
        options["task_id"] = own_id = options.get("task_id") or _id or uuid()
        if group_id:
            options["group_id"] = group_id
        if chord:
            options["chord"] = chord
        if group_index is not None:
            options["group_index"] = group_index
        root_id = options.setdefault("root_id", root_id)
        parent_id = options.setdefault("parent_id", parent_id)
        freeze = partial(self._freeze_member, group_id=group_id, chord=chord, root_id=root_id, parent_id=parent_id)
        members = enumerate(self._unroll_tasks(self.tasks, self._app))
        if isinstance(self.tasks, _regen):  # not run until it is asked for
            frozen, again = itertools.tee(freeze(task, at) for at, task in members)
            self.tasks = _regen((task for task, _ in again), ahead=False)
            return own_id, _regen((result for _, result in frozen), ahead=False)
        pairs = [freeze(task, at) for at, task in members]
        self.tasks = [task for task, _ in pairs]
        return own_id, [result for _, result in pairs]

    def _freeze_member(self, task: Any, at: int, **place: Any) -> tuple[Any, Any]:
        return task, task.freeze(group_index=at, **place)

    def _unroll_tasks(self, tasks: Iterable[Any], app: Any = None) -> Iterator[Any]:
        """Clones of the tasks, those of groups in the group among them."""
        for task in tasks:
            sig = maybe_signature(task, app=app, clone=True)
            if isinstance(sig, group):
                yield from sig._unroll_tasks(sig.tasks, app)
            elif kind(sig) != "chain" or sig.tasks:
                yield sig

    # links, stamps

    def set_immutable(self, immutable: bool) -> None:
        """Have each task take no more arguments, or take them again."""
        for task in self.tasks:
            task.set_immutable(immutable)

    def link(self, sig: Any) -> Any:
        """Link ``sig``, without arguments, to the first task: the results of a group are collected by a chord only."""
        callback = _clone_with_members(maybe_signature(sig)).set(immutable=True)
        return self.tasks[0].link(callback)

    def link_error(self, sig: Any) -> Any:
        """Link ``sig`` to each task, so that it is called for each that fails."""
        errback = maybe_signature(sig)
        return tuple(child.link_error(errback.clone()) for child in self.tasks)

    def stamp(self, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any) -> Any:
        """Stamp each task, and what is linked to the group."""
        added = None if visitor is None else visitor.on_group_start(self, **headers) or {}
        headers = collected(headers, added, None, append_stamps)
        self.stamp_links(visitor, append_stamps, **headers)
        stamp_members(self.tasks, visitor, append_stamps, headers)
        if visitor is not None:
            visitor.on_group_end(self, **headers)

    # what it is made of

    def _own_app(self) -> Any:
        if self._app is not None or not self.tasks:
            return self._app
        first = self.tasks[0]
        return first._own_app() if isinstance(first, Signature) else getattr(first, "app", None)

    @property
    def app(self) -> Any:
        """The app of the group, or of its first task."""
        own = self._own_app()
        return current_app if own is None else own

    def __len__(self) -> int:
        return len(self.tasks)

    def __repr__(self) -> str:
        if not self.tasks:
            return "group(<empty>)"
        return remove_repeating_from_task(self.tasks[0]["task"], f"group({self.tasks!r})")


def stamp_members(tasks: Any, visitor: StampingVisitor | None, append_stamps: bool, headers: Options) -> None:
    """Stamp each of ``tasks``; those of an iterator when they are asked for."""
    if isinstance(tasks, _regen):
        tasks.map(partial(_stamp_regen_task, visitor=visitor, append_stamps=append_stamps, **headers))
        return
    for task in tasks:
        maybe_signature(task).stamp(visitor, append_stamps, **headers)


def _stamp_regen_task(task: Any, visitor: StampingVisitor | None, append_stamps: bool, **headers: Any) -> Any:
    """Stamp ``task``; returns it."""
    task = maybe_signature(task)
    task.stamp(visitor, append_stamps, **headers)
    return task


def _maybe_group(tasks: Any, app: Any) -> Any:
    """What was given as the header of a chord, as a list of tasks: of a group or chain its tasks."""
    if isinstance(tasks, dict):
        tasks = Signature.from_dict(tasks) if not isinstance(tasks, abstract.CallableSignature) else tasks
    if kind(tasks) in ("group", "chain"):
        return tasks.tasks
    if isinstance(tasks, abstract.CallableSignature):
        return [tasks]
    if isinstance(tasks, _regen):
        return tasks
    members = (_member(task, app) for task in tasks)
    return list(members) if isinstance(tasks, (list, tuple)) else regen(members)


def _member(task: Any, app: Any) -> Any:
    """A clone of a signature, or one of a task without arguments."""
    if isinstance(task, abstract.CallableTask):
        return signature(task, app=app)
    return maybe_signature(task, app=app, clone=True)
