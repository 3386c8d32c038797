"""The class that all results are."""

from __future__ import annotations

from typing import Any


class ResultBase:
    """A result; of one task or of several."""

    #: the result of what called this
    parent: Any = None

    def as_tuple(self) -> Any:
        """What :func:`result_from_tuple` makes this of again; serializers can write it."""
        raise NotImplementedError
