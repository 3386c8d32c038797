"""A Sphinx extension that documents tasks.

.. code-block:: python

    extensions = ["sphinx.ext.autodoc", "svcjobs_celery_compat.contrib.sphinx"]
    celery_task_prefix = "(task)"  # the default

``automodule`` then documents tasks as functions, with the prefix; ``.. autotask:: proj.tasks.add`` documents one, and
``:task:`proj.tasks.add``` refers to it.
"""

from __future__ import annotations

from inspect import Signature, signature
from typing import Any

from sphinx.domains import ObjType
from sphinx.domains.python import PyFunction, PythonDomain, PyXRefRole
from sphinx.ext.autodoc import FunctionDocumenter

from svcjobs_celery_compat.app.task import Task
from svcjobs_celery_compat.local import maybe_evaluate

__all__ = ("TaskDirective", "TaskDocumenter", "setup")


class TaskDocumenter(FunctionDocumenter):
    """Documents a task by the function that it runs."""

    objtype = "task"
    member_order = 11
    # before the documenters of attributes and data
    priority = FunctionDocumenter.priority + 20

    @classmethod
    def can_document_member(cls, member: Any, membername: str, isattr: bool, parent: Any) -> bool:
        return isinstance(maybe_evaluate(member), Task)

    def format_args(self, **kwargs: Any) -> str:
        """Return the arguments of a call: the task itself isn't one of them."""
        return str(signature(maybe_evaluate(self.object).run).replace(return_annotation=Signature.empty))

    def document_members(self, all_members: bool = False) -> None:
        """Document none: a task's methods are Celery's."""

    def check_module(self) -> bool:
        """Return whether the task is one of the module that is documented, not one that it imports."""
        function = getattr(maybe_evaluate(self.object), "__wrapped__", None)
        module = getattr(function, "__module__", None)
        if function is not None and module == self.modname:
            return True
        return bool(super().check_module())


class TaskDirective(PyFunction):
    """``.. task::`` describes a task."""

    def get_signature_prefix(self, sig: str) -> list[Any]:
        from docutils import nodes

        return [nodes.Text(self.env.config.celery_task_prefix), nodes.Text(" ")]


def autodoc_skip_member_handler(app: Any, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Document tasks that autodoc would leave out: their docstring is one of an instance."""
    task = maybe_evaluate(obj)
    if isinstance(task, Task) and hasattr(task, "__wrapped__") and skip and getattr(task, "__doc__", None):
        return False
    return None


def setup(app: Any) -> dict[str, bool]:
    """Set the extension up; Sphinx calls it."""
    app.setup_extension("sphinx.ext.autodoc")
    if "autodoc_use_legacy_class_based" in app.config:
        # Sphinx 9 asks documenters only then
        app.config.autodoc_use_legacy_class_based = True
    app.add_autodocumenter(TaskDocumenter)
    # references find what has a type that the role is for
    PythonDomain.object_types.setdefault("task", ObjType("task", "task", "func", "obj"))
    app.add_directive_to_domain("py", "task", TaskDirective)
    app.add_role("task", PyXRefRole(fix_parens=True))
    app.add_role_to_domain("py", "task", PyXRefRole(fix_parens=True))
    app.add_config_value("celery_task_prefix", "(task)", True)
    app.connect("autodoc-skip-member", autodoc_skip_member_handler)
    return {"parallel_read_safe": True}
