"""A message is the same after it was a job."""

from __future__ import annotations

import datetime as dt
import json
import math
import pickle
import uuid
from decimal import Decimal
from typing import Any

import kombu
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kombu.serialization import dumps

from svcjobs.errors import InvalidJob
from svcjobs.job import decode_payload, encode_payload
from svcjobs_celery_compat.transport.wire import PLAIN_NAME, decode, delay_seconds, encode, lifetime_seconds
from tests.servers import RedisServer

EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
TASK = {"task": "app.add", "id": "8d5f", "lang": "py", "retries": 0, "eta": None, "expires": None, "argsrepr": "(1, 2)"}


def message(
    body: Any, headers: dict[str, Any] | None = None, kind: str = "application/json", **properties: Any
) -> dict[str, Any]:
    return {
        "body": body,
        "headers": TASK if headers is None else headers,
        "content-type": kind,
        "content-encoding": "utf-8",
        "properties": {"priority": 0, "delivery_info": {"exchange": "", "routing_key": "celery"}, **properties},
    }


def through(sent: dict[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    name, payload = encode(sent)
    return name, payload, decode(decode_payload(encode_payload(payload)))


def test_a_task_in_json_can_be_read_by_any_worker() -> None:
    body = dumps(([1, "ü😀"], {"z": {"__type__": "datetime", "__value__": "2026-01-01"}}, EMBED), serializer="json")[2]
    sent = message(body)
    name, payload, got = through(sent)
    assert name == "app.add"
    assert payload["args"] == [1, "ü😀"]
    assert payload["kwargs"] == {"z": {"__type__": "datetime", "__value__": "2026-01-01"}}
    assert payload["_kombu"]["embed"] == EMBED
    assert "body" not in payload["_kombu"]
    assert got == {**sent, "body": body.encode()}


OPAQUE = {
    "NaN": '[[NaN], {}, {"chain": null}]',
    "infinity": '[[-Infinity], {}, {"chain": null}]',
    "a number that other readers round": "[[9007199254740993], {}, {}]",
    "a long fraction": "[[0.12345678901234567], {}, {}]",
    "other white space": "[[1],{},{}]",
    "a key twice": '[[], {"a": 1, "a": 2}, {}]',
    "half a surrogate pair": '[["\\ud800"], {}, {}]',
    "letters that aren't escaped": '[["ü"], {}, {}]',
    "no task's form": '{"hello": "world"}',
    "no JSON": "[[1], {",
    "nothing": "",
    "deep": "[" * 3000,
}


@pytest.mark.parametrize("body", OPAQUE.values(), ids=OPAQUE)
def test_another_body_is_opaque(body: str) -> None:
    _, payload, got = through(message(body))
    assert set(payload) == {"_kombu"}
    assert got["body"] == body.encode()


@pytest.mark.parametrize(
    "body", [b"\x00\xff\x80", b"", pickle.dumps({"a": 1}), b"x" * 1_000_000], ids=["binary", "empty", "pickle", "1 MB"]
)
def test_bytes_stay_bytes(body: bytes) -> None:
    _, _, got = through(message(body, kind="application/data"))
    assert got["body"] == body


def test_headers_of_any_kind_stay_what_they_are() -> None:
    headers = {
        "at": dt.datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=dt.UTC), "day": dt.date(2026, 1, 2), "id": uuid.UUID(int=5),
        "price": Decimal("1.10"), "none": None, "nested": {"list": [1, 2.5, True]}, "ü": "😀", "big": 2**70,
    }  # fmt: skip
    _, _, got = through(message(b"x", headers, kind="text/plain", correlation_id="c", reply_to="r", expiration="10"))
    assert got["headers"] == headers
    assert got["properties"]["reply_to"] == "r"


def test_headers_that_json_has_no_word_for_stay_too() -> None:
    _, _, got = through(message(b"x", {"nan": math.nan, "half": "\ud800"}))
    assert math.isnan(got["headers"]["nan"])
    assert got["headers"]["half"] == "\ud800"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # a busy machine's time is no fault
@given(args=st.lists(JSON), kwargs=st.dictionaries(st.text(), JSON), header=JSON)
def test_no_task_message_changes(args: Any, kwargs: Any, header: Any) -> None:
    body = json.dumps((args, kwargs, EMBED))
    _, _, got = through(message(body, {**TASK, "stamp": header}))
    assert got["body"] == body.encode()
    assert json.dumps(got["headers"]) == json.dumps({**TASK, "stamp": header})


def test_a_message_that_is_no_task_has_a_name_too() -> None:
    assert encode(message(b"x", {}))[0] == PLAIN_NAME
    assert encode(message(b"x", {"task": "two\nlines"}))[0] == PLAIN_NAME


def test_protocol_1_has_its_fields_in_the_body() -> None:
    eta = (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=60)).replace(tzinfo=None).isoformat()
    old = message(json.dumps({"task": "app.old", "id": "1", "args": [1], "kwargs": {}, "eta": eta}), {})
    name, _, got = through(old)
    assert name == "app.old"
    assert got["body"] == old["body"].encode()
    assert 55 < delay_seconds(old) <= 60


@pytest.mark.parametrize(
    ("eta", "low", "high"),
    [(None, 0, 0), ("nonsense", 0, 0), ("2020-01-01T00:00:00+00:00", 0, 0), ("9999-12-31T00:00:00", 1e11, 1e12)],
)
def test_an_eta_becomes_a_delay(eta: str | None, low: float, high: float) -> None:
    assert low <= delay_seconds(message(b"", {**TASK, "eta": eta})) <= high


def test_a_time_to_live_is_the_brokers_unless_the_worker_has_to_say_that_the_task_expired() -> None:
    assert lifetime_seconds(message(b"", {}, expiration="2000")) == 2
    assert lifetime_seconds(message(b"", {}, expiration="0")) == 0.001
    assert lifetime_seconds(message(b"", {}, expiration="soon")) is None
    assert lifetime_seconds(message(b"", {**TASK, "expires": "2026-01-01"}, expiration="2000")) is None


@pytest.mark.parametrize("payload", [{}, {"_kombu": 5}, {"_kombu": {"body": "eA=="}}, {"_kombu": {"typed": "{"}}])
def test_a_payload_that_is_no_message_is_refused(payload: dict[str, Any]) -> None:
    with pytest.raises(InvalidJob):
        decode(payload)


@pytest.mark.parametrize("serializer", ["json", "pickle", "yaml", "msgpack"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_kombu_reads_what_it_wrote(
    redis_server: RedisServer, connection: kombu.Connection, serializer: str, compression: str | None
) -> None:
    body = {"text": "ü😀", "list": [1, 2.5, None], "at": "2026-01-01"}
    with connection, connection.SimpleQueue("trip", serializer=serializer, compression=compression) as queue:
        queue.put(body, headers={"k": "v"}, correlation_id="c1", reply_to="r1", priority=3)
        got = connection.default_channel.basic_get("trip")
        got.accept = {got.content_type}
        assert got.decode() == body
        assert got.headers["k"] == "v"
        assert got.properties["correlation_id"] == "c1"
        assert got.properties["priority"] == 3
        assert got.delivery_info == {"exchange": "trip", "routing_key": "trip"}
        got.ack()


TRIPS = {
    "datetimes": (
        dumps({"at": dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC)}, serializer="json")[2],
        "application/json",
    ),
    "a task with NaN": ('[[NaN, 9007199254740993], {}, {"chain": null}]', "application/json"),
    "a task in unicode": (json.dumps((["\u00fc\U0001f600"], {}, EMBED)), "application/json"),
    "binary": (b"\x00\xff\x80\r\n", "application/data"),
    "1 MB": (b"\x00\x01" * 524_288, "application/data"),
    "protocol 1": (json.dumps({"task": "app.old", "id": "1", "args": [1], "kwargs": {}}), "application/json"),
}


@pytest.mark.parametrize(("body", "kind"), TRIPS.values(), ids=TRIPS)
def test_a_message_comes_back_from_the_server_as_it_was_sent(
    connection: kombu.Connection, body: str | bytes, kind: str
) -> None:
    headers = TASK if body[:1] in ("[", b"[") else {"when": dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "n": None}
    with connection:
        connection.Producer().publish(
            body, routing_key="trip", headers=headers, correlation_id="c", reply_to="r", priority=3,
            content_type=kind, content_encoding="utf-8" if kind.endswith("json") else "binary",
        )  # fmt: skip
        got = connection.default_channel.basic_get("trip")
        as_bytes = body.encode() if isinstance(body, str) else body
        assert (got.body.encode() if isinstance(got.body, str) else got.body) == as_bytes
        assert got.headers == headers
        assert got.content_type == kind
        assert {name: got.properties[name] for name in ("correlation_id", "reply_to", "priority")} == {
            "correlation_id": "c", "reply_to": "r", "priority": 3,
        }  # fmt: skip
        got.ack()
