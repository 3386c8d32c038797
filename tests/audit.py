"""A census of a queue's keys: every job in one place, every place telling the truth."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

LISTS = ("processing", "dlq")
LEFT_AFTER_A_DRAIN = frozenset({"seq", "leases", "counters", "priorities", "wake", "ticks", "workers"})
GOES_BY_ITSELF = ("req:", "worker:")
DOCUMENTED = frozenset({"name", "payload", "attempts", "max_attempts", "backoff_seconds", "available_at", "id"})


@dataclass(slots=True)
class Census:
    """What lies where under one prefix, and what is wrong with it.

    Args:
        places: place (``ready``, ``delayed``, ``processing``, ``dlq``) -> ids in it, in the order of the key.
        hashes: ids that have a job key.
        totals: the queue's counters.
        problems: one sentence for each thing that can't be.
        other: keys of the prefix that are neither a place nor a job.
    """

    places: dict[str, list[str]] = field(default_factory=dict)
    hashes: set[str] = field(default_factory=set)
    totals: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    other: set[str] = field(default_factory=set)

    @property
    def ids(self) -> Counter[str]:
        """How often each id lies in a place."""
        return Counter(job_id for ids in self.places.values() for job_id in ids)


def take_census(client: Any, prefix: str) -> Census:
    """Read all keys of ``prefix``; ``client`` answers in bytes or text. Nobody else may write meanwhile."""
    census = Census(places={"ready": [], "delayed": [], "processing": [], "dlq": []})
    keys = sorted(_text(key) for key in client.scan_iter(match=f"{_literal(prefix)}:*", count=10_000))
    leased: dict[str, float] = {}
    jobs: dict[str, dict[str, str]] = {}
    for key in keys:
        name = key[len(prefix) + 1 :]
        if name == "ready" or name.startswith("ready:"):
            census.places["ready"] += _list(client, key)
            if ":" in name and not client.sismember(f"{prefix}:priorities", name.partition(":")[2]):
                census.problems.append(f"{key} isn't among the priorities in use, nobody looks there")
        elif name in LISTS:
            census.places[name] = _list(client, key)
        elif name == "delayed":
            census.places["delayed"] = [_text(job_id) for job_id in client.zrange(key, 0, -1)]
        elif name == "processing_vt":
            leased = {_text(job_id): score for job_id, score in client.zrange(key, 0, -1, withscores=True)}
        elif name.startswith("job:"):
            job_id = name[4:]
            census.hashes.add(job_id)
            if _text(client.type(key)) == "hash":
                jobs[job_id] = {_text(field): _text(value) for field, value in client.hgetall(key).items()}
            else:
                census.problems.append(f"{key} is a {_text(client.type(key))}")
        else:
            census.other.add(name)
            if name == "counters":
                census.totals = {_text(total): int(count) for total, count in client.hgetall(key).items()}
    _check_places(census, leased, jobs)
    _check_other(census, client, prefix, jobs)
    return census


def check(client: Any, prefix: str, expected: set[str] | None = None) -> Census:
    """The census, without a problem; with ``expected``, of exactly these ids.

    Raises:
        AssertionError: something is lost, doubled or contradicts itself; all of it is said.
    """
    census = take_census(client, prefix)
    if expected is not None:
        census.problems += [f"job {job_id} is lost" for job_id in sorted(expected - set(census.ids))]
        census.problems += [f"job {job_id} isn't expected" for job_id in sorted(set(census.ids) - expected)]
    assert not census.problems, f"{prefix}: " + "; ".join(census.problems[:20])
    return census


def check_drained(client: Any, prefix: str, *, dead: set[str] = frozenset()) -> Census:  # type: ignore[assignment]
    """As :func:`check` after the last job was settled: only counters and dead jobs are left behind.

    Raises:
        AssertionError: something else is left behind.
    """
    census = check(client, prefix, set(dead))
    left = {name for name in census.other if name not in LEFT_AFTER_A_DRAIN and not name.startswith(GOES_BY_ITSELF)}
    kept = {name for name in left if name.startswith("unique:") and client.pttl(f"{prefix}:{name}") > 0}
    assert not left - kept, f"{prefix} leaves behind {sorted(left - kept)}"
    for name in census.other:
        if name.startswith(GOES_BY_ITSELF):
            assert client.pttl(f"{prefix}:{name}") > 0, f"{prefix}:{name} stays for ever"
    return census


def _check_places(census: Census, leased: dict[str, float], jobs: dict[str, dict[str, str]]) -> None:
    problems = census.problems
    for job_id, count in census.ids.items():
        if count > 1:
            places = [place for place, ids in census.places.items() if job_id in ids]
            problems.append(f"job {job_id} lies in {count} places: {', '.join(places)}")
        if job_id not in census.hashes:
            problems.append(f"job {job_id} has no hash")
    problems += [f"job {job_id} has a hash and lies nowhere" for job_id in sorted(census.hashes - set(census.ids))]
    processing = set(census.places["processing"])
    problems += [f"job {job_id} is processing without a lease" for job_id in sorted(processing - set(leased))]
    problems += [f"job {job_id} has a lease and isn't processing" for job_id in sorted(set(leased) - processing)]
    dead = set(census.places["dlq"])
    for job_id, fields in jobs.items():
        if ("lease" in fields) != (job_id in processing):
            problems.append(f"job {job_id}: its lease field doesn't agree with where it lies")
        if ("reason" in fields) != (job_id in dead):
            problems.append(f"job {job_id}: its reason field doesn't agree with where it lies")
        if job_id not in dead and (missing := DOCUMENTED - set(fields)):
            problems.append(f"job {job_id} lacks {', '.join(sorted(missing))}")


def _check_other(census: Census, client: Any, prefix: str, jobs: dict[str, dict[str, str]]) -> None:
    for name in census.other:
        if not name.startswith("unique:"):
            continue
        holder = client.get(f"{prefix}:{name}")
        window = client.pttl(f"{prefix}:{name}") > 0
        if holder is not None and not window and _text(holder) not in census.hashes:
            census.problems.append(f"{prefix}:{name} is held by job {_text(holder)}, which is gone")
        elif holder is not None and not window and "reason" in jobs.get(_text(holder), {}):
            census.problems.append(f"{prefix}:{name} is held by job {_text(holder)}, which is dead")


def _list(client: Any, key: str) -> list[str]:
    return [_text(item) for item in client.lrange(key, 0, -1)]


def _literal(prefix: str) -> str:
    return "".join(f"\\{char}" if char in "*?[]\\" else char for char in prefix)


def _text(value: Any) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
