"""Which addresses webhooks may go to. A subscriber chooses the URL, so it must not lead into our own network."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from svcjobs.errors import ConfigurationError, JobsError

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

# Not is_global, which says other things in other versions of Python. From IANA's registry of special-purpose addresses,
# with multicast, and with the one public address that answers inside of a cloud only: Azure's.
_FORBIDDEN_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
        "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    )
)  # fmt: skip
# Of IPv6 only what is given out to networks; outside of it lie loopback, link-local, unique-local (AWS has its metadata
# there), multicast and IPv4-mapped addresses. Within it: IETF protocols with Teredo, documentation, 6to4.
_GLOBAL_V6 = IPv6Network("2000::/3")
_FORBIDDEN_V6 = tuple(
    IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)  # fmt: skip
_NAT64 = IPv6Network("64:ff9b::/96")


class ForbiddenDestination(JobsError):
    """A host has no address that webhooks may go to."""


class Destinations:
    """Public addresses, and what is allowed beyond.

    Args:
        allowed: names of hosts, addresses and networks (``hooks.internal``, ``127.0.0.1``, ``10.1.0.0/16``). A name
            allows whatever it resolves to; addresses and networks allow every host there.

    Raises:
        ConfigurationError: an entry is none of these.
    """

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        if isinstance(allowed, str):
            raise ConfigurationError(f"allowed_destinations is the text {allowed!r}: give a list of hosts and networks")
        self._names: set[str] = set()
        self._networks: list[Network] = []
        for entry in allowed:
            try:
                self._networks.append(ip_network(entry))
            except ValueError:
                self._names.add(_name(entry))

    def choose(self, host: str, addresses: Iterable[str]) -> list[str]:
        """Those of a host's addresses that may be connected to.

        Args:
            host: the name or address in the URL.
            addresses: what it resolves to, at this moment.

        Raises:
            ForbiddenDestination: none of them.
        """
        found = list(addresses)
        if host.rstrip(".").lower() in self._names:
            return found
        chosen = [address for address in found if self._is_allowed(ip_address(address))]
        if not chosen:
            raise ForbiddenDestination(
                f"{host} is at {', '.join(found[:3]) or 'no address'}, where webhooks may not go: private and reserved "
                "networks are forbidden, unless allowed_destinations names the host or the network"
            )
        return chosen

    def _is_allowed(self, address: Address) -> bool:
        return is_public(address) or any(address in network for network in self._networks)


def is_public(address: Address) -> bool:
    """Whether the address is one of the public internet, which no machine or network keeps to itself."""
    if isinstance(address, IPv6Address):
        if address in _NAT64:  # how a network without IPv4 reaches it
            return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
        return address in _GLOBAL_V6 and not any(address in network for network in _FORBIDDEN_V6)
    return not any(address in network for network in _FORBIDDEN_V4)


def _name(entry: str) -> str:
    try:
        name = entry.encode("idna").decode("ascii").rstrip(".").lower()
    except (AttributeError, UnicodeError):
        name = ""
    if not name or any(char in name for char in "/:@*?#[] "):
        raise ConfigurationError(
            f"allowed_destinations has {entry!r} in it: give names of hosts (hooks.internal), addresses (127.0.0.1) or "
            "networks (10.1.0.0/16)"
        )
    return name
