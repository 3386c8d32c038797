"""Real servers for tests, benchmarks and examples: starting, killing, pausing and stopping them."""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import redis

from tests.ports import free_port
from tests.server_program import NoServer, ServerProgram, choose_server

START_TIMEOUT_SECONDS = 20.0
STOP_TIMEOUT_SECONDS = 10.0

# redis-server can't watch its parent. This asks the kernel to kill it with us, then becomes the server (same pid).
DIE_WITH_PARENT = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


class RedisServer:
    """A server of our own on a free port (or a unix socket), its data in a temporary folder.

    It dies with this process, however that ends. Start it with :meth:`start` or ``with``.

    Args:
        program: which program; the chosen one when left out.
        appendonly: keep an append-only file, synced at every write, so that a kill loses nothing.
        maxmemory: such as ``10mb``.
        policy: the ``maxmemory-policy``.
        password: what clients have to give; part of :attr:`url`.
        cluster: be a node of a cluster.
        unix_socket: listen on a socket file and no port.
        config: further settings, by their names in redis.conf.
    """

    def __init__(
        self,
        program: ServerProgram | None = None,
        *,
        appendonly: bool = False,
        maxmemory: str | None = None,
        policy: str | None = None,
        password: str | None = None,
        cluster: bool = False,
        unix_socket: bool = False,
        config: Mapping[str, str] | None = None,
    ) -> None:
        chosen = program or choose_server()
        if chosen is None:
            raise NoServer("no Redis or Valkey server here: install one, or run `make setup` on Linux x86_64")
        self.program = chosen
        self.folder = Path(tempfile.mkdtemp(prefix="svcjobs-redis-"))
        self.socket_path = self.folder / "redis.sock" if unix_socket else None
        self.password = password
        self.port = 0
        self._appendonly = appendonly
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: list[redis.Redis] = []
        self._owner = os.getpid()
        self._settings: dict[str, str] = {
            "bind": "127.0.0.1",
            "dir": str(self.folder),
            "logfile": str(self.folder / "redis.log"),
            "save": '""',
            "appendonly": "yes" if appendonly else "no",
            "appendfsync": "always",
        }
        optional = {"maxmemory": maxmemory, "maxmemory-policy": policy, "requirepass": password}
        self._settings |= {name: value for name, value in optional.items() if value is not None}
        if self.socket_path:
            self._settings["unixsocket"] = str(self.socket_path)
        if cluster:
            self._settings |= {"cluster-enabled": "yes", "cluster-node-timeout": "2000"}
        self._settings |= config or {}
        self._config_path = self.folder / "redis.conf"
        self._config_path.write_text("".join(f"{name} {value}\n" for name, value in self._settings.items()))

    @property
    def url(self) -> str:
        """What a client connects to, password included."""
        login = f":{self.password}@" if self.password else ""
        return f"unix://{login}{self.socket_path}" if self.socket_path else f"redis://{login}127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The server's process id."""
        if self._process is None:
            raise RuntimeError("the server isn't running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives, paused or not."""
        return self._process is not None and self._process.poll() is None

    def client(self, **options: Any) -> redis.Redis:
        """A client of this server, closed with it."""
        client = redis.Redis.from_url(self.url, **({"socket_timeout": 10} | options))
        self._clients.append(client)
        return client

    def start(self) -> Self:
        """Start on a free port, the first time; on the same one later."""
        atexit.register(self.close)
        if self.port or self.socket_path:
            self._launch()
            return self
        while not self.port:
            self.port = free_port()
            try:
                self._launch()
            except PortTaken:
                self.port = 0
        return self

    def kill(self) -> None:
        """SIGKILL: what wasn't appended to a file is lost."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop in an orderly way. A server without append-only file saves a snapshot first."""
        if not self.running:
            return
        self.resume()
        if not self._appendonly:
            with self._probe() as client, contextlib.suppress(redis.RedisError):
                client.config_set("save", "86400 1000000")  # with a save rule, SIGTERM saves
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Start again, on the same port with the same data, whether it was killed, stopped or still runs."""
        self.stop()
        self._launch()

    def pause(self) -> None:
        """SIGSTOP: connections stay up, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after :meth:`pause`."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Kill the server and remove its data."""
        atexit.unregister(self.close)
        if os.getpid() != self._owner:  # a forked child of the tests at its exit
            return
        for client in self._clients:
            client.close()
        self._clients.clear()
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self if self.running else self.start()

    def __exit__(self, *exc: object) -> None:
        self.close()

    def log(self) -> str:
        """The end of what the server logged."""
        path = self.folder / "redis.log"
        return path.read_text(errors="replace")[-3000:] if path.exists() else ""

    def _command(self) -> list[str]:
        return [str(self.program.path), str(self._config_path), "--port", str(self.port)]

    def _launch(self) -> None:
        command = self._command()
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", "-c", DIE_WITH_PARENT, str(os.getpid()), *command]
        with (self.folder / "redis.log").open("wb") as log:
            started = _spawner().submit(subprocess.Popen, command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            self._process = started.result()
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        with self._probe() as client:
            while not self._answers(client):
                if not self.running and "Address already in use" in self.log():
                    raise PortTaken(self.port)
                if not self.running or time.monotonic() > deadline:
                    log_text = self.log()
                    self.kill()
                    raise RuntimeError(f"{self.program} didn't start:\n{log_text}")
                time.sleep(0.01)

    def _probe(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, socket_timeout=2, retry=None, single_connection_client=False)

    def _answers(self, client: redis.Redis) -> bool:
        """Whether our process, and no other at this port, answers and has loaded its data."""
        try:
            ours = client.info("server")["process_id"] == self.pid
            return ours and not client.info("persistence").get("loading")
        except redis.RedisError:
            return False

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class PortTaken(Exception):
    """Another process was faster to take the port."""


class Sentinel(RedisServer):
    """A sentinel that watches one server and promotes a replica when it is gone for a second.

    Args:
        primary: the server to watch.
        name: what clients ask for.
    """

    def __init__(self, primary: RedisServer, name: str = "mymaster") -> None:
        super().__init__(primary.program)
        # a sentinel refuses a server's other settings, and writes what it learns into this file
        kept = "".join(f"{setting} {self._settings[setting]}\n" for setting in ("bind", "dir", "logfile"))
        self._config_path.write_text(
            f"{kept}sentinel monitor {name} 127.0.0.1 {primary.port} 1\n"
            f"sentinel down-after-milliseconds {name} 1000\n"
            f"sentinel failover-timeout {name} 5000\n"
        )

    def _command(self) -> list[str]:
        return [*super()._command(), "--sentinel"]


class Cluster:
    """Nodes of one cluster, the slots shared out evenly; without replicas, until :meth:`add_replica`."""

    def __init__(self, nodes: list[RedisServer]) -> None:
        self.nodes = nodes
        self.replicas: list[RedisServer] = []
        self._clients: list[redis.RedisCluster] = []

    @property
    def port(self) -> int:
        """The first node's port."""
        return self.nodes[0].port

    @property
    def url(self) -> str:
        """The first node's URL; a cluster client finds the rest."""
        return self.nodes[0].url

    def client(self, **options: Any) -> redis.RedisCluster:
        """A client of the cluster, closed with it."""
        client = redis.RedisCluster.from_url(self.url, **options)
        self._clients.append(client)
        return client

    def add_replica(self, primary: RedisServer) -> RedisServer:
        """Start a node that takes the place of one of the others when that is gone, and wait until it has its data."""
        replica = RedisServer(primary.program, cluster=True).start()
        self.replicas.append(replica)
        client, name = replica.client(), primary.client(decode_responses=True).execute_command("CLUSTER MYID")
        client.execute_command("CLUSTER MEET", "127.0.0.1", primary.port)
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while client.info("replication").get("master_link_status") != "up" or not self._is_whole():
            if time.monotonic() > deadline:
                raise RuntimeError(f"the replica didn't sync:\n{replica.log()}")
            if client.info("replication")["role"] == "master":
                with contextlib.suppress(redis.ResponseError):  # it hasn't heard of the primary yet
                    client.execute_command("CLUSTER REPLICATE", name)
            time.sleep(0.02)
        return replica

    def _is_whole(self) -> bool:
        nodes = [*self.nodes, *self.replicas]
        return all(_knows_all(node.client(decode_responses=True), len(nodes)) for node in nodes)

    def close(self) -> None:
        """Kill all nodes and remove their data."""
        for item in [*self._clients, *self.nodes, *self.replicas]:
            item.close()
        with warnings.catch_warnings():
            # redis-py drops open connections when it learns the nodes anew: not in the middle of another test
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


def start_cluster(size: int = 3, program: ServerProgram | None = None, *, appendonly: bool = False) -> Cluster:
    """Start a cluster and wait until every node takes part in it."""
    nodes = [RedisServer(program, cluster=True, appendonly=appendonly).start() for _ in range(size)]
    cluster = Cluster(nodes)
    clients = [node.client(decode_responses=True) for node in cluster.nodes]
    slots = 16384
    for number, client in enumerate(clients):
        client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
        own = range(slots * number // size, slots * (number + 1) // size)
        client.execute_command("CLUSTER ADDSLOTS", *own)  # ADDSLOTSRANGE needs 7.0
    for node in cluster.nodes[1:]:
        clients[0].execute_command("CLUSTER MEET", "127.0.0.1", node.port)
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while not all(_knows_all(client, size) for client in clients):
        if time.monotonic() > deadline:
            cluster.close()
            raise RuntimeError("the cluster didn't form in time")
        time.sleep(0.02)
    return cluster


def start_sentinel(primary: RedisServer, name: str = "mymaster") -> Sentinel:
    """Start a sentinel that watches ``primary``."""
    sentinel = Sentinel(primary, name)
    sentinel.start()
    return sentinel


def start_replica(primary: RedisServer) -> RedisServer:
    """Start a replica of ``primary`` and wait until it has its data."""
    replica = RedisServer(primary.program, config={"replicaof": f"127.0.0.1 {primary.port}"}).start()
    client = replica.client()
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while client.info("replication")["master_link_status"] != "up":
        if time.monotonic() > deadline:
            raise RuntimeError(f"the replica didn't sync:\n{replica.log()}")
        time.sleep(0.02)
    return replica


def _knows_all(client: redis.Redis, size: int) -> bool:
    text = client.execute_command("CLUSTER INFO")
    info = text if isinstance(text, dict) else dict(line.split(":", 1) for line in text.split("\r\n") if line)
    return info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == size


@functools.cache
def _spawner() -> ThreadPoolExecutor:
    """The one thread that starts servers: the kernel counts the starting thread, not the process, as the parent."""
    return ThreadPoolExecutor(1, thread_name_prefix="server-spawner")
