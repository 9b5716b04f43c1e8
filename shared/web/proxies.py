"""Through which proxy aiohttp goes: HTTP proxies by request, SOCKS proxies by connector."""

import urllib.request
from typing import Any, TypeGuard
from urllib.parse import urlsplit

import aiohttp
from aiohttp_socks import ProxyConnectionError, ProxyConnector, ProxyError, ProxyTimeoutError

from shared.credentials import PROXY_PORTS, Proxy
from shared.web.reach import EVERYWHERE, Reach

PROXY_ERRORS = (ProxyError, ProxyConnectionError, ProxyTimeoutError)  # with no base in common


async def connector(
    proxy: Proxy | None, reach: Reach, *, limit: int = 0, limit_per_host: int = 0
) -> aiohttp.BaseConnector:
    """The limits are of connections; 0 is none. Raises one of PROXY_ERRORS."""
    if not is_socks(proxy):
        return reach.connector(limit, limit_per_host)
    parts, login = urlsplit(proxy.address), proxy.login
    port = parts.port or PROXY_PORTS["socks5"]
    try:
        address = await reach.address(parts.hostname or "", port)
    except OSError as error:
        problem = f"the proxy {proxy.address}: {error.strerror or error}"
        raise ProxyConnectionError(problem) from error
    through: aiohttp.BaseConnector = ProxyConnector(
        address,
        port,
        username=login.username if login else None,
        password=login.password if login else None,
        limit=limit,
        limit_per_host=limit_per_host,
    )
    return through


def proxy_options(url: str, chosen: Proxy | None) -> dict[str, Any]:
    """Of one request: as was chosen, or the environment of the process, as for every program."""
    if is_socks(chosen):
        return {}
    if chosen is not None:
        # aiohttp moves it to where the proxy looks, for http and https alike.
        login = {"Authorization": chosen.login.authorization} if chosen.login else None
        return {"proxy": chosen.address, "proxy_headers": login}
    return {"proxy": proxy_of_process(url)}


def proxy_of_process(url: str) -> str | None:
    """What the environment says. The operator's, so it may be anywhere."""
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.netloc):
        return None
    return urllib.request.getproxies_environment().get(parts.scheme)


def reach_for(url: str, chosen: Proxy | None, reach: Reach) -> Reach:
    """Of the connections that a request is made over."""
    return EVERYWHERE if chosen is None and proxy_of_process(url) else reach


def is_socks(proxy: Proxy | None) -> TypeGuard[Proxy]:
    return proxy is not None and proxy.address.startswith("socks5:")
