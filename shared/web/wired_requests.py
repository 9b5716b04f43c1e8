"""Sessions of `requests` whose connections are a wire's: what Google's and Azure's libraries take.

Only they import this module, when they are needed.
"""

from typing import Any, TypeVar

import requests
from requests.adapters import BaseAdapter, HTTPAdapter

from shared.web.wire import Wire

S = TypeVar("S", bound=requests.Session)


def wired_session(wire: Wire) -> requests.Session:
    return wired(requests.Session(), wire)


def wired(session: S, wire: Wire) -> S:
    session.trust_env = False  # proxies and logins are the wire's business
    session.max_redirects = 0  # no store that we know redirects, and a login must not follow
    session.adapters.clear()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _WiredAdapter(wire))
    return session


class _WiredAdapter(BaseAdapter):
    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire
        self._builder = HTTPAdapter(pool_connections=1, pool_maxsize=1)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """The wire knows about certificates, proxies and time."""
        answer: Any = self._wire.send(
            request.method or "GET",
            request.url or "",
            request.headers,
            request.body,
            streamed=stream,
        )
        return self._builder.build_response(request, answer)

    def close(self) -> None:
        """The wire closes what is open."""
