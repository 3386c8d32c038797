"""Where a relay that is no part of an application finds its outbox."""

from __future__ import annotations

from typing import Protocol

from svcjobs.db.outbox import AsyncOutbox, Outbox
from svcjobs.errors import JobsError


class OutboxSource(Protocol):
    """An outbox that lies somewhere, and what is said when it can't be reached."""

    @property
    def outbox(self) -> Outbox | AsyncOutbox:
        """The messages."""
        ...

    async def check(self) -> None:
        """Return when the database answers and has the table.

        Raises:
            ConfigurationError: it has no such table, or refuses this user.
            DatabaseUnavailable: it doesn't answer.
        """
        ...

    async def close(self) -> None:
        """Close its connections."""
        ...

    def translate(self, error: Exception) -> JobsError:
        """What an error of the database means; never with a password in it."""
        ...
