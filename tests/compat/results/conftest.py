"""A server of these tests' own: they compare all keys that are there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.compat.close_app import close_app
from tests.compat.results.sides import Side, make_side
from tests.server_program import ServerProgram
from tests.servers import RedisServer


@pytest.fixture(scope="module")
def results_server(server_program: ServerProgram) -> Iterator[RedisServer]:
    with RedisServer(server_program) as server:
        yield server


MakeSides = Callable[..., tuple[Side, Side]]


@pytest.fixture
def sides(results_server: RedisServer) -> Iterator[MakeSides]:
    """Makes a side of Celery and one of the facade: on databases 1 and 2, or both on 1."""
    made: list[Side] = []

    def make(same: bool = False, **conf: Any) -> tuple[Side, Side]:
        pair = (
            make_side("celery", results_server, 1, **conf),
            make_side("facade", results_server, 1 if same else 2, **conf),
        )
        for side in pair:
            side.client.flushdb()
        made.extend(pair)
        return pair

    yield make
    for side in made:
        side.client.close()
        close_app(side.app)
