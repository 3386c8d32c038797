"""Optional dependencies: what is missing is named together with the extra that brings it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from svcjobs.errors import ConfigurationError


@contextmanager
def extra(name: str, package: str) -> Iterator[None]:
    """Import inside this block what needs ``package``, which comes with the extra ``name``.

    Raises:
        ConfigurationError: the package isn't installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        raise ConfigurationError(
            f"{package} isn't installed: pip install 'svcjobs[{name}]', or '.[{name}]' in a checkout"
        ) from error
