"""Where the address of a tenant's object may lead: everywhere but to the forbidden networks.

Decided on the addresses that are connected to, each time, never on the text of a URL: so no odd
spelling, no redirect, and no name that leads elsewhere the second time gets around it. With a proxy
the proxy is what is connected to; what it reaches is the business of whoever runs it. Proxies from
the environment of the process, the API server, our own artifacts, and what the node tells about the
controller's own identity are no tenant's addresses, and not asked about here.
"""

import asyncio
import errno
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, NamedTuple, Self, TypeAlias

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from shared.networks import Network, networks_of
from shared.redaction import redact

Address: TypeAlias = IPv4Address | IPv6Address

# Prefixes of IPv6 addresses that end in an IPv4 address and lead there: mapped, compatible,
# translated, and those of NAT64.
_ENDING_IN_IPV4 = tuple(
    IPv6Network(text)
    for text in ("::ffff:0:0/96", "::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")
)


LONGEST_CAUSE = 4096  # that is looked through for secrets
SHOWN_OF_CAUSE = 300


class Forbidden(OSError):
    """An operator does not want us to connect to where this host is."""

    def __init__(self, host: str, address: str) -> None:
        leads = "is" if host == address else f"resolves to {address}, which is"
        super().__init__(
            errno.EACCES,
            f"{host} {leads} in a network that the setting FORBIDDEN_NETWORKS forbids; "
            "name another server, or ask whoever runs this controller to allow it",
        )

    def __str__(self) -> str:
        return self.strerror or ""


class Place(NamedTuple):
    """Of one address, as the system's resolver knows it."""

    family: int
    kind: int
    protocol: int
    canonical: str
    address: tuple[Any, ...]

    @property
    def host(self) -> str:
        return str(self.address[0])


@dataclass(frozen=True)
class Reach:
    forbidden: tuple[Network, ...] = networks_of(["link-local"])

    @classmethod
    def of(cls, words: Iterable[str]) -> Self:
        """As the setting has them."""
        return cls(networks_of(words))

    def forbids(self, address: str) -> bool:
        try:
            meanings = list(_meanings(ip_address(address)))
        except ValueError:  # nothing is known about it
            return bool(self.forbidden)
        return any(meaning in network for network in self.forbidden for meaning in meanings)

    def allowed(self, host: str, addresses: Iterable[str]) -> list[str]:
        """Those that may be connected to; raises Forbidden if there is none."""
        found = list(addresses)
        allowed = [address for address in found if not self.forbids(address)]
        if found and not allowed:
            raise Forbidden(host, found[0])
        return allowed

    async def places(self, host: str, port: int) -> list[Place]:
        """Where the host is and may be connected to; raises OSError."""
        loop = asyncio.get_running_loop()
        infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        found = [Place(*info) for info in infos]
        allowed = self.allowed(host, (place.host for place in found))
        return [place for place in found if place.host in allowed]

    async def connected(self, host: str, port: int) -> socket.socket:
        """To the first of its addresses that answers; raises OSError. The caller has a deadline."""
        problem: OSError | None = None
        for place in await self.places(host, port):
            try:
                return await _connected(place)
            except OSError as error:
                problem = error
        raise problem or OSError(errno.EADDRNOTAVAIL, f"{host} has no address")

    async def address(self, host: str, port: int) -> str:
        """For who takes one: the only one, or the first that answers. Raises OSError."""
        places = await self.places(host, port)
        if len(places) == 1:
            return places[0].host
        with await self.connected(host, port) as sock:
            return str(sock.getpeername()[0])

    def socket(self, info: Any) -> socket.socket:
        """For aiohttp, which asks for one whenever it connects; raises Forbidden."""
        place = Place(*info)
        self.allowed(place.host, [place.host])
        return socket.socket(place.family, place.kind, place.protocol)

    def connector(self, limit: int, limit_per_host: int) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(
            limit=limit,
            limit_per_host=limit_per_host,
            resolver=_Resolver(self),
            socket_factory=self.socket,
        )


USUAL = Reach()
EVERYWHERE = Reach(())


class _Resolver(AbstractResolver):
    """aiohttp's own, without what is forbidden: then its error can name the host."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._all = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._all.resolve(host, port, family)
        allowed = self._reach.allowed(host, (each["host"] for each in found))
        return [each for each in found if each["host"] in allowed]

    async def close(self) -> None:
        await self._all.close()


def cause_of(error: Exception) -> str:
    """In one short line; parsers repeat what a server sent, however much that is."""
    inside = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else None
    said = str(inside if isinstance(inside, Forbidden) else error)[:LONGEST_CAUSE]
    line = " ".join(redact(said).split()) or type(error).__name__
    return line if len(line) <= SHOWN_OF_CAUSE else f"{line[:SHOWN_OF_CAUSE]}..."


async def _connected(place: Place) -> socket.socket:
    sock = socket.socket(place.family, place.kind, place.protocol)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, place.address)
    except BaseException:
        sock.close()
        raise
    return sock


def _meanings(address: Address) -> Iterator[Address]:
    """The address, and those in IPv4 that packets to it may end at."""
    yield address
    if isinstance(address, IPv4Address):
        return
    if any(address in prefix for prefix in _ENDING_IN_IPV4):
        yield IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.sixtofour:
        yield address.sixtofour
    if address.teredo:
        yield from address.teredo
