"""Messages between the processes of a worker."""

from __future__ import annotations

import logging

import pytest

from svcjobs.reports import HeldJob, Report, datagram_pair, send


def test_one_that_no_datagram_can_hold_is_an_error_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    reads, writes = datagram_pair()
    with reads, writes, caplog.at_level(logging.ERROR):
        assert not send(writes, Report(1, [HeldJob("q", "x" * 20_000_000, "lease")]).encode())
        assert "run fewer jobs at once" in caplog.text
        assert send(writes, Report(1).encode())


def test_a_full_buffer_is_no_error_but_a_closed_end_is() -> None:
    reads, writes = datagram_pair()
    with reads, writes:
        while send(writes, Report(1).encode()):
            pass
        reads.close()
        assert not send(writes, Report(1).encode())
        writes.close()
        with pytest.raises(OSError, match="Bad file"):
            send(writes, Report(1).encode())
