"""Networks as a setting names them: `10.96.0.0/12`, one address, or a word for several of them."""

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network

NONE = "none"
WORDS: Mapping[str, tuple[str, ...]] = {
    "link-local": (
        "169.254.0.0/16",
        "fe80::/10",
        # Where clouds tell a node about itself, and the address is not of these two.
        "100.100.100.200",
        "168.63.129.16",
        "fd00:ec2::254",
        "fd20:ce::254",
    ),
    "loopback": ("127.0.0.0/8", "::1", "0.0.0.0/8", "::"),
    "private": (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "198.18.0.0/15"),
        *("fc00::/7", "fec0::/10"),
    ),
}


def networks_of(words: Iterable[str]) -> tuple[Network, ...]:
    """Raises ValueError."""
    return tuple(network for word in words for network in _networks(word))


def _networks(word: str) -> list[Network]:
    try:
        return [ip_network(text) for text in WORDS.get(word, (word,))]
    except ValueError as error:
        known = ", ".join(WORDS)
        raise ValueError(
            f"{word!r} is none of {known}, and no network like 10.96.0.0/12 ({error})"
        ) from error
