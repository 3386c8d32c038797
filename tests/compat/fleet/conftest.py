"""A server of each module's own: workers of other tests would take its tasks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.compat.fleet.fleet import Fleet
from tests.server_program import ServerProgram
from tests.servers import RedisServer


@pytest.fixture(scope="module")
def fleet(server_program: ServerProgram, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with RedisServer(server_program) as server:
        fleet = Fleet(server, tmp_path_factory.mktemp("fleet"))
        yield fleet
        fleet.close()
