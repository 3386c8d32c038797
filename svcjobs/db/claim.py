"""Which of the rows that a relay has locked it may claim: the part of a claim that every database has in common."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple, TypeAlias

MOST_BYTES = 16 << 20
"""Payloads that one claim takes, together: memory of a relay stays the same however large messages are."""

Pending: TypeAlias = "Iterable[tuple[int, str]]"
"""Id and topic of rows."""


class Head(NamedTuple):
    """A message without its payload.

    Args:
        id: its number.
        topic: its topic.
        attempts: how often the queue has refused it.
        size: of its payload, in bytes.
    """

    id: int
    topic: str
    attempts: int
    size: int


def claim_ids(
    lock: Callable[[Collection[str]], Sequence[Head]], pending_before: Callable[[Sequence[Head]], Pending]
) -> list[int]:
    """The ids of the messages that a relay claims now, oldest first; none when there are none that it may have.

    Args:
        lock: locks the first rows that are due and in none of these topics.
        pending_before: what :func:`claimable` has to know of the rows that are locked.
    """
    held: set[str] = set()
    while locked := lock(held):
        if ids := claimable(locked, pending_before(locked)):
            return ids
        held |= {head.topic for head in locked}  # others have them: what waits behind may be of other topics
    return []


def claimable(locked: Sequence[Head], pending: Pending) -> list[int]:
    """The ids of those that may be claimed, oldest first.

    Two relays lock rows of one topic turn by turn. Only the one that has the topic's first message may go on with it,
    and only as far as its rows follow each other; what it leaves is free again with the end of its transaction. A
    message that has failed has lost its place, so that the others needn't wait for it.

    Args:
        locked: the rows that are locked, by id.
        pending: id and topic of all pending rows of their topics that never failed, up to the last of them, by id;
            whoever holds them.
    """
    ours = {head.id for head in locked}
    first_of_others: dict[str, int] = {}
    for message_id, topic in pending:
        if message_id not in ours:
            first_of_others.setdefault(topic, message_id)
    return _as_many_as_fit(
        head for head in locked if head.attempts or head.id < first_of_others.get(head.topic, head.id + 1)
    )


def _as_many_as_fit(heads: Iterable[Head]) -> list[int]:
    ids: list[int] = []
    total = 0
    for head in heads:
        total += head.size
        if ids and total > MOST_BYTES:
            break
        ids.append(head.id)
    return ids
