"""What the parts of a canvas pass on to each other: errbacks, options, and the body that a header task reports to."""

from __future__ import annotations

from typing import Any

from svcjobs_celery_compat.canvas.signatures import Signature, maybe_signature

#: options of a chain that are for its run, not for the tasks in it
_CHAIN_RUN_OPTIONS = frozenset(
    {"chord", "group_id", "group_index", "link", "link_error", "parent_id", "root_id", "task_id"}
)


def kind(sig: Any) -> str | None:
    """What canvas a signature, or a dictionary of one, is: "chain", "group", "chord", or None for a plain task."""
    if not isinstance(sig, dict):
        return None
    known: Any = Signature.TYPES.get(sig.get("subtask_type") or "")
    return next(
        (name for name in ("chain", "group", "chord") if known and issubclass(known, Signature.TYPES[name])), None
    )


def header_of(chord: Any) -> list[Any]:
    """The tasks in the header of a chord, which is a list or a group."""
    tasks = chord.tasks
    if isinstance(tasks, dict):
        return list(tasks["kwargs"]["tasks"])
    return list(tasks)


def _first_task_options(chain_: Any) -> dict[str, Any]:
    """The options of a chain that its first task is sent with."""
    return {key: value for key, value in chain_.options.items() if key not in _CHAIN_RUN_OPTIONS}


def _is_chain_led_by_task(body: Any) -> bool:
    """Whether ``body`` is a chain that can be taken apart: one that begins with a group becomes a chord instead."""
    return kind(body) == "chain" and bool(body.tasks) and kind(body.tasks[0]) != "group"


def _clear_chord_option(sig: Any) -> None:
    """Take the mark that it reports to the body of a chord from ``sig``, wherever freezing has put it."""
    sig = maybe_signature(sig)
    sig.options.pop("chord", None)
    form = kind(sig)
    if form == "group":
        for task in sig.tasks:
            _clear_chord_option(task)
    elif form == "chain" and sig.tasks:
        _clear_chord_option(sig.tasks[-1])
    elif form == "chord" and sig.body:
        _clear_chord_option(sig.body)


def _strip_chord_header_links(sig: Any) -> None:
    """Take the body from the header tasks of every chord in ``sig``: they get it when the chord is sent.

    With it, each task of a header would carry the whole body, whose header tasks carry theirs: the size of a message
    would be multiplied by the size of the header at each level.
    """
    sig = maybe_signature(sig)
    form = kind(sig)
    if form == "chord":
        if not sig.body:
            return
        if isinstance(sig.tasks, dict):
            maybe_signature(sig.tasks).options.pop("chord", None)
        for task in header_of(sig):
            _clear_chord_option(task)
            _strip_chord_header_links(task)
        _strip_chord_header_links(sig.body)
    elif form in ("chain", "group"):
        for at, task in enumerate(sig.tasks):
            if form == "chain" and at < len(sig.tasks) - 1:  # a group that becomes a chord when the chain is sent
                _clear_chord_option(task)
            _strip_chord_header_links(task)


def _clone_with_members(sig: Any) -> Any:
    """A clone of ``sig`` whose parts, to the last, are clones too."""
    copy = sig.clone()
    form = kind(copy)
    if form in ("chain", "group"):
        copy.tasks = [_clone_with_members(maybe_signature(task)) for task in copy.tasks]
    elif form == "chord":
        if isinstance(copy.tasks, dict):
            copy.tasks = _clone_with_members(maybe_signature(copy.tasks))
        else:
            copy.tasks = [_clone_with_members(maybe_signature(task)) for task in copy.tasks]
        if copy.body:
            copy.body = _clone_with_members(copy.body)
    return copy


def _link_error_to_body_tasks(sig: Any, errback: Any, runs_as_group: bool = True) -> None:
    """Add ``errback`` to the tasks that the body of a chord consists of, header tasks left out.

    A group has none of its own: it stands at its tasks. Only where the group was given the option ``link_error`` is it
    added there, as that replaces those of its tasks when the group runs; a group in a group doesn't run by itself.
    """
    form = kind(sig)
    if form == "group":
        if runs_as_group and "link_error" in sig.options:
            sig.append_to_list_option("link_error", errback)
            return
        for task in sig.tasks:
            _link_error_to_body_tasks(task, errback, runs_as_group=False)
    elif form == "chord" and sig.body:
        _link_error_to_body_tasks(sig.body, errback)
    else:
        sig.append_to_list_option("link_error", errback)
