"""How webhooks are sent over real HTTP: redirects, connections, receivers that misbehave, hosts that fail."""

from __future__ import annotations

import asyncio
import base64
import gc
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

import pytest
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.pool import StaticPool

from svcjobs.db.inbox import AsyncInboxStore
from svcjobs.db.outbox import AsyncOutboxStore
from svcjobs.db.tables import create_tables
from svcjobs.errors import DeadLetter, Postponed, WebhookFailed
from svcjobs.pools.own_loop import OwnLoop
from svcjobs.webhooks.limits import DeliveryLimits
from svcjobs.webhooks.signing import verify
from svcjobs.webhooks.standard import verify_standard
from tests.eventually import eventually_async
from tests.webhook_jobs import EVENT, Deliver, envelope, webhook
from tests.webhook_receiver import Receiver, hang_up, receiving, status

pytest_plugins = ["tests.webhook_handler"]


async def test_redirects_are_not_followed(deliver: Deliver, receiver: Receiver) -> None:
    receiver.answer = status(307, Location=receiver.url + "/elsewhere")
    with pytest.raises(WebhookFailed, match="answered 307"):
        await deliver(webhook())
    assert [path for path, _, _ in receiver.requests] == ["/hook"]


@pytest.mark.parametrize("code", [307, 308])
async def test_redirects_that_keep_the_body_are_followed_when_asked_for(
    make: Callable[..., Deliver], receiver: Receiver, code: int
) -> None:
    receiver.answers = {"/hook": status(code, Location="/second"), "/second": status(code, Location=receiver.url + "3")}
    await make(limits=DeliveryLimits(redirects=2))(webhook())
    assert [path for path, _, _ in receiver.requests] == ["/hook", "/second", "/hook3"]
    assert len({body for _, _, body in receiver.requests}) == 1


async def test_a_redirect_that_would_drop_the_body_is_not_followed(
    make: Callable[..., Deliver], receiver: Receiver
) -> None:
    receiver.answer = status(303, Location="/second")
    with pytest.raises(WebhookFailed, match="answered 303"):
        await make(limits=DeliveryLimits(redirects=2))(webhook())
    assert len(receiver.requests) == 1


async def test_a_redirect_loop_ends(make: Callable[..., Deliver], receiver: Receiver) -> None:
    receiver.answer = status(308, Location="/hook")
    with pytest.raises(WebhookFailed, match="more than 3 redirects"):
        await make(limits=DeliveryLimits(redirects=3))(webhook())
    assert len(receiver.requests) == 4


@pytest.mark.parametrize("location", ["", "ftp://x/", "http://[::1", "javascript:alert(1)"])
async def test_a_redirect_to_no_url_is_dead_at_once(
    make: Callable[..., Deliver], receiver: Receiver, location: str
) -> None:
    receiver.answer = status(307, Location=location)
    with pytest.raises(DeadLetter, match="no http:// or https:// URL") as caught:
        await make(limits=DeliveryLimits(redirects=1))(webhook())
    assert caught.value.reason == "invalid_url"


async def test_a_password_goes_to_no_other_host(make: Callable[..., Deliver], receiver: Receiver) -> None:
    with receiving() as other:
        receiver.answer = status(307, Location=other.url)
        url = receiver.url.replace("http://", "http://me:hush@")
        await make(limits=DeliveryLimits(redirects=1), get_webhook_url_for_topic=lambda topic: url)(webhook())
        assert "Authorization" in receiver.requests[0][1]
        assert "Authorization" not in other.requests[0][1]


# how it is sent


async def test_connections_are_used_again(deliver: Deliver, receiver: Receiver) -> None:
    receiver.answer = status(200, b"thanks")
    for number in range(5):
        await deliver(webhook(number))
    assert (len(receiver.requests), receiver.connections) == (5, 1)


def test_a_handler_outlives_its_event_loop(deliver: Deliver, receiver: Receiver) -> None:
    for number in range(3):
        asyncio.run(deliver(webhook(number)))  # type: ignore[arg-type]  # it is a coroutine
    assert receiver.connections == 3


def test_the_loop_of_a_pools_thread_takes_the_connections_with_it(deliver: Deliver, receiver: Receiver) -> None:
    loop = OwnLoop()
    for number in range(2):
        loop.finish(deliver(webhook(number)))
    assert receiver.connections == 1
    loop.close()  # an open connection would be a warning, which fails the test
    gc.collect()
    asyncio.set_event_loop(None)


async def test_url_and_secret_may_be_looked_up_by_coroutines(make: Callable[..., Deliver], receiver: Receiver) -> None:
    async def url(topic: str) -> str:
        return receiver.url

    async def secret(topic: str) -> str:
        return "looked up"

    await make(get_webhook_url_for_topic=url, get_secret_for_topic=secret)(webhook())
    _, headers, body = receiver.requests[0]
    assert verify("looked up", body, headers["X-Signature"])


async def test_a_body_beyond_the_limit_costs_the_connection_only(
    make: Callable[..., Deliver], receiver: Receiver
) -> None:
    receiver.answer = status(200, b"x" * 1001)
    deliver = make(limits=DeliveryLimits(body_bytes=1000))
    for number in range(2):
        await deliver(webhook(number))
    assert receiver.connections == 2


async def test_several_secrets_sign_while_they_rotate(make: Callable[..., Deliver], receiver: Receiver) -> None:
    await make(get_secret_for_topic=lambda topic: ["new", b"old"])(webhook())
    _, headers, body = receiver.requests[0]
    for secret in ("new", "old"):
        assert verify(secret, body, headers["X-Signature"])
    assert not verify("other", body, headers["X-Signature"])


async def test_the_headers_may_be_those_of_standard_webhooks(make: Callable[..., Deliver], receiver: Receiver) -> None:
    key = "whsec_" + base64.b64encode(b"0" * 32).decode()
    deliver = make(standard_webhooks=True, get_secret_for_topic=lambda topic: key)
    receiver.answer = status(500)
    for attempt in (1, 2):
        with pytest.raises(WebhookFailed):
            await deliver(webhook(attempts=attempt))
    receiver.answer = status(204)
    await deliver(webhook(payload={"another": "event"}))
    (_, first, body), (_, second, _), (_, other, _) = receiver.requests
    assert verify_standard(key, body, first)
    assert first["webhook-id"] == second["webhook-id"] != other["webhook-id"]
    assert "." not in first["webhook-id"]
    assert not {"X-Signature", "X-Event-Id", "X-Timestamp"} & first.keys()
    assert (first["X-Topic"], second["X-Attempt"]) == ("user.created", "2")


async def test_the_stores_may_be_those_of_asyncio(make: Callable[..., Deliver], receiver: Receiver) -> None:
    engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
    async with engine.begin() as connection:
        await connection.run_sync(create_tables)
    factory = async_sessionmaker(engine)
    async with factory() as session, session.begin():
        message = await AsyncOutboxStore(session).enqueue("user.created", EVENT)
    outbox = AsyncOutboxStore(factory)
    deliver = make(outbox=outbox, inbox=AsyncInboxStore(factory))
    for _ in range(2):
        await deliver(webhook(message.id))
    assert len(receiver.requests) == 1
    processed = await outbox.get(message.id)
    assert processed is not None
    assert processed.processed_at is not None
    await engine.dispose()


# where it is sent


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "0.0.0.0"])
async def test_without_permission_nothing_is_sent_to_this_machine(
    make: Callable[..., Deliver], receiver: Receiver, host: str
) -> None:
    url = receiver.url.replace("127.0.0.1", host)
    with pytest.raises(DeadLetter, match="where webhooks may not go") as caught:
        await make(allowed_destinations=(), get_webhook_url_for_topic=lambda topic: url)(webhook())
    assert caught.value.reason == "forbidden_address"
    assert receiver.connections == 0


async def test_a_redirect_is_checked_as_well(make: Callable[..., Deliver], receiver: Receiver) -> None:
    with receiving() as inner:
        receiver.answer = status(307, Location=inner.url.replace("127.0.0.1", "127.0.0.2"))
        with pytest.raises(DeadLetter) as caught:
            await make(limits=DeliveryLimits(redirects=1))(webhook())
        assert caught.value.reason == "forbidden_address"
        assert inner.connections == 0


# hosts that fail


async def test_a_host_that_fails_again_and_again_is_left_alone(deliver: Deliver, receiver: Receiver) -> None:
    receiver.answer = status(500)
    for number in range(DeliveryLimits().failures):
        with pytest.raises(WebhookFailed):
            await deliver(webhook(number))
    with pytest.raises(Postponed, match="failed") as caught:
        await deliver(webhook(99))
    assert 25 < caught.value.delay_seconds <= 45
    assert len(receiver.requests) == DeliveryLimits().failures


async def test_refusals_show_that_a_host_works(deliver: Deliver, receiver: Receiver) -> None:
    receiver.answer = status(429)
    for number in range(2 * DeliveryLimits().failures):
        with pytest.raises(WebhookFailed):
            await deliver(webhook(number))
    assert len(receiver.requests) == 2 * DeliveryLimits().failures


async def test_more_deliveries_at_once_than_a_host_may_have_are_put_off(
    make: Callable[..., Deliver], receiver: Receiver
) -> None:
    done = threading.Event()

    def wait(request: BaseHTTPRequestHandler) -> None:
        assert done.wait(10)
        status(204)(request)

    receiver.answer = wait
    deliver = make(limits=DeliveryLimits(per_host=2))
    running = [asyncio.ensure_future(deliver(webhook(number))) for number in range(2)]
    await eventually_async(lambda: len(receiver.requests) == 2)
    with pytest.raises(Postponed, match="2 deliveries to this host run already"):
        await deliver(webhook(3))
    with receiving() as other:
        await deliver(webhook(4, payload=envelope(url=other.url)))
    done.set()
    await asyncio.gather(*running)
    await deliver(webhook(3))


async def test_a_cancelled_delivery_says_nothing_of_the_host(make: Callable[..., Deliver], receiver: Receiver) -> None:
    done = threading.Event()
    receiver.answer = lambda request: (done.wait(10), status(204)(request))[1]
    deliver = make(limits=DeliveryLimits(failures=1))
    running = asyncio.ensure_future(deliver(webhook(1)))
    await eventually_async(lambda: receiver.requests)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    done.set()
    await deliver(webhook(2))


# receivers that misbehave


@pytest.mark.alone
async def test_a_silent_receiver_costs_no_more_than_the_timeout(
    make: Callable[..., Deliver], receiver: Receiver
) -> None:
    done = threading.Event()
    receiver.answer = lambda request: (done.wait(10), None)[1]
    started = time.monotonic()
    with pytest.raises(WebhookFailed, match=r"no answer within 0\.2 s"):
        await make(limits=DeliveryLimits(total_seconds=0.2))(webhook())
    assert time.monotonic() - started < 2
    done.set()


@pytest.mark.alone
async def test_a_header_in_drops_costs_no_more_than_the_timeout(
    make: Callable[..., Deliver], receiver: Receiver
) -> None:
    def drip(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while True:
            request.wfile.write(b"x")
            time.sleep(0.02)

    receiver.answer = drip
    started = time.monotonic()
    with pytest.raises(WebhookFailed, match="no answer within"):
        await make(limits=DeliveryLimits(total_seconds=0.3))(webhook())
    assert time.monotonic() - started < 2


async def test_an_endless_body_is_not_read(deliver: Deliver, receiver: Receiver) -> None:
    written = 0
    cut = threading.Event()

    def endless(request: BaseHTTPRequestHandler) -> None:
        nonlocal written
        request.send_response(200)
        request.end_headers()
        try:
            while written < 10**9:
                written += request.wfile.write(b"x" * 65_536)
        except OSError:
            cut.set()

    receiver.answer = endless
    await deliver(webhook())
    assert cut.wait(20)
    assert written < 50_000_000  # what fits into the buffers of the kernel


async def test_a_body_in_drops_costs_a_second_and_is_delivered_all_the_same(
    deliver: Deliver, receiver: Receiver
) -> None:
    def drip(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            request.wfile.write(b"x")
            time.sleep(0.02)

    receiver.answer = drip
    started = time.monotonic()
    await deliver(webhook())
    assert time.monotonic() - started < 5


async def test_a_body_that_is_cut_short_is_delivered_all_the_same(deliver: Deliver, receiver: Receiver) -> None:
    def cut(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        hang_up(request)

    receiver.answer = cut
    await deliver(webhook())
    await deliver(webhook())
    assert len(receiver.requests) == 1


async def test_an_endless_header_is_not_kept(deliver: Deliver, receiver: Receiver) -> None:
    def endless(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while True:
            request.wfile.write(b"x" * 65_536)

    receiver.answer = endless
    with pytest.raises(WebhookFailed, match="RemoteProtocolError"):
        await deliver(webhook())


async def test_a_receiver_that_reads_nothing_is_given_up(make: Callable[..., Deliver]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        deliver = make(
            get_webhook_url_for_topic=lambda topic: f"http://127.0.0.1:{server.getsockname()[1]}/",
            limits=DeliveryLimits(silence_seconds=0.2),
        )
        with pytest.raises(WebhookFailed, match="ReadTimeout"):
            await deliver(webhook())


async def test_a_connection_closed_without_an_answer_is_retried(deliver: Deliver, receiver: Receiver) -> None:
    receiver.answer = hang_up
    with pytest.raises(WebhookFailed, match=r"RemoteProtocolError|ReadError") as caught:
        await deliver(webhook())
    assert caught.value.status is None


async def test_no_listener_is_retried(make: Callable[..., Deliver]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        with pytest.raises(WebhookFailed, match="ConnectError"):
            await make(get_webhook_url_for_topic=lambda topic: url)(webhook())
