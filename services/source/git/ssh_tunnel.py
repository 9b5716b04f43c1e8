"""A connection to a server through a proxy, as a socket that ssh can speak over.

The server speaks first, so not one byte beyond the proxy's own answer may be read here.
"""

import asyncio
import socket
from urllib.parse import urlsplit

from shared.credentials import Proxy
from shared.web.reach import Reach

_LONGEST_ANSWER = 16 * 1024


class TunnelError(Exception):
    """The proxy did not connect us; the message shows its address and no login."""


async def tunnel(proxy: Proxy, host: str, port: int, reach: Reach) -> socket.socket:
    """Raises TunnelError. The caller has a deadline, and closes the socket."""
    parts = urlsplit(proxy.address)
    try:
        if parts.scheme == "socks5":
            return await _through_socks(proxy, host, port, reach)
        return await _through_connect(proxy, host, port, reach)
    except OSError as error:
        raise TunnelError(f"the proxy {proxy.address}: {error.strerror or error}") from error


async def _through_socks(proxy: Proxy, host: str, port: int, reach: Reach) -> socket.socket:
    from python_socks import ProxyError, ProxyType
    from python_socks.async_.asyncio import Proxy as Socks

    parts = urlsplit(proxy.address)
    login = proxy.login
    socks = Socks(
        ProxyType.SOCKS5,
        await reach.address(parts.hostname or "", parts.port or 0),
        parts.port or 0,
        login.username if login else None,
        login.password if login else None,
    )
    try:
        return await socks.connect(host, port, timeout=_NO_LIMIT)
    except (
        ProxyError,
        AssertionError,
    ) as error:  # it asserts that there is a login if one is asked
        raise TunnelError(f"the proxy {proxy.address}: {error or 'asks for a login'}") from error


_NO_LIMIT = 24 * 3600.0  # the caller has one


async def _through_connect(proxy: Proxy, host: str, port: int, reach: Reach) -> socket.socket:
    parts = urlsplit(proxy.address)
    loop = asyncio.get_running_loop()
    sock = await reach.connected(parts.hostname or "", parts.port or 0)
    try:
        await loop.sock_sendall(sock, _request(proxy, host, port))
        _require_success(await _head(sock), proxy)
    except BaseException:
        sock.close()
        raise
    return sock


def _request(proxy: Proxy, host: str, port: int) -> bytes:
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    login = f"Proxy-Authorization: {proxy.login.authorization}\r\n" if proxy.login else ""
    return f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{login}\r\n".encode()


async def _head(sock: socket.socket) -> bytes:
    """A byte at a time: what follows belongs to the server."""
    loop = asyncio.get_running_loop()
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):
        piece = await loop.sock_recv(sock, 1)
        if not piece or len(head) > _LONGEST_ANSWER:
            raise TunnelError("the proxy's answer is no answer to CONNECT")
        head += piece
    return bytes(head)


def _require_success(head: bytes, proxy: Proxy) -> None:
    status = head.split(b"\r\n")[0].decode("latin-1").split(" ", 2)
    if len(status) < 2 or status[1] != "200":
        said = " ".join(status[1:])[:100]
        raise TunnelError(f"the proxy {proxy.address} answered {said or 'nonsense'!r}")
