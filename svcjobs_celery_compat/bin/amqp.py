"""``celery amqp``: a shell on the broker."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable, Iterator
from pprint import pformat
from typing import Any

import click
import kombu

from svcjobs_celery_compat.bin.base import CLIContext, handle_preload_options

LEAVE = (":q", ":quit", ":exit")
PROMPT = "> "


class Shell:
    """What the commands of one ``celery amqp`` share: a connection, which lasts until they end.

    Args:
        cli: where they write to, and the app whose broker it is.
    """

    def __init__(self, cli: CLIContext) -> None:
        self._cli = cli
        self._connection: kombu.Connection | None = None

    @property
    def channel(self) -> Any:
        """A channel; messages that were got and not acked go back to their queue when it closes."""
        if self._connection is None:
            connection = self._cli.app.connection_for_write()
            self._cli.echo(f"-> connecting to {connection.as_uri()}.")
            connection.connect()
            self._cli.echo("-> connected.")
            self._connection = connection
        return self._connection.default_channel

    def do(self, work: Callable[[Any], object]) -> None:
        """Do something on the channel, and say how it went.

        Raises:
            click.exceptions.Exit: it failed, with exit code 1. Another command would begin with a new connection.
        """
        try:
            told = work(self.channel)
        except Exception as error:  # whatever a transport raises
            self._cli.echo(f"{self._cli.ERROR}: {error}")
            self.close()
            raise click.exceptions.Exit(1) from error
        if told is not None:
            self._cli.echo(told)
        self._cli.echo(self._cli.OK)

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()


@click.group(invoke_without_command=True)
@click.pass_context
@handle_preload_options
def amqp(ctx: click.Context, /, **kwargs: Any) -> None:
    """AMQP Administration Shell.

    Also works for non-AMQP transports (but not ones that store declarations in memory).
    """
    shell = Shell(ctx.obj)
    ctx.call_on_close(shell.close)
    ctx.obj = shell
    if ctx.invoked_subcommand is None:
        ctx.invoke(repl)


@amqp.command("exchange.declare")
@click.argument("exchange")
@click.argument("type")
@click.argument("passive", type=bool, default=False)
@click.argument("durable", type=bool, default=False)
@click.argument("auto_delete", type=bool, default=False)
@click.pass_obj
def exchange_declare(shell: Shell, /, exchange: str, type: str, **flags: bool) -> None:
    """Declare an exchange."""
    shell.do(lambda channel: _nothing(channel.exchange_declare(exchange=exchange, type=type, **flags)))


@amqp.command("exchange.delete")
@click.argument("exchange")
@click.argument("if_unused", type=bool)
@click.pass_obj
def exchange_delete(shell: Shell, /, exchange: str, if_unused: bool) -> None:
    """Delete an exchange."""
    shell.do(lambda channel: _nothing(channel.exchange_delete(exchange=exchange, if_unused=if_unused)))


@amqp.command("queue.bind")
@click.argument("queue")
@click.argument("exchange")
@click.argument("routing_key")
@click.pass_obj
def queue_bind(shell: Shell, /, **names: str) -> None:
    """Let an exchange route messages into a queue."""
    shell.do(lambda channel: _nothing(channel.queue_bind(**names)))


@amqp.command("queue.declare")
@click.argument("queue")
@click.argument("passive", type=bool, default=False)
@click.argument("durable", type=bool, default=False)
@click.argument("auto_delete", type=bool, default=False)
@click.pass_obj
def queue_declare(shell: Shell, /, queue: str, **flags: bool) -> None:
    """Declare a queue, and tell what it holds."""

    def declare(channel: Any) -> str:
        found = channel.queue_declare(queue=queue, **flags)
        return f"queue:{found.queue} messages:{found.message_count} consumers:{found.consumer_count}"

    shell.do(declare)


@amqp.command("queue.delete")
@click.argument("queue")
@click.argument("if_unused", type=bool, default=False)
@click.argument("if_empty", type=bool, default=False)
@click.pass_obj
def queue_delete(shell: Shell, /, queue: str, if_unused: bool, if_empty: bool) -> None:
    """Delete a queue with its messages."""
    shell.do(lambda channel: _deleted(channel.queue_delete(queue=queue, if_unused=if_unused, if_empty=if_empty)))


@amqp.command("queue.purge")
@click.argument("queue")
@click.pass_obj
def queue_purge(shell: Shell, /, queue: str) -> None:
    """Delete the messages of a queue."""
    shell.do(lambda channel: _deleted(channel.queue_purge(queue=queue)))


@amqp.command("basic.publish")
@click.argument("msg")
@click.argument("exchange")
@click.argument("routing_key")
@click.argument("mandatory", type=bool, default=False)
@click.argument("immediate", type=bool, default=False)
@click.pass_obj
def basic_publish(shell: Shell, /, msg: str, exchange: str, routing_key: str, **flags: bool) -> None:
    """Send a text; the exchange '' takes the name of a queue as routing key."""

    def publish(channel: Any) -> None:
        kombu.Producer(channel).publish(msg, exchange=exchange, routing_key=routing_key, **flags)

    shell.do(publish)


@amqp.command("basic.get")
@click.argument("queue")
@click.argument("no_ack", type=bool, default=False)
@click.pass_obj
def basic_get(shell: Shell, /, queue: str, no_ack: bool) -> None:
    """Show the next message of a queue; without NO_ACK it waits for basic.ack, and goes back at the end."""

    def get(channel: Any) -> str:
        message = channel.basic_get(queue, no_ack=no_ack)
        if message is None:
            return "No messages in queue. basic.publish something."
        body = message.body.decode(errors="replace") if isinstance(message.body, bytes) else message.body
        tag = {"delivery_tag": message.delivery_tag}
        properties = {name: value for name, value in message.properties.items() if name not in ("delivery_info", *tag)}
        return pformat({"body": body, "delivery_info": message.delivery_info | tag, "properties": properties})

    shell.do(get)


@amqp.command("basic.ack")
@click.argument("delivery_tag")
@click.pass_obj
def basic_ack(shell: Shell, /, delivery_tag: str) -> None:
    """Say that a message which basic.get showed is done."""
    shell.do(lambda channel: _nothing(channel.basic_ack(delivery_tag)))


@amqp.command()
@click.pass_context
def repl(ctx: click.Context) -> None:
    """Start an interactive shell: a command a line. Without a terminal, commands are read and nothing is asked.

    It ends at the end of its input, and with :q, :quit or :exit.
    """
    group, shell_context = amqp, ctx.parent
    assert shell_context is not None  # noqa: S101 - it is a command of the group
    for line in _lines():
        words = shlex.split(line)
        if not words:
            continue
        if words[0] in LEAVE:
            return
        try:
            name, command, rest = group.resolve_command(shell_context, words)
            assert command is not None  # noqa: S101 - else it raises
            with command.make_context(name, rest, parent=shell_context) as called:
                command.invoke(called)
        except click.exceptions.Exit:
            continue  # it has said why, or was asked for its help
        except click.ClickException as error:
            error.show()


def _lines() -> Iterator[str]:
    if not sys.stdin.isatty():
        yield from sys.stdin
        return
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            yield input(PROMPT)


def _nothing(_answer: object) -> None:
    """What a broker answers says nothing to a reader."""


def _deleted(count: int | None) -> str:
    return f"{count or 0} messages deleted."
