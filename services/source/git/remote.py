"""A repository on a server: its URL, and all that is needed to be let in.

`remote_of` makes one from a URL and the values of a Secret; `Remote.at` is another repository for
whoever may read the first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from urllib.parse import urlsplit

from services.source.git.ssh_address import ssh_address
from shared.credentials import (
    ANONYMOUS,
    Basic,
    HttpCredentials,
    InvalidCredentials,
    Proxy,
    SshCredentials,
    Tls,
    http_credentials,
    ssh_credentials,
    without_userinfo,
)
from shared.redaction import shown_address
from shared.web.client import may_share


class InvalidUrl(ValueError):
    """It cannot be fetched from; the message shows it without its password."""


@dataclass(frozen=True)
class Remote:
    """`url` has no login in it. `ssh` is for URLs of that scheme, `credentials` for the others."""

    url: str
    credentials: HttpCredentials = ANONYMOUS
    proxy: Proxy | None = None
    ssh: SshCredentials | None = None

    def at(self, url: str) -> "Remote":
        """The same credentials for another URL; a login goes to no other web server.

        Raises InvalidUrl.
        """
        address, login = _address(url)
        if _is_ssh(address):
            if self.ssh is None:
                raise InvalidUrl(f"{address} needs an ssh key, and {self.url} is read without one")
            keys = replace(self.ssh, user=ssh_address(url).user or self.ssh.user)
            return Remote(address, proxy=self.proxy, ssh=keys)
        if login is None and not _is_ssh(self.url) and may_share(self.url, address):
            return replace(self, url=address)
        tls = self.credentials.tls
        return Remote(address, HttpCredentials(login, tls), self.proxy)


def remote_of(
    url: str, values: Mapping[str, bytes] | None = None, proxy: Proxy | None = None
) -> Remote:
    """`values` are a Secret's, None without one.

    Raises InvalidUrl, and InvalidCredentials when the Secret does not have what the URL needs.
    """
    address, login = _address(url)
    if _is_ssh(address):
        return Remote(address, proxy=proxy, ssh=_ssh(url, values, proxy))
    if values is None:
        return Remote(address, HttpCredentials(login) if login else ANONYMOUS, proxy)
    given = http_credentials(values)
    require_certificates(given.tls)
    return Remote(address, HttpCredentials(given.login or login, given.tls), proxy)


@lru_cache(maxsize=1000)
def require_certificates(tls: Tls | None) -> None:
    """What is none is found while it is known whose it is; raises InvalidCredentials."""
    if tls is not None:
        tls.context()


def _ssh(url: str, values: Mapping[str, bytes] | None, proxy: Proxy | None) -> SshCredentials:
    if values is None:
        raise InvalidCredentials("ssh needs a Secret with identity and known_hosts")
    if proxy and proxy.address.startswith("https:"):
        raise InvalidCredentials("ssh cannot go through an https proxy; use http or socks5")
    return ssh_credentials(values, ssh_address(url).user)


def _is_ssh(url: str) -> bool:
    return url.startswith("ssh:")


def _address(url: str) -> tuple[str, Basic | None]:
    """Without userinfo, which is a login only for the web."""
    shown = shown_address(url)
    try:
        address, login = without_userinfo(url)
        parts = urlsplit(address)
        host = parts.hostname or "-"
        usable = parts.port != 0 and url.isprintable() and " " not in url
    except ValueError:
        usable = False
    if not usable or host.startswith("-"):
        raise InvalidUrl(f"{shown} is not a URL")
    if parts.scheme not in ("http", "https", "ssh"):
        raise InvalidUrl(f"{shown} is not a URL of http, https or ssh")
    if parts.scheme == "ssh":
        try:
            ssh_address(url)
        except ValueError as error:
            raise InvalidUrl(f"{shown} cannot be used: {error}") from error
    return address, login
