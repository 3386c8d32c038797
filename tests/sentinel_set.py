"""A primary with a replica, and the sentinel that watches them."""

from __future__ import annotations

from typing import Any, Self

import redis
from redis.sentinel import MasterNotFoundError
from redis.sentinel import Sentinel as SentinelClient

from tests.eventually import eventually
from tests.server_program import ServerProgram
from tests.servers import RedisServer, start_replica, start_sentinel

SERVICE = "mymaster"


class SentinelSet:
    """What ``redis+sentinel://`` needs, started by ``with``.

    Args:
        program: of all three.
    """

    def __init__(self, program: ServerProgram) -> None:
        self.primary = RedisServer(program, config={"repl-diskless-sync-delay": "0"})
        self._servers = [self.primary]

    @property
    def url(self) -> str:
        """What workers are given."""
        return f"redis+sentinel://127.0.0.1:{self._sentinel.port}/{SERVICE}"

    def client(self) -> redis.Redis:
        """A client that asks for the primary at each connection; closed with the set."""
        client: redis.Redis = self._manager.master_for(SERVICE, socket_timeout=2)
        self._clients.append(client)
        return client

    def wait_for_replica(self) -> None:
        """Return when the replica has all that was written so far."""
        with self.primary.client(single_connection_client=True) as client:
            client.set("written", "")  # WAIT counts from this connection's last write
            assert client.wait(1, 5_000) == 1

    def promoted(self) -> bool:
        """Whether the replica is the primary now, and the sentinel sends clients there."""
        try:
            role = self.replica.client().info("replication")["role"]
        except redis.ConnectionError:  # with its role, a server drops its clients
            return False
        return bool(role == "master" and self._sent_to_replica())

    def _sent_to_replica(self) -> bool:
        """The sentinel names the old primary until it has finished."""
        try:
            return bool(self._manager.discover_master(SERVICE)[1] == self.replica.port)
        except MasterNotFoundError:
            return False

    def __enter__(self) -> Self:
        self.primary.start()
        self.replica = start_replica(self.primary)
        self._sentinel = start_sentinel(self.primary, SERVICE)
        self._servers += [self.replica, self._sentinel]
        self._manager = SentinelClient([("127.0.0.1", self._sentinel.port)], socket_timeout=2)
        self._clients: list[Any] = [*self._manager.sentinels]
        eventually(lambda: self._manager.discover_slaves(SERVICE), 20, "the sentinel knows the replica")
        return self

    def __exit__(self, *exc: object) -> None:
        for item in [*self._clients, *self._servers]:
            item.close()
