"""Results in a Redis Cluster: ``redis+cluster://host:port,host:port``, any of its nodes."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cached_property
from typing import Any

from redis.exceptions import ClusterError, RedisClusterException, TryAgainError

from svcjobs._redis.connections import open_cluster
from svcjobs._redis.urls import mask, parse
from svcjobs_celery_compat.backends import redis as names
from svcjobs_celery_compat.backends.redis.backend import RedisBackend
from svcjobs_celery_compat.backends.redis.scripts import STORE_LUA
from svcjobs_celery_compat.outcome import effects_for

CLAIM_SECONDS = 86400
_OF_ONE_SERVER = ("host", "port", "db", "retry_on_timeout")


class ClusterBackend(RedisBackend):
    """Results spread over the nodes of a cluster; keys are those of one server, but for the keys of a chord.

    These are ``{celery-taskset-meta-<group id>}`` with their suffix: the braces keep them in one slot, as the scripts
    that count a chord need it. Results are heard of on one connection to any node: each tells the others.
    """

    further_connection_errors = (RedisClusterException, ClusterError, TryAgainError)

    def _params_from_url(self, url: str, defaults: dict[str, Any]) -> dict[str, Any]:
        parsed = parse(url)
        options = dict(parsed.options)
        if "credential_provider" in defaults:
            options = {name: value for name, value in options.items() if name not in ("username", "password")}
        given = {name: value for name, value in defaults.items() if name not in _OF_ONE_SERVER}
        return given | options | {"nodes": parsed.nodes}

    def _create_client(self, **params: Any) -> Any:
        nodes = params.pop("nodes")
        if params.pop("connection_class", None) is not None:  # that of connections with TLS
            params["ssl"] = True
        # a command that a node didn't take is sent again, once; further attempts are ours, see `ensure`
        return open_cluster(nodes, 1, **params)

    def as_uri(self, include_password: bool = False) -> str:
        """Where the nodes are, as people may see it."""
        url = self.url or ""
        return url if include_password else mask(url)

    def get_key_for_group(self, group_id: Any, key: str | bytes = "") -> Any:
        """The key of a group, or of what counts it: all of a group in one slot."""
        join = self.key_t("").join
        return join((self.key_t("{"), super().get_key_for_group(group_id), self.key_t("}"), self.key_t(key)))

    def _ensured(self, call: Callable[..., Any], *args: Any) -> Any:
        """Call, and again while a node is away if the outcome of a task depends on it.

        On a server nothing could commit meanwhile. Here the task would end as a failure, though a replica takes over
        within seconds.
        """
        return call(*args) if effects_for(self.client) is None else self.ensure(call, args)

    def get(self, key: Any) -> Any:
        """What is stored under `key`, None when nothing is."""
        return self._ensured(super().get, key)

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        """Keep the number of members; a chord of that id may have been before."""
        self._ensured(super().set_chord_size, group_id, chord_size)

    def _set_chord_key(self, key: Any, value: Any) -> None:
        self._ensured(super()._set_chord_key, key, value)

    def _run_script(self, script: Any, keys: list[Any], args: list[Any]) -> Any:
        return self._ensured(super()._run_script, script, keys, args)

    def _parts(self, parts_key: Any, total: int) -> Any:
        return self._ensured(super()._parts, parts_key, total)

    def mget(self, keys: Any) -> Any:
        """What is stored under each key: one command a slot, sent to all nodes at once."""
        return self.client.mget_nonatomic(list(keys))

    def _set(self, key: Any, value: Any, expires: Any = None) -> None:
        self._store_script(keys=[key], args=[value, int(expires or 0)], client=self.client)

    @cached_property
    def _store_script(self) -> Any:
        return self.client.register_script(STORE_LUA)

    def _claim_seconds(self) -> int:
        # That the body was started is told to the chord's node after the last member has committed. The claim is that
        # member's till then, however long a node is away: no run of another one may start the body as well.
        if effects_for(self.client) is not None:
            return int(self.chord_expires or CLAIM_SECONDS)
        return super()._claim_seconds()

    def new_pubsub(self) -> Any:
        """What listens for results, on a connection to a node that answers, if one does."""
        nodes = self.client.get_primaries()
        random.shuffle(nodes)
        found = next(filter(self._answers, nodes), nodes[0])
        return self.client.get_redis_connection(found).pubsub(ignore_subscribe_messages=True)

    def _answers(self, node: Any) -> bool:
        try:
            return bool(self.client.get_redis_connection(node).ping())
        except self.connection_errors as error:
            names.logger.info("a node of the cluster doesn't answer: %s", error)
            return False

    def forget_connections(self) -> None:
        """In a forked child: leave the connections to the parent."""
        self.__dict__.pop("client", None)
