"""Where a repository of a registry is, who we are there, and what may be asked of it.

`Repository.parse("oci://ghcr.io/team/app", access)`; the URL names no tag and no digest.
"""

import re
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TypeAlias
from urllib.parse import urlsplit

from shared.credentials import Basic, Bearer, Proxy, Tls
from shared.redaction import MASK, shown_address

SCHEME = "oci://"
# Docker Hub's name in references is not the name of its registry.
DOCKER_HUB = "index.docker.io"
DOCKER_HUB_NAMES = frozenset({DOCKER_HUB, "docker.io", "registry-1.docker.io"})
_LONGEST = 255  # what registries allow for host and path together

_SEGMENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*")
_HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?"
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


class InvalidAddress(ValueError):
    """Says what is wrong with the text, and shows it."""


@dataclass(frozen=True, repr=False)
class IdentityToken:
    """What `docker login` keeps where there is a sign-on: it buys tokens and opens nothing."""

    token: str

    def __repr__(self) -> str:
        return f"IdentityToken({MASK})"


RegistryLogin: TypeAlias = Basic | Bearer | IdentityToken


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who we are at a registry and how it is reached; `deadline` is for a whole question.

    `insecure` without `tls`: TLS with whatever certificate there is, else plain HTTP.
    """

    login: RegistryLogin | None = None
    tls: Tls | None = None
    proxy: Proxy | None = None
    insecure: bool = False
    deadline: timedelta = field(default=timedelta(seconds=60), compare=False)


@dataclass(frozen=True)
class Repository:
    """A repository as somebody sees it: what is known of it for one login holds for no other."""

    host: str
    path: str
    access: Access = Access()

    @classmethod
    def parse(cls, url: str, access: Access = Access()) -> "Repository":
        """Raises InvalidAddress, also for a URL with a tag or a digest in it."""
        rest, shown = url.removeprefix(SCHEME), shown_address(url)
        if rest == url:
            raise InvalidAddress(f"{shown} does not start with {SCHEME}")
        host, _, path = rest.rstrip("/").partition("/")
        if len(rest) > _LONGEST or not _HOST.fullmatch(host) or not _has_usable_port(host):
            raise InvalidAddress(f"{shown} names no registry")
        if "@" in path or ":" in path:
            raise InvalidAddress(
                f"{shown} has a tag or a digest in it, which belongs into spec.ref"
            )
        if not _PATH.fullmatch(path):
            raise InvalidAddress(
                f"{shown} names no repository of a registry: lower case letters, digits, and "
                "single separators"
            )
        if host in DOCKER_HUB_NAMES:
            return cls(DOCKER_HUB, path if "/" in path else f"library/{path}", access)
        return cls(host, path, access)

    def below(self, name: str) -> "Repository":
        """A repository under this one, as charts are kept."""
        return Repository.parse(f"{SCHEME}{self.host}/{self.path}/{name}", self.access)

    def seen_as(self, access: Access) -> "Repository":
        return replace(self, access=access)

    def __str__(self) -> str:
        return f"{self.host}/{self.path}"


def is_digest(text: str) -> bool:
    return _DIGEST.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    return _TAG.fullmatch(text) is not None


def _has_usable_port(host: str) -> bool:
    try:
        return urlsplit(f"//{host}").port != 0
    except ValueError:
        return False
