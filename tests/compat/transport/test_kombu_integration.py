"""kombu's own integration tests, unmodified, on svcjobs://.

Two of them, :data:`OVERRIDDEN`, are run as kombu has them for its Redis transport, where ``drain_events`` hands over
one message a call and priority 0 comes first, too.
"""

from __future__ import annotations

from typing import Any

from tests.compat.transport.kombu_source import integration_module

common = integration_module("common")
for_redis = integration_module("test_redis")

OVERRIDDEN = {
    ("BasePriority", "test_publish_consume"): "one message for each drain_events",
    ("BasePriority", "test_publish_requeue_consume"): "one message for each drain_events",
}


class TestBasic(common.BasicFunctionality): ...


class TestExchangeTypes(common.BaseExchangeTypes): ...


class TestTimeToLive(common.BaseTimeToLive): ...


class TestPriority(common.BasePriority):
    PRIORITY_ORDER = for_redis.test_RedisPriority.PRIORITY_ORDER
    test_publish_consume = for_redis.test_RedisPriority.test_publish_consume
    test_publish_requeue_consume = for_redis.test_RedisPriority.test_publish_requeue_consume


class TestMessage(common.BaseMessage): ...


if hasattr(common, "BaseEventLoop"):  # since kombu 5.7

    class TestEventLoop(common.BaseEventLoop): ...


class TestFailover(common.BaseFailover): ...


if hasattr(for_redis, "test_RedisPublishBatch"):

    class TestPublishBatch(for_redis.test_RedisPublishBatch):
        # looks for a PUBLISH on a channel of kombu's Redis transport; ours uses streams, test_fanout.py has the case
        test_fanout_is_deferred_until_flush = None
        # the option means nothing here: a repeated call carries the request's number, so batches are always safe
        test_retry_on_timeout_keeps_publication_immediate = None


def cases(kind: Any) -> dict[str, Any]:
    return {name: getattr(kind, name) for name in dir(kind) if name.startswith("test_")}


def test_every_case_is_run_and_those_alone_are_overridden_that_kombu_overrides_for_redis() -> None:
    ours = [kind for name, kind in globals().items() if name.startswith("Test")]
    theirs = [kind for name, kind in vars(for_redis).items() if name.startswith("test_Redis")]
    bases = {name: kind for name, kind in vars(common).items() if isinstance(kind, type) and cases(kind)}
    assert len(bases) >= 6
    for name, base in bases.items():
        (run,) = [kind for kind in ours if base is kind.__base__]
        differing = {(name, case) for case, function in cases(base).items() if cases(run)[case] is not function}
        assert differing == {override for override in OVERRIDDEN if override[0] == name}
        for case in {case for _, case in differing}:
            assert any(cases(run)[case] is kind.__dict__.get(case) for kind in theirs if base in kind.__bases__)
