"""Crews: workers of which only the processes matter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.crews import Crew
from tests.servers import RedisServer

StartCrew = Callable[..., Crew]


@pytest.fixture
def start_crew(tmp_path: Path, request: pytest.FixtureRequest, prefix: str) -> Iterator[StartCrew]:
    """Starts a crew, on the run's server unless ``server`` is another; its folder is ``tmp_path/crew<number>``."""
    crews: list[Crew] = []

    def start(server: RedisServer | None = None, **options: Any) -> Crew:
        url = (server or request.getfixturevalue("redis_server")).url
        crews.append(Crew(tmp_path / f"crew{len(crews)}", url, prefix, **options))
        return crews[-1]

    yield start
    for crew in crews:
        crew.close()
