"""Through which proxy aiohttp goes: HTTP proxies by request, SOCKS proxies by connector."""

import urllib.request
from typing import Any, TypeGuard
from urllib.parse import urlsplit

import aiohttp
from aiohttp_socks import ProxyConnectionError, ProxyConnector, ProxyError, ProxyTimeoutError

from shared.credentials import Proxy

PROXY_ERRORS = (ProxyError, ProxyConnectionError, ProxyTimeoutError)  # with no base in common


def connector(
    proxy: Proxy | None, *, limit: int = 0, limit_per_host: int = 0
) -> aiohttp.BaseConnector:
    """The limits are of connections; 0 is none."""
    if not is_socks(proxy):
        return aiohttp.TCPConnector(limit=limit, limit_per_host=limit_per_host)
    through: aiohttp.BaseConnector = ProxyConnector.from_url(
        proxy.url, limit=limit, limit_per_host=limit_per_host
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
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.netloc):
        return {}
    return {"proxy": urllib.request.getproxies_environment().get(parts.scheme)}


def is_socks(proxy: Proxy | None) -> TypeGuard[Proxy]:
    return proxy is not None and proxy.address.startswith("socks5:")
