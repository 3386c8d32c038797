"""``manage.py outbox_relay``."""

from __future__ import annotations

import asyncio
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, Error, connections

from svcjobs.builtins.outbox_processor import BATCH, OutboxRelay
from svcjobs.cli.exits import code_of
from svcjobs.cli.logs import node_name, start_logging
from svcjobs.cli.queues import Place
from svcjobs.cli.relaying import Until, open_target, run_relay
from svcjobs.errors import ConfigurationError, DatabaseUnavailable, JobsError
from svcjobs_celery_compat.contrib.django.outbox.models import Message
from svcjobs_celery_compat.contrib.django.outbox.store import DjangoOutboxStore


class DjangoSource:
    """Implements :class:`~svcjobs.db.source.OutboxSource` for a database of the project."""

    def __init__(self, using: str) -> None:
        self.outbox = DjangoOutboxStore(using)
        self._using = using

    async def check(self) -> None:
        try:
            await asyncio.to_thread(self._check)
        except Error as error:
            raise self.translate(error) from error

    async def close(self) -> None:
        """Nothing to do: each thread of the relay has its own connection, which ends with it."""

    def translate(self, error: Exception) -> JobsError:
        return DatabaseUnavailable(f"the database {self._using!r}: {error}")

    def _check(self) -> None:
        connection = connections[self._using]
        try:
            if Message._meta.db_table not in connection.introspection.table_names():
                raise ConfigurationError(
                    f"the database {self._using!r} has no table {Message._meta.db_table}: run manage.py migrate"
                )
        finally:
            connection.close()


class Command(BaseCommand):
    """As ``svcjobs outbox relay``, for a database of the project."""

    help = (
        "Move messages from the outbox to a queue, each one once, until SIGTERM or Ctrl-C. It may be killed and "
        "started as often as you like, and several may run at once. The queue is that of JOBS_REDIS_URL or REDIS_URL."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        ends = parser.add_mutually_exclusive_group()
        ends.add_argument("--drain", action="store_true", help="end when nothing is pending any more")
        ends.add_argument("--once", action="store_true", help="end after one batch")
        parser.add_argument(
            "--database", default=DEFAULT_DB_ALIAS, choices=tuple(connections), help="name in DATABASES"
        )
        parser.add_argument("--queue", help="name of the queue; the default queue otherwise")
        parser.add_argument("--redis-url", help="the server; JOBS_REDIS_URL or REDIS_URL otherwise")
        parser.add_argument("--topics", help="only these topics, with commas between them")
        parser.add_argument("--job-name-prefix", default="outbox", help="a message becomes the job PREFIX.TOPIC")
        parser.add_argument(
            "--interval", type=float, default=1.0, help="seconds between looks while nothing is pending"
        )
        parser.add_argument("--metrics-port", type=int, help="serve Prometheus metrics at /metrics")

    def handle(self, *args: Any, **options: Any) -> None:
        start_logging("info", node_name(None, "outbox"))
        source = DjangoSource(options["database"])
        topics = [topic.strip() for topic in options["topics"].split(",")] if options["topics"] else None
        until = Until.EMPTY if options["drain"] else Until.ONE_BATCH if options["once"] else Until.STOPPED
        try:
            with open_target(Place("redis", options["redis_url"]), options["queue"]) as queue:
                relay = OutboxRelay(
                    source.outbox, queue, topics=topics, job_name_prefix=options["job_name_prefix"], limit=BATCH
                )
                progress = run_relay(
                    source, relay, until=until, interval_seconds=options["interval"],
                    metrics_port=options["metrics_port"], is_drawn=False,
                )  # fmt: skip
        except JobsError as error:
            raise CommandError(" ".join(str(error).split()), returncode=code_of(error)) from error
        self.stdout.write(progress.sentence())
        if progress.refused and until is not Until.STOPPED:
            raise CommandError(
                "the queue has refused messages, see above; they are pending still, and tried again later"
            )
