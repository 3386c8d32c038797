"""``svcjobs outbox``: from the outbox in a database to a queue."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from svcjobs.builtins.outbox_processor import BATCH, OutboxRelay
from svcjobs.cli.durations import Duration
from svcjobs.cli.exits import CommandFailed
from svcjobs.cli.logs import log_options, node_name, start_logging
from svcjobs.cli.output import console, duration, json_option, print_json, table, tell
from svcjobs.cli.queues import Place, QueueNames, place_options, queue_option
from svcjobs.cli.relaying import Until, open_target, run_relay
from svcjobs.db.message import TopicBacklog
from svcjobs.errors import ConfigurationError, JobsError
from svcjobs.extras import extra
from svcjobs.settings import database_url

if TYPE_CHECKING:
    from svcjobs.db.database import Database

T = TypeVar("T")

PURGED_AT_ONCE = 1000

_database = click.option(
    "--database", "url", metavar="URL",
    help="postgresql+psycopg://…, mariadb+pymysql://… or sqlite:///…; JOBS_DATABASE_URL or DATABASE_URL otherwise.",
)  # fmt: skip
_topics = click.option(
    "--topics", type=QueueNames(), default=(), metavar="TOPIC[,TOPIC…]",
    help="Only these topics, with commas between them. Default: all.",
)  # fmt: skip


@click.group
def outbox() -> None:
    """Move messages from the outbox in a database to a queue."""


@outbox.command
@_database
@queue_option
@_topics
@click.option("--job-name-prefix", default="outbox", show_default=True, metavar="WORD",
              help="A message becomes the job WORD.TOPIC.")  # fmt: skip
@click.option("--drain", is_flag=True, help="End when nothing is pending any more.")
@click.option("--once", is_flag=True, help="End after one batch.")
@click.option("--batch", type=click.IntRange(1, BATCH), default=BATCH, show_default=True, metavar="NUMBER",
              help="Messages in a batch.")  # fmt: skip
@click.option("--interval", type=Duration(min=0.01), default=1, show_default=True, metavar="SECONDS",
              help="How often to look while nothing is pending.")  # fmt: skip
@click.option("--metrics-port", type=click.IntRange(0, 65535), metavar="PORT",
              help="Serve Prometheus metrics at /metrics; 0 takes a free port.")  # fmt: skip
@click.option("-n", "--name", "wish", metavar="NAME", help="This process's name in logs; %h is the host.")
@json_option
@log_options
@place_options
def relay(
    url: str | None,
    name: str | None,
    *,
    topics: tuple[str, ...],
    job_name_prefix: str,
    drain: bool,
    once: bool,
    batch: int,
    interval: float,
    metrics_port: int | None,
    wish: str | None,
    as_json: bool,
    loglevel: str,
    log_format: str,
    place: Place,
) -> None:
    """Move messages to a queue, each one once, until SIGTERM or Ctrl-C.

    It may be killed and started as often as you like, and several may run at once.

    \b
    svcjobs outbox relay --database postgresql+psycopg://app:password@db/shop
    JOBS_DATABASE_URL=sqlite:///shop.db svcjobs outbox relay --drain
    """
    if drain and once:
        raise click.UsageError("--drain and --once don't go together")
    start_logging(loglevel, node_name(wish, "outbox"), log_format)
    database = open_database(url)
    with open_target(place, name) as queue:
        mover = OutboxRelay(database.outbox, queue, topics=topics or None, job_name_prefix=job_name_prefix, limit=batch)
        until = Until.EMPTY if drain else Until.ONE_BATCH if once else Until.STOPPED
        progress = run_relay(
            database, mover, until=until, interval_seconds=interval, metrics_port=metrics_port, is_drawn=not as_json
        )
    tell(progress.sentence(), progress.document(), as_json=as_json)
    if progress.refused and until is not Until.STOPPED:
        raise CommandFailed("the queue has refused messages, see above; they are pending still, and tried again later")


@outbox.command
@_database
@_topics
@json_option
def status(url: str | None, *, topics: tuple[str, ...], as_json: bool) -> None:
    """Show what is pending, by topic."""
    backlog = _look(url, lambda database: _read_backlog(database, topics or None))
    if as_json:
        print_json({"pending": sum(topic.pending for topic in backlog), "topics": backlog})
    elif not backlog:
        console().print("nothing is pending")
    else:
        numbers = ("Pending", "Refused", "Oldest")
        shown = table("Topic", *numbers, numbers=numbers)
        for one in backlog:
            age = (datetime.now(UTC) - one.oldest_at).total_seconds()
            shown.add_row(one.topic, str(one.pending), str(one.refused), duration(age))
        console().print(shown)


@outbox.command
@_database
@click.option("--keep", type=click.FloatRange(0, 36_500), default=7, show_default=True, metavar="DAYS",
              help="Leave those that were moved less than so many days ago.")  # fmt: skip
@json_option
def purge(url: str | None, *, keep: float, as_json: bool) -> None:
    """Remove messages that were moved long ago; pending ones stay."""
    removed = _look(url, lambda database: _remove(database, keep * 86_400))
    tell(f"removed {removed:,} messages", {"removed": removed}, as_json=as_json)


def open_database(url: str | None) -> Database:
    """The database at ``url``, else the one that the environment names; nothing is connected yet.

    Raises:
        ConfigurationError: there is none, it can't be used, or SQLAlchemy isn't installed.
    """
    named = url or database_url()
    if named is None:
        raise ConfigurationError("no database: pass --database URL, or set JOBS_DATABASE_URL")
    with extra("sql", "sqlalchemy"):
        from svcjobs.db.database import Database
    return Database(named)


def _look(url: str | None, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
    """What ``work`` makes of the database; an error of it becomes one of ours."""

    async def run(database: Database) -> T:
        try:
            await database.check()
            return await work(database)
        except JobsError:
            raise
        except Exception as error:
            raise database.translate(error) from error
        finally:
            await database.close()

    return asyncio.run(run(open_database(url)))


async def _read_backlog(database: Database, topics: tuple[str, ...] | None) -> list[TopicBacklog]:
    backlog = database.outbox.backlog(topics)
    return await backlog if inspect.isawaitable(backlog) else backlog


async def _remove(database: Database, keep_seconds: float) -> int:
    removed = 0
    while True:
        part = database.outbox.purge_processed(keep_seconds, PURGED_AT_ONCE)
        number = await part if inspect.isawaitable(part) else part
        removed += number
        if number < PURGED_AT_ONCE:
            return removed
