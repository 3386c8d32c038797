"""How a task hands its place, or one more place in its chord, to another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from svcjobs_celery_compat.exceptions import Ignore, ImproperlyConfigured
from svcjobs_celery_compat.utils.functional import maybe_list


class Replacing:
    """The part of :class:`~svcjobs_celery_compat.app.task.Task` that puts a signature in the place of the task."""

    if TYPE_CHECKING:
        app: Any
        backend: Any
        request: Any

    def replace(self, sig: Any) -> Any:
        """Let ``sig`` take the place of this task: its id, its callbacks, and its place in a chain, group or chord.

        Parameters:
            sig: a signature, a chain, a chord, or a group; of a group, the list of its results counts as the result.

        Raises:
            Ignore: always, unless the task runs eagerly; then the result of ``sig`` is returned.
            ImproperlyConfigured: ``sig`` is part of a chord, or an empty chain.
        """
        from svcjobs_celery_compat.canvas import _chain, group  # canvas knows tasks

        request = self.request
        if "chord" in sig.options:
            raise ImproperlyConfigured("A signature replacing a task must not be part of a chord")
        if isinstance(sig, _chain) and not sig.tasks:
            raise ImproperlyConfigured("Cannot replace with an empty chain")

        if isinstance(sig, group):
            sig = self._gathered(sig)
        if isinstance(sig, _chain):
            if isinstance(sig.tasks[-1], group):
                sig.tasks = [*sig.tasks[:-1], self._gathered(sig.tasks[-1])]
            # what follows the whole chain follows its last task
            last = sig.tasks[-1]
            for callback in maybe_list(sig.options.pop("link", None)) or ():
                last.link(callback)
        else:
            last = sig
        for callback in maybe_list(request.callbacks) or ():
            last.link(callback)
        for errback in maybe_list(request.errbacks) or ():
            sig.link_error(errback)

        # results that were made for this task wait for its id
        sig.freeze(request.id)
        sig.set(
            chord=request.chord,
            group_id=request.group,
            group_index=request.group_index,
            root_id=request.root_id,
            replaced_task_nesting=request.replaced_task_nesting + 1,
        )
        return self.on_replace(self._with_rest_of_chain(sig))

    def on_replace(self, sig: Any) -> Any:
        """Called with the signature that replaces the task, ready to be sent. Override it to stamp the signature.

        Raises:
            Ignore: see :meth:`replace`.
        """
        if self.request.is_eager:
            return sig.apply().get()
        if self.request._follow is not None:
            self.request._follow(sig)
        else:
            sig.delay()
        raise Ignore("Replaced by new task")

    def add_to_chord(self, sig: Any, lazy: bool = False) -> Any:
        """Add a signature to the chord that the task belongs to; the body waits for it, too.

        Parameters:
            lazy: don't send it; return the signature instead of its result.

        Raises:
            ValueError: the task belongs to no chord.
        """
        request = self.request
        if not request.chord:
            raise ValueError("Current task is not member of any chord")
        sig.set(group_id=request.group, group_index=request.group_index, chord=request.chord, root_id=request.root_id)
        result = sig.freeze()
        self.backend.add_to_chord(request.group, result)
        return sig if lazy else sig.delay()

    def _gathered(self, tasks: Any) -> Any:
        # callbacks and chains want one task: the body of a chord, which returns the results as a list
        return tasks | self.app.tasks["celery.accumulate"].s(index=0)

    def _with_rest_of_chain(self, sig: Any) -> Any:
        from svcjobs_celery_compat.canvas import signature  # canvas knows tasks

        for following in reversed(maybe_list(self.request.chain) or ()):
            sig |= signature(following, app=self.app)
        return sig
