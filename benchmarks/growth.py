"""How the cost of a job grows: with what lies beside it, with its size, with the number of queues, with the way."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import redis
from rich.console import Console
from rich.progress import track

from benchmarks.life import FAR_SECONDS, Ground
from benchmarks.measure import Sample
from benchmarks.race import Size, drain, wait
from benchmarks.report import Report
from benchmarks.server import ServerMeter, start_server
from benchmarks.session import Results, summarise
from benchmarks.stand import open_stand
from svcjobs.redis_queue import RedisJobQueue
from tests.server_program import ServerProgram

JOBS = 500
WORKER_JOBS = 10_000
PICKUPS = 100
SETTLE_SECONDS = 6
IDLE_SECONDS = 5
ROUNDS = 5
SHORT_ROUNDS = 1
SHORT_SHARE = 0.1
BIG_BYTES = 20_000_000
"""Most bytes of payloads in one round."""
WORKER = "svcjobs worker"

Values = Iterator[dict[str, float]]


@dataclass(frozen=True, slots=True)
class Curve:
    """One table: a row a point.

    Args:
        label: its title.
        unit: behind the numbers of its points.
        points: in growing order.
        walk: gives the values at each point, so many times, for a share of the jobs.
    """

    label: str
    unit: str
    points: tuple[int, ...]
    walk: Callable[[ServerProgram, Sequence[int], int, float], Values]

    def row(self, point: int) -> str:
        """The name of a point's row."""
        return f"{point:,} {self.unit}"


@contextmanager
def _ground(program: ServerProgram, **options: object) -> Iterator[Ground]:
    with (
        start_server(program) as server,
        ServerMeter(server.url) as meter,
        redis.Redis.from_url(server.url) as client,
        closing(RedisJobQueue(client, visibility_timeout=FAR_SECONDS, max_payload_bytes=2**21)) as queue,
    ):
        yield Ground(queue, meter, **options)  # type: ignore[arg-type]


def _beside(
    fill: Callable[[Ground, int], None],
    program: ServerProgram,
    points: Sequence[int],
    rounds: int,
    share: float,
    **options: object,
) -> Values:
    with _ground(program, **options) as ground:
        for before, point in itertools.pairwise((0, *points)):
            fill(ground, point - before)
            for _ in range(rounds):
                yield ground.live(int(JOBS * share))


def _sized(program: ServerProgram, points: Sequence[int], rounds: int, share: float) -> Values:
    for size in points:
        with _ground(program, payload={"text": "x" * (size - len('{"text":""}'))}) as ground:
            for _ in range(rounds):
                yield ground.live(max(10, min(int(JOBS * share), BIG_BYTES // size)))


def _spread(program: ServerProgram, points: Sequence[int], rounds: int, share: float) -> Values:
    """A worker on so many queues: an equal part of the jobs in each, then an idle time and jobs in any of them."""
    for queues, _ in itertools.product(points, range(rounds)):
        with open_stand(program, WORKER, queues=queues) as stand:
            measured = drain(stand, int(WORKER_JOBS * share), 1)
        with open_stand(program, WORKER, queues=queues) as stand:
            yield measured | wait(stand, Size(share, int(PICKUPS * share), SETTLE_SECONDS, IDLE_SECONDS))


def _far(program: ServerProgram, points: Sequence[int], rounds: int, share: float) -> Values:
    """A worker behind a proxy that holds every reply for so many milliseconds."""
    for milliseconds, _ in itertools.product(points, range(rounds)):
        with open_stand(program, WORKER, delay_ms=milliseconds) as stand:
            yield drain(stand, int(WORKER_JOBS * share), 1)


DEPTHS = (100, 1000, 10_000, 100_000, 1_000_000)
CURVES = MappingProxyType(
    {
        "queued": Curve("beside jobs that wait", "queued", DEPTHS, partial(_beside, Ground.queued)),
        "delayed": Curve("beside jobs that aren't due", "delayed", DEPTHS, partial(_beside, Ground.delayed)),
        "in_flight": Curve(
            "beside jobs in flight, finished in the order of their reserve", "in flight", DEPTHS[:4],
            partial(_beside, Ground.in_flight),
        ),
        "shuffled": Curve(
            "beside jobs in flight, finished in any order", "in flight, any order", DEPTHS[:4],
            partial(_beside, Ground.in_flight, shuffled=True),
        ),
        "sized": Curve("payloads", "bytes", (100, 1000, 10_000, 100_000, 1_000_000), _sized),
        "spread": Curve("a worker on several queues", "queues", (1, 10, 50, 200), _spread),
        "far": Curve("a worker far from Redis", "ms", (0, 1, 2), _far),
    }
)  # fmt: skip
"""In the order of the tables."""

REPORT = Report(
    stem="growth",
    plot="growth",
    title="How the cost of a job grows",
    about=(
        f"Median of {ROUNDS} rounds, and their range. A job's life is enqueue, reserve and ack: one by one, and in "
        "batches of 100. Workers are `svcjobs worker -P prefork -c 1`; the one far from Redis works through a proxy in "
        "Python, which takes a part of the machine, at 0 ms too."
    ),
    labels={name: curve.label for name, curve in CURVES.items()},
    ours="",
)


def measure_growth(program: ServerProgram, console: Console, names: Sequence[str], *, short: bool) -> Results:
    """Walk along the curves of these names. ``short``: a tenth of the jobs, one round, and the first three points."""
    rounds, share, most = (SHORT_ROUNDS, SHORT_SHARE, 3) if short else (ROUNDS, 1.0, len(DEPTHS))
    points = {name: CURVES[name].points[:most] for name in names}

    def samples() -> Iterator[tuple[str, Sample]]:
        for name in names:
            curve = CURVES[name]
            rows = (curve.row(point) for point in points[name] for _ in range(rounds))
            for row, values in zip(rows, curve.walk(program, points[name], rounds, share), strict=True):
                yield row, {name: values}

    total = rounds * sum(map(len, points.values()))
    return summarise([*track(samples(), description="growth", total=total, console=console, transient=True)])
