"""A socket that is left open warns in the test that left it, or not at all."""

from __future__ import annotations

import gc
import socket
import warnings

import pytest


class Keeper:
    def __init__(self) -> None:
        self.socket = socket.socket()


def test_a_socket_that_goes_by_itself_warns() -> None:
    keeper = Keeper()
    with pytest.warns(ResourceWarning, match="unclosed"):
        del keeper


def test_one_that_the_collector_finds_doesnt() -> None:
    keeper = Keeper()
    keeper.itself = keeper  # type: ignore[attr-defined]
    del keeper
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert gc.collect() > 0
        warnings.warn("a warning after it", ResourceWarning, stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["a warning after it"]
