"""The command ``svcjobs bridge``."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import click

from svcjobs._redis.urls import mask
from svcjobs.cli.logs import log_options, start_logging
from svcjobs.cli.output import json_option, tell
from svcjobs.cli.queues import Place, place_options, queues_option
from svcjobs.easy import open_client
from svcjobs.errors import ConfigurationError
from svcjobs.metrics import BridgeMetrics
from svcjobs.settings import QueueSettings
from svcjobs_celery_compat.bridge.amqp_broker import AmqpBroker
from svcjobs_celery_compat.bridge.amqp_receiver import AmqpReceiver
from svcjobs_celery_compat.bridge.forward import Forward
from svcjobs_celery_compat.bridge.progress import Progress
from svcjobs_celery_compat.bridge.receiver import Receiver, RedisReceiver
from svcjobs_celery_compat.bridge.redis_broker import Layout, RedisBroker
from svcjobs_celery_compat.bridge.returning import Returning
from svcjobs_celery_compat.bridge.reverse import Reverse
from svcjobs_celery_compat.bridge.store import Store
from svcjobs_celery_compat.transport.cluster import root_on

AMQP = ("amqp", "amqps", "pyamqp")
REDIS = ("redis", "rediss")


@click.command
@click.option(
    "--from", "source", required=True, metavar="URL", help="The old broker: redis://, rediss://, amqp://, amqps://."
)
@queues_option
@click.option("--drain", is_flag=True, help="End when nothing waits there and nobody holds messages unacked.")
@click.option("--reverse", is_flag=True, help="Move what waits in svcjobs back to the old broker.")
@click.option("-o", "--option", "pairs", multiple=True, metavar="NAME=VALUE",
              help="A transport option of the programs that use the old broker on Redis, such as visibility_timeout=60 "
              "or global_keyprefix=proj. Several may be given.")  # fmt: skip
@click.option("--metrics-port", type=click.IntRange(0, 65535), metavar="PORT",
              help="Serve Prometheus metrics at /metrics; 0 takes a free port.")  # fmt: skip
@json_option
@log_options
@place_options
def bridge(
    source: str,
    names: tuple[str, ...],
    *,
    drain: bool,
    reverse: bool,
    pairs: tuple[str, ...],
    metrics_port: int | None,
    as_json: bool,
    loglevel: str,
    log_format: str,
    place: Place,
) -> None:
    """Move messages of a plain kombu broker, such as Celery's, into queues of svcjobs, each one once.

    It runs until SIGTERM or Ctrl-C. It may be killed and started as often as you like, and several may run at once.

    \b
    svcjobs bridge --from redis://old:6379/0 --queues celery --drain
    svcjobs bridge --from amqp://user:password@old:5672// --queues celery,emails
    svcjobs bridge --from redis://old:6379/0 --queues celery --drain --reverse
    """
    start_logging(loglevel, "bridge", log_format)
    if not names:
        raise click.UsageError("--queues is missing: name the queues to move, such as --queues celery")
    place.check_shared()
    options = _options(pairs)
    kind = _kind(source)
    stop = set_by_signals()
    metrics = BridgeMetrics()
    with ExitStack() as closing:
        if metrics_port is not None:
            closing.callback(metrics.serve(metrics_port).close)
        client = open_client(place.url)
        closing.callback(client.close)
        root = QueueSettings.from_environment().prefix
        progress = closing.enter_context(Progress(names, metrics, is_drawn=not as_json))
        if kind == "redis":
            check_apart(names, options, root)
        root = root_on(client, root)
        if reverse:
            returning = Returning(client, root, names)
            closing.callback(returning.close)
            receiver: Receiver
            if kind == "redis":
                receiver = RedisReceiver(source, names, options)
            else:
                receiver = AmqpReceiver(source, names, returning.take_over)
            Reverse(returning, receiver, progress, stop).run(drain=drain)
        else:
            store = Store(client, root, names)
            closing.callback(store.close)
            broker = RedisBroker(source, names, options) if kind == "redis" else AmqpBroker(source, names)
            Forward(broker, store, progress, stop).run(drain=drain)
    tell(progress.sentence(), progress.document(), as_json=as_json)


def set_by_signals() -> threading.Event:
    """An event that SIGTERM and Ctrl-C set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        # in a thread: the handler may have interrupted a wait of this very event, which then holds its lock
        signal.signal(number, lambda *_: threading.Thread(target=stop.set).start())
    return stop


def check_apart(names: tuple[str, ...], options: Mapping[str, Any], root: str) -> None:
    """Refuse an old broker whose lists have the keys of svcjobs: it would be filled from itself.

    The same server is no fault, as the keys are others.

    Raises:
        ConfigurationError: they have.
    """
    for key in Layout(names, options).lists:
        if key == root or key.startswith((f"{root}:", f"{{{root}}}:")):
            raise ConfigurationError(
                f"the old broker's list {key!r} lies among the keys of svcjobs, which begin with {root!r}: source and"
                " target would be the same; check --queues and global_keyprefix, or set another JOBS_PREFIX"
            )


def _kind(url: str) -> str:
    """Which kind of broker is at a URL: ``redis`` or ``amqp``.

    Raises:
        ConfigurationError: the bridge doesn't speak to such a broker.
    """
    scheme = url.partition("://")[0].lower()
    for kind, schemes in (("redis", REDIS), ("amqp", AMQP)):
        if "://" in url and scheme in schemes:
            return kind
    if scheme.startswith("svcjobs"):
        raise ConfigurationError(f"--from is {mask(url)}: what waits there is in queues of svcjobs already")
    raise ConfigurationError(
        f"--from is {mask(url)!r}: the bridge moves from redis://, rediss://, amqp:// and amqps://; from other brokers"
        " of kombu use `svcjobs celery migrate`"
    )


def _options(pairs: tuple[str, ...]) -> dict[str, Any]:
    options = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not name or not equals:
            raise click.UsageError(f"--option {pair!r}: write NAME=VALUE")
        try:
            options[name] = json.loads(text)
        except ValueError:
            options[name] = text
    return options
