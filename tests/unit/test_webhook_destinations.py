"""Which addresses are public, what may be allowed beyond, and that the address that was checked is connected to."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from svcjobs.builtins.webhook_delivery import make_webhook_handler
from svcjobs.db.inbox import InMemoryInboxStore
from svcjobs.db.outbox import InMemoryOutboxStore
from svcjobs.errors import ConfigurationError, DeadLetter, WebhookFailed
from svcjobs.job import Job
from svcjobs.webhooks.destinations import Destinations, ForbiddenDestination, is_public
from svcjobs.webhooks.limits import DeliveryLimits
from tests.webhook_receiver import Receiver, receiving, status

PUBLIC = ["1.1.1.1", "8.8.8.8", "172.15.255.255", "172.32.0.0", "100.63.255.255", "100.128.0.0", "223.255.255.255"]
PUBLIC_V6 = ["2606:4700::1111", "2a00::1", "2001:200::1", "64:ff9b::8.8.8.8"]
FORBIDDEN = {
    "loopback": ["127.0.0.1", "127.255.255.254", "::1"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"],
    "carrier": ["100.64.0.1", "100.127.255.255"],
    "link-local": ["169.254.0.1", "fe80::1", "fe80::1%eth0"],
    "unique-local": ["fc00::1", "fdff::1"],
    "metadata": ["169.254.169.254", "fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16"],
    "multicast": ["224.0.0.1", "239.255.255.255", "ff02::1"],
    "broadcast": ["255.255.255.255", "240.0.0.1"],
    "nowhere": ["0.0.0.0", "0.1.2.3", "::"],
    "documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"],
    "benchmarks": ["198.18.0.1", "198.19.255.255"],
    "IPv4 in IPv6": ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1"],
    "tunnels": ["2002:7f00:1::", "2001:0:1::1", "192.88.99.1"],
    "NAT64": ["64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::1"],
    "site-local": ["fec0::1"],
}


@pytest.mark.parametrize("address", PUBLIC + PUBLIC_V6)
def test_public_addresses(address: str) -> None:
    assert is_public(ip_address(address))
    assert Destinations().choose("host", [address]) == [address]


@pytest.mark.parametrize("address", [address for kind in FORBIDDEN.values() for address in kind])
def test_all_others_are_forbidden(address: str) -> None:
    assert not is_public(ip_address(address))
    with pytest.raises(ForbiddenDestination, match="host is at"):
        Destinations().choose("host", [address])


def test_of_several_addresses_the_public_ones_are_taken() -> None:
    assert Destinations().choose("host", ["10.0.0.1", "8.8.8.8", "::1", "1.1.1.1"]) == ["8.8.8.8", "1.1.1.1"]
    with pytest.raises(ForbiddenDestination):
        Destinations().choose("host", [])


def test_what_is_allowed_is_allowed_and_no_more() -> None:
    destinations = Destinations(["10.1.0.0/16", "127.0.0.1", "fd00::/8", "Hooks.Internal", "bücher.test."])
    for address in ("10.1.2.3", "127.0.0.1", "fd12::1"):
        assert destinations.choose("any", [address]) == [address]
    for address in ("10.2.0.1", "127.0.0.2", "fc00::1", "::ffff:127.0.0.1"):
        with pytest.raises(ForbiddenDestination):
            destinations.choose("any", [address])
    for name in ("hooks.internal", "HOOKS.internal.", "xn--bcher-kva.test"):
        assert destinations.choose(name, ["192.168.0.1"]) == ["192.168.0.1"]
    for name in ("internal", "a.hooks.internal", "hooks.internal.evil.test"):
        with pytest.raises(ForbiddenDestination):
            destinations.choose(name, ["192.168.0.1"])


@pytest.mark.parametrize("entry", ["http://x", "x:80", "10.1.2.3/16", "*.internal", "", "a b", "x/24", None, "[::1]"])
def test_an_entry_that_is_neither_host_nor_network_is_refused(entry: Any) -> None:
    with pytest.raises(ConfigurationError, match="allowed_destinations"):
        Destinations([entry])


# the connection


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


class Names:
    """A name server under somebody else's control: each look-up of a name gets the next of its answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self.look_up)

    def look_up(self, host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host not in self.answers:
            return self._real(host, port, *args, **options)
        self.asked.append(host)
        answers = self.answers[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


async def deliver(url: str, **options: Any) -> None:
    handler = make_webhook_handler(
        outbox=InMemoryOutboxStore(),
        inbox=InMemoryInboxStore(),
        get_webhook_url_for_topic=lambda topic: url,
        get_secret_for_topic=lambda topic: "secret",
        **options,
    )
    await handler(Job(id="1", name="webhook.a", payload={"outbox_id": 1, "topic": "a", "payload": {}}, attempts=1))


def named(receiver: Receiver, name: str) -> str:
    return receiver.url.replace("127.0.0.1", name)


async def test_a_name_is_looked_up_once_and_the_checked_address_is_connected_to(
    names: Names, receiver: Receiver
) -> None:
    names.answers["hooks.test"] = [["127.0.0.1"], ["192.0.2.1"]]
    await deliver(named(receiver, "hooks.test"), allowed_destinations=["127.0.0.1"])
    assert names.asked == ["hooks.test"]
    port = receiver.url.rpartition(":")[2].partition("/")[0]
    assert receiver.requests[0][1]["Host"] == f"hooks.test:{port}"


async def test_a_name_that_is_bound_anew_after_a_redirect_is_checked_anew(names: Names, receiver: Receiver) -> None:
    # the redirect is to another port, which takes another connection, and so another look-up
    with receiving() as inner:
        names.answers["evil.test"] = [["127.0.0.1"], ["127.0.0.2"]]
        receiver.answer = status(307, Location=named(inner, "evil.test"))
        with pytest.raises(DeadLetter) as caught:
            await deliver(
                named(receiver, "evil.test"), allowed_destinations=["127.0.0.1"], limits=DeliveryLimits(redirects=1)
            )
        assert caught.value.reason == "forbidden_address"
        assert names.asked == ["evil.test", "evil.test"]
        assert inner.connections == 0


async def test_a_name_for_a_private_address_is_refused_before_any_connection(names: Names, receiver: Receiver) -> None:
    names.answers["evil.test"] = [["127.0.0.1"]]
    with pytest.raises(DeadLetter, match=r"evil\.test is at 127\.0\.0\.1") as caught:
        await deliver(named(receiver, "evil.test"))
    assert caught.value.reason == "forbidden_address"
    assert receiver.connections == 0


async def test_the_next_address_is_tried_when_one_does_not_answer(names: Names, receiver: Receiver) -> None:
    names.answers["hooks.test"] = [["127.0.0.3", "127.0.0.1"]]  # nobody listens at the first
    await deliver(named(receiver, "hooks.test"), allowed_destinations=["hooks.test"])
    assert len(receiver.requests) == 1


async def test_an_unknown_name_is_tried_again(names: Names, receiver: Receiver) -> None:
    names.answers["gone.test"] = [[]]
    with pytest.raises(WebhookFailed, match="ConnectError: the host's name can't be resolved"):
        await deliver(named(receiver, "gone.test"))


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for hooks.test that is its own authority, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hooks.test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hooks.test")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = tmp_path / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


async def test_tls_goes_by_the_name_and_not_by_the_address(names: Names, certificate: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    trusting = ssl.create_default_context(cafile=str(certificate))
    for name in ("hooks.test", "other.test"):
        names.answers[name] = [["127.0.0.1"]]
    with receiving(server) as receiver:
        await deliver(named(receiver, "hooks.test"), allowed_destinations=["127.0.0.1"], tls=trusting)
        assert receiver.server_names == ["hooks.test"]
        with pytest.raises(WebhookFailed, match="certificate"):
            await deliver(named(receiver, "other.test"), allowed_destinations=["127.0.0.1"], tls=trusting)
        with pytest.raises(WebhookFailed, match="certificate"):
            await deliver(named(receiver, "hooks.test"), allowed_destinations=["127.0.0.1"])
        assert len(receiver.requests) == 1


async def test_a_redirect_does_not_lead_from_https_to_http(names: Names, certificate: Path, receiver: Receiver) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    names.answers["hooks.test"] = [["127.0.0.1"]]
    options = {
        "allowed_destinations": ["127.0.0.1"],
        "tls": ssl.create_default_context(cafile=str(certificate)),
        "limits": DeliveryLimits(redirects=1),
    }
    with receiving(server) as secure:
        secure.answer = status(307, Location=receiver.url)
        with pytest.raises(DeadLetter, match="from https to http") as caught:
            await deliver(named(secure, "hooks.test"), **options)
        assert caught.value.reason == "invalid_url"
        assert receiver.connections == 0
        secure.answers = {"/hook": status(307, Location="/second")}
        secure.answer = status(204)
        await deliver(named(secure, "hooks.test"), **options)
        assert [path for path, _, _ in secure.requests] == ["/hook", "/hook", "/second"]
