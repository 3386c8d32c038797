"""What the nodes of a cluster run, as MONITOR shows it."""

from __future__ import annotations

import threading
from typing import Self

import redis

from tests.servers import Cluster


class Watch:
    """What the nodes run while a block is executed, as MONITOR shows it."""

    def __init__(self, cluster: Cluster) -> None:
        self.commands: dict[int, list[tuple[bool, list[str]]]] = {node.port: [] for node in cluster.nodes}
        """Per node, and then per command, whether a script ran it, and its words. Those of a script follow its call."""
        self._cluster = cluster
        self._clients: list[redis.Redis] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        for node in self._cluster.nodes:
            client = redis.Redis(port=node.port, socket_timeout=10)
            ready = threading.Event()
            thread = threading.Thread(target=self._listen, args=(client, self.commands[node.port], ready))
            thread.start()
            assert ready.wait(20)
            self._clients.append(client)
            self._threads.append(thread)
        return self

    def _listen(self, client: redis.Redis, commands: list[tuple[bool, list[str]]], ready: threading.Event) -> None:
        with client.monitor() as monitor:
            ready.set()
            while True:
                line = monitor.next_command()
                words = line["command"].split(" ")
                if words[0] == "ECHO":
                    return
                commands.append((line["client_type"] == "lua", words))

    def __exit__(self, *exc: object) -> None:
        for node in self._cluster.nodes:
            with redis.Redis(port=node.port) as client:
                client.echo("end")
        for thread in self._threads:
            thread.join(10)
        for client in self._clients:
            client.close()
