"""``celery amqp``: looking at the broker, and sending to it, by hand."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator

import pytest
import redis
from click.testing import CliRunner, Result

from svcjobs_celery_compat import Celery, _state
from svcjobs_celery_compat.bin.celery import celery
from tests.compat.program import SVCJOBS
from tests.servers import RedisServer


@pytest.fixture
def broker(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of one, for an app that is current meanwhile. ``-b`` goes into the environment, which is restored."""
    monkeypatch.setenv("CELERY_BROKER_URL", redis_server.url)
    monkeypatch.setattr(_state._tls, "current_app", None)
    with Celery("shop") as app:
        app.set_current()
        yield redis_server.url


def call(broker: str, *words: str, lines: str | None = None) -> Result:
    return CliRunner().invoke(celery, ["-b", broker, "amqp", *words], input=lines, catch_exceptions=False)


def test_a_shell_keeps_its_connection_for_all_its_lines(broker: str, prefix: str) -> None:
    done = call(
        broker,
        lines=f"queue.declare {prefix}\n"
        f"exchange.declare {prefix}-ex direct\n"
        f"queue.bind {prefix} {prefix}-ex key\n"
        f"basic.publish 'to the queue' '' {prefix}\n"
        f"basic.publish 'by the exchange' {prefix}-ex key\n"
        f"queue.declare {prefix} true\n"
        ":q\n"
        "queue.declare never\n",
    )
    assert done.exit_code == 0
    assert done.output.splitlines()[2:] == [
        f"queue:{prefix} messages:0 consumers:0", "OK",
        *["OK"] * 4,
        f"queue:{prefix} messages:2 consumers:0", "OK",
    ]  # fmt: skip
    assert done.output.startswith("-> connecting to redis://"), "once"
    assert done.output.count("connecting") == 1


def test_a_message_goes_back_unless_it_is_acked(broker: str, prefix: str, redis_client: redis.Redis) -> None:
    call(broker, "basic.publish", "déjà vu", "", prefix)
    first, second = (shown(call(broker, "basic.get", prefix)) for _ in range(2))
    assert first["body"] == second["body"] == "déjà vu"
    assert first["delivery_info"]["routing_key"] == prefix
    taken = shown(call(broker, "basic.get", prefix, "true"))
    assert taken["body"] == "déjà vu"
    assert "No messages in queue" in call(broker, "basic.get", prefix).output


def test_what_is_acked_in_the_same_shell_is_gone(broker: str, prefix: str) -> None:
    call(broker, "basic.publish", "a", "", prefix)
    command = [SVCJOBS, "celery", "-b", broker, "amqp", "repl"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdin
        assert shell.stdout
        print("basic.get", prefix, file=shell.stdin, flush=True)
        lines = list(iter(shell.stdout.readline, "OK\n"))
        message = ast.literal_eval("".join(lines[2:]))
        print("basic.ack", message["delivery_info"]["delivery_tag"], file=shell.stdin, flush=True)
        assert shell.stdout.readline() == "OK\n"
    assert shell.returncode == 0
    assert "No messages in queue" in call(broker, "basic.get", prefix).output


def test_purge_and_delete_tell_how_much_went(broker: str, prefix: str) -> None:
    for text in "abc":
        call(broker, "basic.publish", text, "", prefix)
    assert call(broker, "queue.purge", prefix).output.splitlines()[2:] == ["3 messages deleted.", "OK"]
    assert call(broker, "queue.delete", prefix).output.splitlines()[2:] == ["0 messages deleted.", "OK"]
    assert call(broker, "exchange.delete", "nobody", "true").output.splitlines()[2:] == ["OK"]


def test_what_fails_says_why_and_a_shell_goes_on(broker: str, prefix: str) -> None:
    failed = call(broker, "queue.declare", prefix, "true")
    assert failed.exit_code == 1
    assert f"ERROR: Channel.queue_declare: (404) NOT_FOUND - no queue '{prefix}'" in failed.output
    shell = call(broker, "repl", lines=f"queue.declare {prefix} true\nnosuch\nqueue.bind a\n\nqueue.declare {prefix}\n")
    assert shell.exit_code == 0
    for text in ("(404)", "No such command 'nosuch'", "Missing argument 'EXCHANGE'", f"queue:{prefix} messages:0"):
        assert text in shell.output
    assert shell.output.count("-> connected.") == 2, "a new connection after an error"


def shown(result: Result) -> dict[str, dict[str, str]]:
    """The message that ``basic.get`` printed."""
    text = "\n".join(result.output.splitlines()[2:-1])
    found: dict[str, dict[str, str]] = ast.literal_eval(text)
    return found
