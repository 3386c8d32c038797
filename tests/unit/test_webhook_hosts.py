"""The account of hosts: how many deliveries at once, and when a circuit opens and closes."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from svcjobs.clock import MovableClock
from svcjobs.errors import ConfigurationError, Postponed, WebhookFailed
from svcjobs.webhooks.hosts import Hosts
from svcjobs.webhooks.limits import DeliveryLimits


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock(0)


@pytest.fixture
def hosts(clock: MovableClock) -> Hosts:
    return Hosts(DeliveryLimits(per_host=2, failures=3), clock, lambda: 0.0)


def deliver(hosts: Hosts, healthy: bool | None, name: str = "a") -> None:
    with hosts.visit(name, "it") as visit:
        visit.healthy = healthy


def postponed(hosts: Hosts, name: str = "a") -> float:
    with pytest.raises(Postponed) as caught, hosts.visit(name, "it"):
        pass
    return caught.value.delay_seconds


def test_failures_in_a_row_open_the_circuit_of_that_host(hosts: Hosts) -> None:
    for _ in range(3):
        deliver(hosts, healthy=False)
    assert postponed(hosts) == 30
    deliver(hosts, healthy=True, name="b")


def test_a_success_in_between_keeps_it_closed(hosts: Hosts) -> None:
    for _ in range(5):
        deliver(hosts, healthy=False)
        deliver(hosts, healthy=False)
        deliver(hosts, healthy=True)


def test_what_says_nothing_of_the_host_changes_nothing(hosts: Hosts) -> None:
    for _ in range(5):
        deliver(hosts, healthy=None)
    for healthy in (False, False, None, False):
        deliver(hosts, healthy)
    assert postponed(hosts) == 30


def test_after_the_pause_one_delivery_tries_it_out(hosts: Hosts, clock: MovableClock) -> None:
    for _ in range(3):
        deliver(hosts, healthy=False)
    clock.advance(30)
    with hosts.visit("a", "it") as probe:
        assert postponed(hosts) == 5
        probe.healthy = True
    deliver(hosts, healthy=False)
    deliver(hosts, healthy=True)


def test_the_pause_doubles_up_to_ten_minutes(hosts: Hosts, clock: MovableClock) -> None:
    for _ in range(3):
        deliver(hosts, healthy=False)
    pauses = []
    for _ in range(7):
        pauses.append(postponed(hosts))
        clock.advance(pauses[-1])
        deliver(hosts, healthy=False)
    assert pauses == [30, 60, 120, 240, 480, 600, 600]


def test_a_probe_that_was_cut_short_lets_another_one_go(hosts: Hosts, clock: MovableClock) -> None:
    for _ in range(3):
        deliver(hosts, healthy=False)
    clock.advance(30)
    deliver(hosts, healthy=None)
    deliver(hosts, healthy=True)
    deliver(hosts, healthy=True)


def test_deliveries_that_fail_together_count_for_one_opening(clock: MovableClock) -> None:
    hosts = Hosts(DeliveryLimits(per_host=50, failures=3), clock, lambda: 0.0)
    with ExitStack() as running:
        for visit in [running.enter_context(hosts.visit("a", "it")) for _ in range(50)]:
            visit.healthy = False
    assert postponed(hosts) == 30
    clock.advance(30)
    deliver(hosts, healthy=False)
    assert postponed(hosts) == 60


def test_after_an_hour_attempts_are_charged_so_that_jobs_end(hosts: Hosts, clock: MovableClock) -> None:
    for _ in range(3):
        deliver(hosts, healthy=False)
    for _ in range(12):
        clock.advance(600)
        deliver(hosts, healthy=False)
    with pytest.raises(WebhookFailed, match="for 7200 s"), hosts.visit("a", "it"):
        pass


def test_what_was_put_back_comes_spread_over_half_the_pause(clock: MovableClock) -> None:
    hosts = Hosts(DeliveryLimits(failures=1), clock, lambda: 1.0)
    deliver(hosts, healthy=False)
    assert postponed(hosts) == 45


def test_more_than_may_run_at_once_come_back_one_by_one(hosts: Hosts, clock: MovableClock) -> None:
    with hosts.visit("a", "it"), hosts.visit("a", "it"):
        turns = [postponed(hosts) for _ in range(4)]
        assert turns == [0.5, 1.0, 1.5, 2.0]  # two at once, a second each
        for _ in range(500):
            postponed(hosts)
        assert postponed(hosts) == 60
        deliver(hosts, healthy=True, name="b")
    deliver(hosts, healthy=True)


def test_hosts_that_are_well_are_forgotten(hosts: Hosts) -> None:
    for number in range(100):
        deliver(hosts, healthy=True, name=str(number))
    assert not hosts._hosts


@pytest.mark.parametrize(
    "limits",
    [{"total_seconds": 0}, {"connect_seconds": -1}, {"silence_seconds": float("inf")}, {"body_bytes": -1},
     {"redirects": 1.5}, {"per_host": 0}, {"failures": True}],
)  # fmt: skip
def test_limits_out_of_range_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(limits))):
        DeliveryLimits(**limits)  # type: ignore[arg-type]
