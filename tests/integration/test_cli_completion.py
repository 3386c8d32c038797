"""What a shell offers when TAB is pressed: by click's protocol, and in the shells that are here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner

from svcjobs.cli import main
from svcjobs.cli.completion import SOURCES
from svcjobs.heartbeats import Heartbeats, LiveWorker
from svcjobs.redis_queue import RedisJobQueue
from tests.servers import RedisServer
from tests.unit.test_settings import VARIABLES

Shell = Callable[..., str]
BIN = Path(sys.executable).parent
NOT_HERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def environment(redis_server: RedisServer, prefix: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return own | {"PATH": path, "JOBS_DRIVER": "redis", "REDIS_URL": redis_server.url, "JOBS_PREFIX": prefix}


@pytest.fixture
def queue(redis_client: redis.Redis, prefix: str) -> Iterator[RedisJobQueue]:
    with closing(RedisJobQueue(redis_client, prefix=prefix)) as queue:
        yield queue


def offered(environment: dict[str, str], line: str) -> list[str]:
    """What click answers to a bash that completes the last word of a line."""
    words = line.split(" ")
    asked = {"_SVCJOBS_COMPLETE": "bash_complete", "COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}
    answer = CliRunner().invoke(main, env=environment | asked, prog_name="svcjobs")
    assert (answer.exit_code, answer.stderr) == (0, "")
    return [choice.partition(",")[2] for choice in answer.stdout.split()]


def kill(queue: RedisJobQueue, name: str, job_id: str) -> None:
    queue.enqueue(name, job_id=job_id)
    job = queue.reserve_next()
    assert job is not None
    queue.bury(job, reason="bad", error="it broke")


def test_commands_and_options_are_offered(environment: dict[str, str]) -> None:
    assert offered(environment, "svcjobs re") == ["resume"]
    assert {"list", "show", "requeue", "purge"} <= set(offered(environment, "svcjobs dlq "))
    assert offered(environment, "svcjobs dlq requeue --dry") == ["--dry-run"]
    assert offered(environment, "svcjobs worker -P pre") == ["prefork"]
    assert offered(environment, "svcjobs completion ") == list(SOURCES)


def test_queues_of_live_workers_are_offered(
    environment: dict[str, str], redis_client: redis.Redis, prefix: str
) -> None:
    worker = LiveWorker(
        name="w", host="h", pid=1, pool="async", concurrency=1, started_at=datetime.now(UTC),
        queues=(f"{prefix}:{{emails}}", f"{prefix}:{{reports}}"),
    )  # fmt: skip
    with closing(Heartbeats(redis_client, prefix=prefix)) as heartbeats:
        heartbeats.beat(worker)
    assert offered(environment, "svcjobs status -Q ") == sorted(["emails", "reports", prefix])
    assert offered(environment, "svcjobs dlq list -Q em") == ["emails"]
    assert offered(environment, "svcjobs status -Q emails,re") == ["emails,reports"]
    assert offered(environment, "svcjobs status -Q emails,em") == []


def test_dead_jobs_and_names_are_offered(environment: dict[str, str], queue: RedisJobQueue) -> None:
    kill(queue, "send_mail", "m-1")
    kill(queue, "resize", "r-1")
    queue.enqueue("ready")
    queue.enqueue("later", delay_seconds=60)
    assert offered(environment, "svcjobs dlq show ") == ["r-1", "m-1"]
    assert offered(environment, "svcjobs dlq requeue r-1 m") == ["m-1"]
    assert offered(environment, "svcjobs dlq purge --name ") == ["resize", "send_mail"]
    assert offered(environment, "svcjobs cancel --name ") == ["later", "ready"]
    assert offered(environment, "svcjobs dlq show -Q emails ") == []


def test_a_server_that_is_away_offers_nothing_and_soon(environment: dict[str, str]) -> None:
    for line in ("svcjobs status -Q ", "svcjobs dlq show ", "svcjobs cancel --name "):
        began = time.monotonic()
        assert offered(environment | {"REDIS_URL": NOT_HERE}, line) == []
        assert time.monotonic() - began < 10
    assert offered(environment | {"REDIS_URL": "http://nonsense"}, "svcjobs status -Q ") == []


def test_the_option_says_which_server(environment: dict[str, str], queue: RedisJobQueue) -> None:
    kill(queue, "mail", "m-1")
    line = f"svcjobs dlq show --redis-url {environment['REDIS_URL']} "
    assert offered(environment | {"REDIS_URL": NOT_HERE}, line) == ["m-1"]


def in_shell(environment: dict[str, str], *command: str) -> list[str]:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_bash_completes(environment: dict[str, str], queue: RedisJobQueue) -> None:
    kill(queue, "mail", "m-1")
    script = """
    eval "$(svcjobs completion bash)"
    complete -p svcjobs > /dev/null || exit 1
    COMP_WORDS=(svcjobs dlq show m) COMP_CWORD=3
    _svcjobs_completion svcjobs
    printf '%s\\n' "${COMPREPLY[@]}"
    """
    assert in_shell(environment, "bash", "-c", script) == ["m-1"]


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish isn't installed")
def test_fish_completes(environment: dict[str, str], queue: RedisJobQueue, tmp_path: Path) -> None:
    kill(queue, "mail", "m-1")
    script = "svcjobs completion fish | source; complete -C 'svcjobs dlq show m'"
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    assert in_shell(environment | home, "fish", "-c", script) == ["m-1", "mail:", "it", "broke"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh isn't installed")
def test_zsh_completes(environment: dict[str, str], queue: RedisJobQueue, tmp_path: Path) -> None:
    kill(queue, "mail", "m-1")
    # these two are zsh's own outside of a completion widget
    script = """
    autoload -Uz compinit; compinit -u -d $ZDOTDIR/dump
    eval "$(svcjobs completion zsh)"
    [[ $_comps[svcjobs] == _svcjobs_completion ]] || exit 1
    _describe() { print -l ${(P)3}; }
    compadd() { print -l "$@"; }
    words=(svcjobs dlq show m) CURRENT=4
    _svcjobs_completion
    """
    found = in_shell(environment | {"ZDOTDIR": str(tmp_path)}, "zsh", "-f", "-c", script)
    assert found == ["m-1:mail:", "it", "broke"]


def test_the_help_says_where_the_line_goes() -> None:
    said = " ".join(CliRunner().invoke(main, ["completion", "--help"]).stdout.split())
    assert all(line in said for line in SOURCES.values())
