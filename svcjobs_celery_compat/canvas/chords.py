"""The chord: signatures called in parallel, and a body called with the list of their results."""

from __future__ import annotations

from copy import deepcopy
from functools import cached_property
from typing import Any

from svcjobs_celery_compat import canvas
from svcjobs_celery_compat._state import current_app
from svcjobs_celery_compat.canvas.folded import folded, is_long
from svcjobs_celery_compat.canvas.folding import _fold_chain, maybe_unroll_group
from svcjobs_celery_compat.canvas.groups import _maybe_group, group, stamp_members
from svcjobs_celery_compat.canvas.links import (
    _clone_with_members,
    _link_error_to_body_tasks,
    _strip_chord_header_links,
    header_of,
    kind,
)
from svcjobs_celery_compat.canvas.signatures import Options, Signature, maybe_signature
from svcjobs_celery_compat.canvas.sizes import descend
from svcjobs_celery_compat.canvas.stamps import StampingVisitor, collected
from svcjobs_celery_compat.canvas.steps import first_of, flat_steps, split_bodies
from svcjobs_celery_compat.result import allow_join_result
from svcjobs_celery_compat.utils.functional import maybe_list
from svcjobs_celery_compat.utils.objects import getitem_property
from svcjobs_celery_compat.utils.text import remove_repeating_from_task

#: options of a chord that say where it is in its canvas, or when its header starts: not for header tasks, not for both
_BODY_ONLY = ("chain", "chord", "group_id", "group_index", "link", "link_error", "task_id")
_HEADER_ONLY = ("countdown", "eta")


@Signature.register_type(name="chord")
class _chord(Signature):
    """Tasks in parallel, the header, and a body that is called with the list of their results.

    Parameters:
        header: signatures as for :class:`group`.
        body: the signature that is called with their results. A result backend is needed for that.
        task: not to be changed.
        args: positional arguments for each header task.
        kwargs: keyword arguments for each header task.
        app: the app.
        **options: ``interval`` and ``max_retries``, for backends that have to look whether the header is done; and
            options for header and body.
    """

    tasks = getitem_property("kwargs.header", "Tasks in the header, or the group of them.")
    body = getitem_property("kwargs.body", "What is called with their results.")

    @classmethod
    def from_dict(cls, d: dict[str, Any], app: Any = None) -> Any:
        """The chord that ``d`` describes."""
        arguments = dict(d["kwargs"])
        header, body = arguments.pop("header", None), arguments.pop("body", None)
        sig = cls(header, body, args=tuple(d.get("args") or ()), kwargs=arguments, app=app, **d["options"])
        sig.update(immutable=bool(d.get("immutable")), subtask_type=d["subtask_type"])
        return sig

    def __init__(
        self,
        header: Any,
        body: Any = None,
        task: str = "celery.chord",
        args: Any = None,
        kwargs: dict[str, Any] | None = None,
        app: Any = None,
        **options: Any,
    ) -> None:
        arguments = {"kwargs": {}} if kwargs is None else kwargs
        super().__init__(
            task,
            args or (),
            {**arguments, "header": _maybe_group(header, app), "body": maybe_signature(body, app=app)},
            options=options,
            subtask_type="chord",
            app=app,
        )

    def __call__(self, body: Any = None, **options: Any) -> Any:
        """Send the header, with ``body`` as the body if it is given."""
        return self.apply_async((), {"body": body} if body else {}, **options)

    def __or__(self, other: Any) -> Any:
        member = maybe_unroll_group(other) if isinstance(other, group) else other
        if isinstance(member, Signature) and kind(member) != "group" and kind(other) != "chain":
            extended = self.clone()
            extended.body = extended.body | member
            return extended
        if kind(other) == "chain" and kind(self.body) == "group":
            return _fold_chain([self, other])
        return super().__or__(other)

    def clone(self, *args: Any, **kwargs: Any) -> Any:
        """A copy of the chord and of its body."""
        copy = super().clone(*args, **kwargs)
        body = copy.kwargs.get("body")
        if body is not None:
            copy.kwargs["body"] = maybe_signature(body, clone=True)
        return copy

    # freezing

    def freeze(
        self,
        _id: str | None = None,
        group_id: str | None = None,
        chord: Any = None,
        root_id: str | None = None,
        parent_id: str | None = None,
        group_index: int | None = None,
    ) -> Any:
        """Freeze header and body; returns the result of the body, the first of whose parents is that of the header."""
        if not isinstance(self.tasks, group):
            self.tasks = group(self.tasks, app=self.app)
        header = self.tasks.freeze(parent_id=parent_id, root_id=root_id, chord=self.body)
        self.id = self.tasks.id
        if self.body is None:
            return None
        if isinstance(self.body, Signature) and self.body._own_app() is None:
            self.body._app = self.app
        body = self.body.freeze(_id, root_id=root_id, chord=chord, group_id=group_id, group_index=group_index)
        first_of(body).parent = header
        return body

    _freeze = freeze

    # sending

    def apply_async(  # type: ignore[override]  # as Celery has it
        self,
        args: Any = None,
        kwargs: dict[str, Any] | None = None,
        task_id: str | None = None,
        producer: Any = None,
        publisher: Any = None,
        connection: Any = None,
        router: Any = None,
        result_cls: Any = None,
        **options: Any,
    ) -> Any:
        """Send the header; returns the result of the body, whose ``parent`` is that of the header.

        Parameters:
            args: positional arguments for each header task, prepended to its own.
            kwargs: keyword arguments for each header task; ``body`` is another body.
            task_id: the id of the body.
            producer: not used, nor are ``publisher``, ``connection``, ``router`` and ``result_cls``.
            **options: ``countdown`` and ``eta`` are for the header, ``link`` and ``link_error`` for the body, the
                others for both, as far as they make sense.
        """
        kwargs = dict(kwargs or {})
        args = (*args, *self.args) if args and not self.immutable else self.args
        body = kwargs.pop("body", None) or self.body
        kwargs = {**(self.kwargs.get("kwargs") or {}), **kwargs}
        merged = {**self.options, **{k: v for k, v in options.items() if v is not None or k not in self.options}}
        callbacks = {key: merged.pop(key) for key in ("link", "link_error") if key in merged}
        delay = {key: merged.pop(key) for key in _HEADER_ONLY if merged.get(key) is not None}
        body = self._body_for(body, options, callbacks)
        app = self._get_app(body)
        if isinstance(self.tasks, group):
            header = self.tasks.clone()
        else:
            header = group(self.tasks, app=app, task_id=self.options.get("task_id") or canvas.uuid())
        if app.conf.task_always_eager:
            with allow_join_result():
                return self.apply(args, kwargs, body=body, task_id=task_id, **self._plain(options))
        own_id = merged.pop("task_id", None)
        if delay:
            merged["header_delay"] = delay
        return self.run(header, body, args, task_id=task_id or own_id, kwargs=kwargs, **merged)

    @staticmethod
    def _plain(options: Options) -> Options:
        """The options without the callbacks, which the body has by now."""
        return {key: value for key, value in options.items() if key not in ("link", "link_error")}

    def _body_for(self, body: Any, options: Options, callbacks: Options) -> Any:
        """A clone of the body, with the options of the call and its callbacks."""
        body = _clone_with_members(maybe_signature(body).clone(**self._body_options(options)))
        self._add_body_callbacks(body, callbacks)
        return body

    @staticmethod
    def _body_options(options: Options) -> Options:
        """Those of the options that are the body's: when the header starts, and with what callbacks, is not."""
        return {k: v for k, v in options.items() if k not in (*_HEADER_ONLY, "link", "link_error", "parent_id")}

    @staticmethod
    def _add_body_callbacks(body: Any, options: Options) -> None:
        """Link the callbacks in ``options`` to the body, as :meth:`link` and :meth:`link_error` would."""
        for callback in maybe_list(options.get("link")) or ():
            if isinstance(body, group) and not body.tasks:
                body.append_to_list_option("link", callback)
            else:
                body.link(callback)
        for errback in maybe_list(options.get("link_error")) or ():
            if isinstance(body, group):
                _link_error_to_body_tasks(body, errback)
            else:
                body.append_to_list_option("link_error", errback)

    def run(
        self,
        header: Any,
        body: Any,
        partial_args: Any,
        app: Any = None,
        interval: float | None = None,
        countdown: float = 1,
        max_retries: int | None = None,
        eager: bool = False,
        task_id: str | None = None,
        kwargs: dict[str, Any] | None = None,
        header_delay: Options | None = None,
        **options: Any,
    ) -> Any:
        """Send ``header`` so that ``body`` is called with its results.

        Parameters:
            header: the group.
            body: the body, which is frozen in place.
            partial_args: positional arguments for each header task.
            app: the app.
            interval: seconds between two looks whether the header is done, where the backend has to look.
            countdown: seconds before the first look.
            max_retries: how often to look; by default for ever.
            eager: run header and body here and now.
            task_id: the id of the body.
            kwargs: keyword arguments for each header task.
            header_delay: ``countdown`` or ``eta`` for each header task.
            **options: options for the body; the header has those that don't say where the chord is in its canvas.
        """
        app = app or self._get_app(body)
        group_id = header.options.get("task_id") or canvas.uuid()
        root_id = options.get("root_id") or body.options.get("root_id")
        options = {**self._plain_own(), **options}
        if eager:
            return self.apply(partial_args, kwargs, body=body, task_id=task_id)
        body.options.update(self._without(options, "task_id", "add_to_parent", "parent_id"))
        result = body.freeze(task_id or canvas.uuid(), group_id=group_id, root_id=root_id)
        published = self._small(body)
        own_id, members = header._freeze(group_id, chord=published, root_id=root_id)
        if not header.tasks:
            header_result = app.GroupResult(own_id, members)
            body.delay([])
        else:
            app.backend.apply_chord(
                (own_id, members), published, interval=interval, countdown=countdown, max_retries=max_retries
            )
            for_header = {**self._without(options, *_BODY_ONLY), **(header_delay or {})}
            header_result = header.apply_async(partial_args, kwargs, task_id=group_id, **for_header)
        result.parent = header_result
        return result

    @staticmethod
    def _without(options: Options, *names: str) -> Options:
        return {key: value for key, value in options.items() if key not in names}

    def _plain_own(self) -> Options:
        return self._without(self.options, "task_id", "interval", "max_retries", "link", "link_error", *_HEADER_ONLY)

    def _small(self, body: Any) -> Any:
        """The body as each header task carries it."""
        if kind(body) == "chain" and not body._links_steps(body.app):
            body.tasks = split_bodies(flat_steps(body.tasks, body.app))
            _strip_chord_header_links(body)
            if is_long(body.tasks, body.app):
                # what is linked to the body is linked to its steps, as when it is sent, before they are stored
                for errback in maybe_list(body.options.get("link_error")) or ():
                    for step in body.tasks:
                        step.link_error(deepcopy(errback))
                body.tasks[-1].extend_list_option("link", body.options.pop("link", None) or [])
                body.tasks = folded(body.tasks[::-1], body.app)[::-1]
        _strip_chord_header_links(body)
        return body

    def apply(
        self,
        args: Any = None,
        kwargs: dict[str, Any] | None = None,
        propagate: bool = True,
        body: Any = None,
        **options: Any,
    ) -> Any:
        """Run header and body here and now; returns the result of the body.

        Parameters:
            args: positional arguments for each header task.
            kwargs: keyword arguments for each header task.
            propagate: raise what a header task raised; else its exception is in the list that the body gets.
            body: another body.
            **options: options for the body.
        """
        body = self.body if body is None else body
        header = self.tasks if isinstance(self.tasks, group) else group(self.tasks, app=self.app)
        args = (*args, *self.args) if args and not self.immutable else self.args
        done = header.apply(args, {**(self.kwargs.get("kwargs") or {}), **(kwargs or {})})
        return body.apply(args=(done.get(propagate=propagate),), **options)

    # size

    _descend = staticmethod(descend)

    def __length_hint__(self) -> int:
        return self._descend(self.tasks)

    # links, stamps

    def link(self, callback: Any) -> Any:
        """Link ``callback`` to the body; returns it."""
        self.body.link(callback)
        return callback

    def link_error(self, errback: Any) -> Any:
        """Link ``errback`` to the body, which fails when a header task does; returns it.

        With ``task_allow_error_cb_on_chord_header`` each header task gets it, without arguments, too. Without it only
        the chords among them do.
        """
        if self.app.conf.task_allow_error_cb_on_chord_header:
            for task in header_of(self):
                maybe_signature(task).link_error(maybe_signature(errback).clone(immutable=True))
        else:
            for task in header_of(self):
                if kind(task) == "chord":  # its body reports to nobody if its header fails
                    maybe_signature(task).link_error(errback)
        self.body.link_error(errback)
        return errback

    def set_immutable(self, immutable: bool) -> None:
        """Have the header tasks and the body take no more arguments, or take them again."""
        for task in self.tasks:
            task.set_immutable(immutable)

    def stamp(self, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any) -> Any:
        """Stamp the header tasks and the body."""
        added = None if visitor is None else visitor.on_chord_header_start(self, **headers) or {}
        headers = collected(headers, added, None, append_stamps)
        self.stamp_links(visitor, append_stamps, **headers)
        tasks = self.tasks.tasks if isinstance(self.tasks, group) else self.tasks
        stamp_members(tasks, visitor, append_stamps, headers)
        if visitor is not None:
            visitor.on_chord_header_end(self, **headers)
        if self.body is None:
            return
        added = None if visitor is None else visitor.on_chord_body(self, **headers) or {}
        self.body.stamp(visitor, append_stamps, **collected(headers, added, None, append_stamps))

    # what it is made of

    @cached_property
    def app(self) -> Any:
        """The app of the chord, or of its first header task, or of its body."""
        return self._get_app(self.body)

    def _get_app(self, body: Any = None) -> Any:
        own = self._app
        if own is None:
            tasks = self.tasks.tasks if isinstance(self.tasks, group) else self.tasks
            own = self._app_of(next(iter(tasks), None))
        if own is None and body is not None:
            own = body._own_app() if isinstance(body, Signature) else getattr(body, "_app", None)
        return current_app if own is None else own

    def _own_app(self) -> Any:
        app = self._get_app(self.body)
        return None if app is current_app else app

    @staticmethod
    def _app_of(task: Any) -> Any:
        """The app that a header task has of its own, if any."""
        if isinstance(task, Signature):
            return task._own_app()
        return None if task is None or isinstance(task, dict) else getattr(task, "app", None)

    def __repr__(self) -> str:
        if not self.body:
            return f"<chord without body: {self.tasks!r}>"
        if kind(self.body) == "chain":
            first, *rest = self.body.tasks
            calls = " | ".join([first.reprcall(self.tasks), *map(repr, rest)])
            return remove_repeating_from_task(first["task"], f"%({calls})")
        return "%" + remove_repeating_from_task(self.body["task"], self.body.reprcall(self.tasks))


#: the documented name
chord = _chord
