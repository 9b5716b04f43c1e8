"""HTTP to servers of strangers: bounded in bytes and time, and careful with credentials.

A redirect never takes credentials to another host, nor anything from https to http. Bodies are
taken as they are (no transparent decompression), up to the limit of the request: into memory by
`fetch`, into a file by `download`. No connection goes where `reach` does not.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Protocol, Self, TypeAlias
from urllib.parse import urljoin, urlsplit

import aiohttp

from shared.credentials import ANONYMOUS, HttpCredentials, Proxy, Tls
from shared.durations import in_seconds
from shared.redaction import MASK, redact
from shared.web.proxies import (
    PROXY_ERRORS,
    connector,
    is_socks,
    proxy_options,
    reach_for,
)
from shared.web.reach import USUAL, Reach, cause_of

USER_AGENT = "penstock-source"
MAX_REDIRECTS = 5
CONNECT = timedelta(seconds=10)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_DEFAULT_PORTS = {"http": 80, "https": 443}


class WebError(Exception):
    """No usable answer; the message names the URL and shows no secret."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        headers: Mapping[str, str] | None = None,
        url: str = "",
    ) -> None:
        super().__init__(redact(message))
        self.status = status
        self.url = url  # of who answered, after redirects
        self.headers = headers or {}

    @property
    def refuses_us(self) -> bool:
        """The server knows what we want, and that we may not have it."""
        return self.status in (401, 403)


@dataclass(frozen=True, kw_only=True)
class Request:
    url: str
    limit: int
    deadline: timedelta
    credentials: HttpCredentials = ANONYMOUS
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None  # makes it a POST, which is never redirected
    method: str = ""  # when it is neither GET nor POST
    proxy: Proxy | None = None  # None: as the environment of the process says
    everywhere: bool = False  # the user wants the credentials sent to other hosts, too

    @property
    def shown(self) -> str:
        """For messages: what a server puts behind the question mark may open a door by itself."""
        place, _, query = self.url.partition("?")
        return f"{place}?{MASK}" if query else place


@dataclass(frozen=True)
class Answer:
    """`url` is where it came from in the end; `credentials` what may still be sent there."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    credentials: HttpCredentials
    status: int = 200


class Writable(Protocol):
    """Where a body goes; called outside the event loop."""

    def write(self, piece: bytes, /) -> object: ...


Take: TypeAlias = Callable[[bytes], Awaitable[object]]


class WebClient:
    def __init__(self, sessions: AsyncExitStack, reach: Reach) -> None:
        self._sessions = sessions
        self._reach = reach
        self._kept: dict[Reach, aiohttp.ClientSession] = {}
        self._contexts: dict[Tls, ssl.SSLContext] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, reach: Reach = USUAL) -> AsyncIterator[Self]:
        async with AsyncExitStack() as sessions:
            yield cls(sessions, reach)

    async def fetch(self, request: Request) -> Answer:
        """The answer with status 200, or 304 when the request was conditional; raises WebError."""
        pieces: list[bytes] = []

        async def take(piece: bytes) -> None:
            pieces.append(piece)

        answer = await self._followed(request, take)
        return replace(answer, body=b"".join(pieces))

    async def download(self, request: Request, into: Writable) -> Answer:
        """Like `fetch`, but the body goes to the file, and `Answer.body` stays empty."""

        async def take(piece: bytes) -> None:
            await asyncio.to_thread(into.write, piece)

        return await self._followed(request, take)

    async def _followed(self, request: Request, take: Take) -> Answer:
        for _ in range(MAX_REDIRECTS + 1):
            outcome = await self._once(request, take)
            if isinstance(outcome, Answer):
                return outcome
            try:
                request = _redirected(request, outcome)
            except ValueError as error:
                raise WebError(f"{request.shown}: redirects to what is no URL") from error
        raise WebError(f"{request.shown}: more than {MAX_REDIRECTS} redirects")

    async def _once(self, request: Request, take: Take) -> Answer | str:
        """The answer, or where it is."""
        headers = dict(request.headers)
        if request.credentials.authorization:
            headers["Authorization"] = request.credentials.authorization
        try:
            async with (
                self._session(request) as session,
                session.request(
                    request.method or ("GET" if request.body is None else "POST"),
                    request.url,
                    data=request.body,
                    headers=headers,
                    allow_redirects=False,
                    ssl=self._context(request.credentials.tls),
                    **proxy_options(request.url, request.proxy),
                    timeout=aiohttp.ClientTimeout(
                        total=request.deadline.total_seconds(),
                        sock_connect=CONNECT.total_seconds(),
                    ),
                ) as answer,
            ):
                return await _read(request, answer, take)
        except TimeoutError as error:
            limit = in_seconds(request.deadline)
            raise WebError(f"{request.shown}: no complete answer within {limit}") from error
        except aiohttp.InvalidURL as error:
            raise WebError(f"{request.shown}: not a URL") from error
        except (aiohttp.ClientError, *PROXY_ERRORS, OSError, ValueError) as error:
            raise WebError(f"{request.shown}: {cause_of(error)}") from error

    @asynccontextmanager
    async def _session(self, request: Request) -> AsyncIterator[aiohttp.ClientSession]:
        """aiohttp speaks to HTTP proxies by request, to SOCKS proxies by connector.

        A SOCKS proxy's is for one request: what stayed open would be as many as a tenant's changes
        of a Secret.
        """
        reach = reach_for(request.url, request.proxy, self._reach)
        if is_socks(request.proxy):
            async with _session_on(await connector(request.proxy, reach)) as session:
                yield session
            return
        if reach not in self._kept:
            # A host that hangs holds only its own; still, a thousand sources must not storm one.
            session = _session_on(reach.connector(0, limit_per_host=64))
            self._kept[reach] = await self._sessions.enter_async_context(session)
        yield self._kept[reach]

    def _context(self, tls: Tls | None) -> ssl.SSLContext | bool:
        if tls is None:
            return True
        if tls not in self._contexts:
            if len(self._contexts) > 1000:
                self._contexts.clear()
            self._contexts[tls] = tls.context()
        return self._contexts[tls]


def _session_on(through: aiohttp.BaseConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=through,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
    )


async def _read(request: Request, answer: aiohttp.ClientResponse, take: Take) -> Answer | str:
    location = answer.headers.get("Location", "")
    if answer.status in _REDIRECTS and location and request.body is None:
        return location
    if answer.status not in (200, 201, 304):
        said = f"{request.shown}: the server answered {answer.status} {answer.reason}"
        raise WebError(said, status=answer.status, headers=answer.headers, url=request.url)
    size = 0
    async for piece in answer.content.iter_chunked(128 * 1024):
        size += len(piece)
        if size > request.limit:
            raise WebError(f"{request.shown}: larger than the limit of {request.limit} bytes")
        await take(piece)
    return Answer(request.url, answer.headers, b"", request.credentials, answer.status)


def _redirected(request: Request, location: str) -> Request:
    url = urljoin(request.url, location)
    before, after = urlsplit(request.url), urlsplit(url)
    if after.scheme not in _DEFAULT_PORTS:
        raise WebError(f"{request.shown}: redirects to {after.scheme!r}, which is not served")
    if before.scheme == "https" and after.scheme == "http":
        raise WebError(f"{request.shown}: redirects from https to http, which is not followed")
    url = after._replace(netloc=after.netloc.rpartition("@")[2]).geturl()
    if request.everywhere or may_share(request.url, url):
        return replace(request, url=url)
    anonymous = replace(request.credentials, login=None)
    return replace(request, url=url, credentials=anonymous)


def may_share(first: str, second: str) -> bool:
    """Whether what is told to the first URL's server may be told to the second's."""
    before, after = urlsplit(first), urlsplit(second)
    if before.hostname != after.hostname:
        return False
    same_door = (before.scheme, _port(first)) == (after.scheme, _port(second))
    upgrade = (_port(first), _port(second)) == (80, 443)
    return same_door or upgrade


def _port(url: str) -> int | None:
    parts = urlsplit(url)
    return parts.port or _DEFAULT_PORTS.get(parts.scheme)
