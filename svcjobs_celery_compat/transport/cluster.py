"""A Redis Cluster behind the transport: where its keys lie.

All that isn't a queue's own has keys that begin with the root, which is a hash tag here (``{jobs}``): it lies in the
slot of the default queue, so that a transaction, a script or one XREAD can have several of these keys.
"""

from __future__ import annotations

import logging
from typing import Any

import redis
from redis.exceptions import RedisClusterException

from svcjobs._redis.connections import is_cluster

logger = logging.getLogger(__name__)


def root_on(client: Any, root: str) -> str:
    """What all keys begin with on the server of ``client``: a hash tag on a cluster, else ``root`` as it is."""
    return f"{{{root.strip('{}')}}}" if is_cluster(client) else root


def holder_of(client: Any, key: str) -> Any:
    """A client of the one server that holds a key: ``client``, or that of a node of its cluster.

    Raises:
        redis.ConnectionError: the cluster has lost the node.
    """
    if not is_cluster(client):
        return client
    try:
        return client.get_redis_connection(client.get_node_from_key(key))
    except RedisClusterException as error:
        raise redis.ConnectionError(str(error)) from error


def look_again(client: Any) -> None:
    """Let the client of a cluster find out which node has which slots now."""
    try:
        client.nodes_manager.initialize()
    except (RedisClusterException, redis.RedisError, OSError) as error:
        logger.info("no node of the cluster tells where its slots are: %s", error)
