"""HTTP for libraries that block: they run in threads, their bytes go through the event loop.

On sockets of its own a library could be held for as long as a stranger likes to drip bytes. Here
each request is a coroutine: when the wire closes, at a deadline or because a run was cancelled,
whoever waits on it is freed at once. Certificates, proxies and reach are as in `client`.
"""

import asyncio
import contextlib
import io
import os
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from shared.credentials import Proxy, Tls
from shared.redaction import redact
from shared.web.client import CONNECT, USER_AGENT
from shared.web.proxies import PROXY_ERRORS, connector, proxy_options, reach_for
from shared.web.reach import EVERYWHERE, USUAL, Reach, cause_of

if TYPE_CHECKING:
    from urllib3 import HTTPResponse

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 4
BUFFER = 256 * 1024
STILL_THERE = 5.0  # seconds between two looks at whether the loop still runs
# What a node tells about itself, to whoever asks from it, is nothing for a proxy.
OF_THE_NODE = frozenset({"169.254.169.254", "fd00:ec2::254", "metadata.google.internal"})
LARGEST_ANSWER = 16 * 1024 * 1024  # of what a library holds in memory: a page of a thousand names


class WireError(Exception):
    """No complete answer. Names the host alone: paths and queries may be as good as passwords."""

    def __init__(self, url: str, problem: object) -> None:
        parts = urlsplit(url)
        super().__init__(redact(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}: {problem}"))


class Wire:
    """Opened for one errand: its connections and its few threads end with it."""

    def __init__(
        self,
        sessions: Mapping[Reach, aiohttp.ClientSession],
        tls: Tls | None,
        proxy: Proxy | None,
        reach: Reach,
    ) -> None:
        self._sessions = sessions
        self._reach = reach
        self._trust = _context(tls, os.environ.get("SSL_CERT_FILE"))
        self._proxy = proxy
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="wire")
        self._waiting: set[asyncio.Task[Any]] = set()
        self._closed = False

    @classmethod
    @asynccontextmanager
    async def open(
        cls, tls: Tls | None = None, proxy: Proxy | None = None, reach: Reach = USUAL
    ) -> AsyncIterator[Self]:
        """Raises InvalidCredentials for certificates that are none, WireError for the proxy."""
        async with (
            _session_on(EVERYWHERE.connector(THREADS, 0)) as anywhere,
            _session_on(await _connector(proxy, reach)) as session,
        ):
            wire = cls({EVERYWHERE: anywhere, reach: session}, tls, proxy, reach)
            try:
                yield wire
            finally:
                await wire._close()

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what blocks in a thread of the wire."""
        return await self._loop.run_in_executor(self._threads, lambda: work(*args, **kwargs))

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, Any],
        body: Any = None,
        *,
        streamed: bool = False,
    ) -> "HTTPResponse":
        """From a thread. Only a body that is `streamed` may be larger than `LARGEST_ANSWER`.

        What is not streamed is not compressed either: sixteen of those could be sixteen thousand.
        """
        from urllib3 import HTTPHeaderDict, HTTPResponse

        sent = _texts(headers, compressed=streamed)
        answer = self.wait_for(url, self._send(method, url, sent, body))
        unbounded = streamed and answer.status < 300
        stream = _Body(self, url, answer, None if unbounded else LARGEST_ANSWER)
        if not unbounded and answer.headers.get("Content-Encoding", "identity") != "identity":
            stream.close()
            raise WireError(url, "a compressed answer, which was not asked for")
        return HTTPResponse(
            io.BufferedReader(stream, BUFFER),
            headers=HTTPHeaderDict(answer.headers.items()),
            status=answer.status,
            reason=answer.reason,
            preload_content=False,
            decode_content=False,
            request_method=method,
        )

    def wait_for(self, url: str, work: Coroutine[Any, Any, T]) -> T:
        """From a thread; raises WireError, at the latest when the wire closes."""
        try:
            future = asyncio.run_coroutine_threadsafe(self._tracked(work), self._loop)
            while not wait((future,), STILL_THERE).done:
                if self._loop.is_closed():  # the process ends, and nobody will answer
                    future.cancel()
            return future.result()
        except CancelledError as error:
            raise WireError(url, "no complete answer in time") from error
        except (aiohttp.ClientError, *PROXY_ERRORS, OSError, ValueError) as error:
            raise WireError(url, cause_of(error)) from error

    async def _tracked(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (a coroutine that runs is in a task)
        if self._closed:
            work.close()
            raise asyncio.CancelledError
        self._waiting.add(task)
        try:
            return await work
        finally:
            self._waiting.discard(task)

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: Any
    ) -> aiohttp.ClientResponse:
        place = URL(url, encoded=True)  # what was signed must be what is sent
        by_itself = place.host in OF_THE_NODE
        proxy = {} if by_itself else proxy_options(url, self._proxy)
        reach = self._reach if by_itself else reach_for(url, self._proxy, self._reach)
        return await self._sessions[reach].request(
            method,
            place,
            data=body,
            headers=headers,
            skip_auto_headers=("Content-Type",),
            allow_redirects=False,
            ssl=self._trust,
            **proxy,
        )

    async def _close(self) -> None:
        self._closed = True
        for task in self._waiting:
            task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)


def _session_on(through: aiohttp.BaseConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=through,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT.total_seconds()),
    )


async def _connector(proxy: Proxy | None, reach: Reach) -> aiohttp.BaseConnector:
    try:
        return await connector(proxy, reach, limit=THREADS)
    except PROXY_ERRORS as error:
        raise WireError(proxy.address if proxy else "", error) from error


class _Body(io.RawIOBase):
    """The content of an answer, as a thread reads a file."""

    def __init__(
        self, wire: Wire, url: str, answer: aiohttp.ClientResponse, limit: int | None
    ) -> None:
        self._wire = wire
        self._url = url
        self._answer = answer
        self._limit = limit
        self._size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        wanted = len(buffer)
        piece = self._wire.wait_for(self._url, self._answer.content.read(wanted))
        self._size += len(piece)
        if self._limit is not None and self._size > self._limit:
            raise WireError(self._url, f"the answer is larger than {self._limit} bytes")
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        if not self.closed:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and the connection too
                self._wire._loop.call_soon_threadsafe(self._answer.close)
        super().close()


def _texts(headers: Mapping[str, Any], *, compressed: bool) -> CIMultiDict[str]:
    """Some libraries hand over bytes."""
    texts: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        texts[name] = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    if not compressed or "Accept-Encoding" not in texts:
        texts["Accept-Encoding"] = "identity"
    texts.setdefault("User-Agent", USER_AGENT)
    return texts


@lru_cache(maxsize=64)
def _context(tls: Tls | None, _system_authorities: str | None) -> ssl.SSLContext:
    return (tls or Tls()).context()
