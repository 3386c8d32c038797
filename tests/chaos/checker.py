"""Judges a history after the fact: which promises were broken. Reads no clock, no server and no file."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, combinations, pairwise

from tests.chaos.history import Event
from tests.chaos.runs import Run, excuses_of, runs_of

CLOCK_SECONDS = 0.02
"""How precise a comparison of the server's clock with the monotonic one is."""
SETTLE_SECONDS = 1.0
"""Within which an outcome reaches a server that answers."""
TRUE_CLOCKS = ("asked", "enqueued", "over")
"""Events of processes that see the machine's clock as it is."""

INVARIANTS = {
    "terminal": "every acknowledged job was done, or is in the DLQ",
    "known": "no job ran that nobody enqueued",
    "tokens": "lease tokens of a job rise",
    "stale": "no outcome was committed under an old token, and none refused without a lost lease",
    "attempts": "no job was started more often than its max_attempts",
    "overlap": "no two runs of a job at once, unless its lease ran out in between",
    "early": "no job started before its time",
    "unique": "one live job for each unique key",
    "ticks": "each tick was taken once",
    "totals": "the counters of the queue equal the history",
    "census": "no key is left behind",
}

LOSSY_INVARIANTS = ("terminal", "known", "early", "census")
"""What holds with a server that lost the end of its log, too; losses are counted under ``terminal``."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What Redis held when all was over.

    Args:
        dead: reason by id of each job in the DLQ.
        problems: what :mod:`tests.audit` found wrong.
        failures: attempt and error of each failed attempt of the dead jobs, oldest first.
        totals: the queue's counters.
        expected_dead: the reason by id of each job that has to end there.
    """

    dead: Mapping[str, str]
    totals: Mapping[str, int]
    problems: Sequence[str] = ()
    failures: Mapping[str, Sequence[tuple[int, str]]] = field(default_factory=dict)
    expected_dead: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken promise: a name of :data:`INVARIANTS`, and what was seen."""

    invariant: str
    sentence: str


class Checker:
    """All that the invariants look at.

    Args:
        events: the history.
        ending: what was left.
        lease_seconds: how long a lease lasts.
        lossy: Redis lost the end of its log in this run, and with it acknowledged changes: jobs that are gone are
            counted in :attr:`lost`, and what only holds with a server that keeps its word isn't looked at.
    """

    def __init__(self, events: Sequence[Event], ending: Ending, lease_seconds: float, *, lossy: bool = False) -> None:
        self.ending = ending
        self.lease_seconds = lease_seconds
        self.lossy = lossy
        self.runs = runs_of(events)
        self.excuses = excuses_of(events)
        self.asked = {event["job"] for event in events if event.kind == "asked"}
        self.asks = {event["ask"] for event in events if event.kind == "asked"}
        self.answered = [event for event in events if event.kind == "enqueued"]
        self.stored = {event["job"]: event for event in self.answered if event["created"]}
        self.ticks = [event for event in events if event.kind == "tick"]
        self.slack_seconds = CLOCK_SECONDS + _gained_seconds(events)
        self.lost: list[str] = []

    def findings(self) -> list[Finding]:
        """Everything that is wrong."""
        checks = {
            "terminal": self._terminal,
            "known": self._known,
            "tokens": self._tokens,
            "stale": self._stale,
            "attempts": self._attempts,
            "overlap": self._overlap,
            "early": self._early,
            "unique": self._unique,
            "ticks": self._ticks,
            "totals": self._totals,
            "census": lambda: iter(self.ending.problems),
        }
        asked = LOSSY_INVARIANTS if self.lossy else INVARIANTS
        return [Finding(name, sentence) for name in asked for sentence in checks[name]()]

    # each yields what breaks it

    def _terminal(self) -> Iterator[str]:
        for job in self.stored:
            done = any(run.outcome == "ok" for run in self.runs.get(job, ()))
            if not done and job not in self.ending.dead:
                self.lost.append(job)
        if not self.lossy:
            yield from (f"job {job} was acknowledged, never done, and isn't in the DLQ" for job in self.lost)
        for job, reason in self.ending.dead.items():
            if job not in self.ending.expected_dead:
                yield f"job {job} is dead ({reason})"
            elif reason != self.ending.expected_dead[job] and not self._was_killed(job, reason):
                yield f"job {job} is dead as {reason}, not as {self.ending.expected_dead[job]}"
        for job in self.ending.expected_dead.keys() & self.stored.keys() - self.ending.dead.keys():
            if not self.lossy:
                yield f"job {job} isn't in the DLQ, as it should be"

    def _was_killed(self, job: str, reason: str) -> bool:
        """Whether its last attempt was lost: with the worker, or its outcome with the lease or the server's log."""
        runs = self.runs.get(job, [])
        lost = self.lossy or not runs or not runs[-1].settled or self._came_late(runs[-1])
        return reason == "worker_lost" and lost

    def _known(self) -> Iterator[str]:
        known = self.asked | self.stored.keys()
        yield from (f"job {job} ran, and nobody enqueued it" for job in self.runs if job not in known)

    def _tokens(self) -> Iterator[str]:
        for runs in self.runs.values():
            doubles = Counter(run.lease for run in runs)
            yield from (f"job {runs[0].job} ran twice under {lease}" for lease, n in doubles.items() if n > 1)
            for earlier, later in pairwise(runs):
                if later.number < earlier.number and not self._excused(later, later.start):
                    yield f"job {later.job} ran under {later.lease} after {earlier.lease}"

    def _stale(self) -> Iterator[str]:
        stale = self.ending.totals.get("stale", 0)
        if stale and not self.excuses:
            yield f"{stale} settlements were refused, and no lease could have run out"
        for job, failures in self.ending.failures.items():
            yield from self._stale_failures(job, failures)

    def _stale_failures(self, job: str, failures: Sequence[tuple[int, str]]) -> Iterator[str]:
        """The test application's errors name the token and the attempt under which they were raised."""
        named = [(attempt, *found.groups()) for attempt, error in failures if (found := _TOKEN.search(error))]
        for attempt, lease, of_attempt in named:
            if attempt != int(of_attempt):
                yield f"job {job}: attempt {attempt} was ended by {lease}, which was attempt {of_attempt}"
        for (_, earlier, _), (_, later, _) in pairwise(named):
            if int(later.partition("-")[0]) <= int(earlier.partition("-")[0]):
                yield f"job {job}: {later} was committed after {earlier}"

    def _attempts(self) -> Iterator[str]:
        for job, runs in self.runs.items():
            most = self.stored[job]["max_attempts"] if job in self.stored else None
            by_attempt: dict[int, list[Run]] = defaultdict(list)
            for run in runs:
                by_attempt[run.attempt].append(run)
                if most is not None and run.attempt > most:
                    yield f"job {job} was started for attempt {run.attempt} of {most}"
            for attempt, same in by_attempt.items():
                # others go back uncharged: cancelled, or in a process that died of something else before it settled
                charged = [run for run in same if run.settled]
                if len(charged) > 1:
                    yield f"job {job} ended {len(charged)} times in attempt {attempt}"

    def _overlap(self) -> Iterator[str]:
        for job, runs in self.runs.items():
            # by lease, not by start: a stopped process may wake up to begin a job whose lease has long run out
            for older, newer in combinations(sorted(runs, key=lambda run: run.number), 2):
                seconds = min(older.until, newer.until) - max(older.start, newer.start)
                if seconds > 0 and not self._excused(older, newer.start):
                    yield f"job {job} ran in {older.pid} and {newer.pid} for {seconds:.3f} s at once"

    def _early(self) -> Iterator[str]:
        for job, runs in self.runs.items():
            due = self.stored[job]["due"] if job in self.stored else 0.0
            if runs[0].start < due - self.slack_seconds:
                yield f"job {job} started {due - runs[0].start:.3f} s before its time"
            backoff = self.stored[job]["backoff"] if job in self.stored and not self.lossy else 0.0
            for earlier, later in pairwise(runs):
                due = earlier.until + backoff * earlier.attempt
                retried = earlier.outcome == "raised" and earlier.settled and later.attempt == earlier.attempt + 1
                if retried and not self._excused(earlier, later.start) and later.start < due - self.slack_seconds:
                    yield f"attempt {later.attempt} of job {job} started {due - later.start:.3f} s before its time"

    def _unique(self) -> Iterator[str]:
        by_key: dict[str, list[Event]] = defaultdict(list)
        for event in self.stored.values():
            if event["unique"]:
                by_key[event["unique"]].append(event)
        for key, events in by_key.items():
            for earlier, later in pairwise(events):
                runs = self.runs.get(earlier["job"], [])
                last = max(runs, key=lambda run: run.number, default=None)
                if last is None or last.end is None or last.end > later.at:
                    yield f"jobs {earlier['job']} and {later['job']} lived at once under the unique key {key}"

    def _ticks(self) -> Iterator[str]:
        taken = Counter((event["name"], event["tick"]) for event in self.ticks)
        yield from (f"tick {tick} of {name} was taken {n} times" for (name, tick), n in taken.items() if n > 1)

    def _totals(self) -> Iterator[str]:
        totals, dead = Counter(self.ending.totals), len(self.ending.dead)
        unknown = len(self.asks - {event["ask"] for event in self.answered})
        if not len(self.stored) <= totals["enqueued"] <= len(self.stored) + unknown:
            yield f"{totals['enqueued']} jobs are counted as enqueued, the producers know of {len(self.stored)}"
        if totals["acked"] != totals["enqueued"] - dead:
            yield f"{totals['enqueued']} enqueued, {dead} dead, but {totals['acked']} acked"
        if totals["buried"] - totals["requeued"] != dead:
            yield f"{totals['buried']} buried and {totals['requeued']} requeued, but {dead} dead"
        raised = [run for runs in self.runs.values() for run in runs if run.outcome == "raised"]
        failed = totals["retried"] + sum(reason == "exhausted" for reason in self.ending.dead.values())
        certain = sum(run.settled and not self._overtaken(run) and not self._came_late(run) for run in raised)
        if not certain <= failed <= len(raised):
            yield f"{failed} failures are counted, {certain} to {len(raised)} happened"

    def _overtaken(self, run: Run) -> bool:
        by = run.until + SETTLE_SECONDS
        return any(other.number > run.number and other.start < by for other in self.runs[run.job])

    def _came_late(self, run: Run) -> bool:
        """Whether the lease may have been gone when the outcome came."""
        return self._excused(run, run.until + SETTLE_SECONDS)

    def _excused(self, run: Run, at: float) -> bool:
        return any(excuse.covers(run, self.lease_seconds, at) for excuse in self.excuses)


def _gained_seconds(events: Sequence[Event]) -> float:
    """The most that the machine's clock was put forward: what is due by the server's clock comes so much sooner."""
    ahead = [event.wall - event.at for event in events if event.kind in TRUE_CLOCKS]
    return max((now - least for now, least in zip(ahead, accumulate(ahead, min), strict=True)), default=0.0)


_TOKEN = re.compile(r"token=(\S+) attempt=(\d+)")
