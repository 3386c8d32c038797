"""What tasks and signatures have, as abstract classes: ``isinstance`` looks for the methods."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

__all__ = ("CallableSignature", "CallableTask")


def _has_all(cls: type, attributes: frozenset[str]) -> bool:
    return all(any(attribute in base.__dict__ for base in cls.__mro__) for attribute in attributes)


class _AbstractClass(metaclass=ABCMeta):  # noqa: B024 - its subclasses have them
    __required_attributes__: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def _subclasshook_using(cls, parent: type, C: type) -> Any:
        if cls is not parent or not _has_all(C, cls.__required_attributes__):
            return NotImplemented
        return True

    @classmethod
    def register(cls, other: type) -> type:
        """Make `other` count as a subclass; a decorator."""
        # classes subclass this one: ABCMeta.register is one of the metaclass, which isn't found from an instance
        ABCMeta.register(cls, other)
        return other


class CallableTask(_AbstractClass, Callable):  # type: ignore[misc,type-arg]  # as Celery has it
    """What can be called, now or by a worker."""

    __required_attributes__ = frozenset({"delay", "apply_async", "apply"})

    @abstractmethod
    def delay(self, *args: Any, **kwargs: Any) -> Any: ...

    @abstractmethod
    def apply_async(self, *args: Any, **kwargs: Any) -> Any: ...

    @abstractmethod
    def apply(self, *args: Any, **kwargs: Any) -> Any: ...

    @classmethod
    def __subclasshook__(cls, C: type) -> Any:
        return cls._subclasshook_using(CallableTask, C)


# the name of one of its properties
_Type = type


class CallableSignature(CallableTask):
    """A task with its arguments."""

    __required_attributes__ = frozenset({"clone", "freeze", "set", "link", "link_error", "__or__"})

    @property
    @abstractmethod
    def name(self) -> Any: ...

    @property
    @abstractmethod
    def type(self) -> Any: ...

    @property
    @abstractmethod
    def app(self) -> Any: ...

    @property
    @abstractmethod
    def id(self) -> Any: ...

    @property
    @abstractmethod
    def task(self) -> Any: ...

    @property
    @abstractmethod
    def args(self) -> Any: ...

    @property
    @abstractmethod
    def kwargs(self) -> Any: ...

    @property
    @abstractmethod
    def options(self) -> Any: ...

    @property
    @abstractmethod
    def subtask_type(self) -> Any: ...

    @property
    @abstractmethod
    def chord_size(self) -> Any: ...

    @property
    @abstractmethod
    def immutable(self) -> Any: ...

    @abstractmethod
    def clone(self, args: Any = None, kwargs: Any = None) -> Any: ...

    @abstractmethod
    def freeze(
        self, id: Any = None, group_id: Any = None, chord: Any = None, root_id: Any = None, group_index: Any = None
    ) -> Any: ...

    @abstractmethod
    def set(self, immutable: Any = None, **options: Any) -> Any: ...

    @abstractmethod
    def link(self, callback: Any) -> Any: ...

    @abstractmethod
    def link_error(self, errback: Any) -> Any: ...

    @abstractmethod
    def __or__(self, other: Any) -> Any: ...

    @abstractmethod
    def __invert__(self) -> Any: ...

    @classmethod
    def __subclasshook__(cls, C: _Type) -> Any:
        return cls._subclasshook_using(CallableSignature, C)
