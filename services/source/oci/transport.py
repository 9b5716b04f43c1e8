"""Questions to a registry: over the right scheme, with the login it wants, at the pace it asks for.

A question costs one request once the registry is known: what it wants to see, and whether an
insecure one speaks TLS, is remembered.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import urljoin
from weakref import WeakValueDictionary

from services.source.oci.address import Access, RegistryLogin, Repository
from services.source.oci.authorization import Authorization, Refused
from shared.clock import Now, now
from shared.credentials import HttpCredentials, Proxy, Tls
from shared.durations import in_seconds
from shared.redaction import redact
from shared.web.client import Answer, Request, WebClient, WebError, Writable, may_share

MOST_KNOWN = 5000
PAUSE = timedelta(seconds=30)  # for a registry that says "too many" and not how long
LONGEST_PAUSE = timedelta(minutes=15)
_UNVERIFIED = Tls(verified=False)


class RegistryError(Exception):
    """No usable answer; the message is for the user."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        refused: bool = False,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(redact(message))
        self.status = status
        self.refused = refused or status in (401, 403)
        self.retry_after = retry_after

    @property
    def missing(self) -> bool:
        return self.status == 404


@dataclass(frozen=True, kw_only=True)
class Question:
    """`path` is below the repository, or a whole URL of the same registry."""

    path: str
    limit: int
    accept: str = ""
    method: str = ""
    into: Writable | None = None


class _Door(NamedTuple):
    """What one registry is to one visitor."""

    host: str
    proxy: Proxy | None


class _Visitor(NamedTuple):
    host: str
    login: RegistryLogin | None


class RegistryTransport:
    def __init__(
        self, web: WebClient, now: Now = now, clock: Callable[[], float] | None = None
    ) -> None:
        self._web = web
        self._now = now
        self._clock = clock
        self._authorization = Authorization(web, clock)
        self._plain: dict[_Door, bool] = {}
        self._finding_out: WeakValueDictionary[_Door, asyncio.Lock] = WeakValueDictionary()
        self._paused: dict[_Visitor, float] = {}

    async def ask(self, repository: Repository, question: Question) -> Answer:
        """Raises RegistryError."""
        self._require_no_pause(repository)
        try:
            return await self._answered(repository, question)
        except Refused as error:
            raise RegistryError(f"{error}", refused=True) from error
        except WebError as error:
            pause = self._pause(repository, error)
            if not error.status:
                self._plain.pop(_door(repository), None)
            raise RegistryError(f"{error}", status=error.status, retry_after=pause) from error

    async def _answered(self, repository: Repository, question: Question) -> Answer:
        plain = await self._is_plain(repository)
        tls = _tls(repository.access)
        request = _request(repository, question, tls, plain=plain)
        login = await self._authorization.login(repository, tls)
        try:
            return await self._send(
                replace(request, credentials=HttpCredentials(login, tls)), question
            )
        except WebError as error:
            # Where a registry keeps its blobs is not whom it lets ask for logins.
            if error.status != 401 or not may_share(request.url, error.url):
                raise
            login = await self._authorization.challenged(repository, tls, error, login)
        return await self._send(replace(request, credentials=HttpCredentials(login, tls)), question)

    async def _send(self, request: Request, question: Question) -> Answer:
        if question.into is not None:
            return await self._web.download(request, question.into)
        return await self._web.fetch(request)

    async def _is_plain(self, repository: Repository) -> bool:
        access = repository.access
        if not access.insecure or access.tls is not None:
            return False
        door = _door(repository)
        lock = self._finding_out.setdefault(door, asyncio.Lock())
        async with lock:
            if door not in self._plain:
                plain = await self._speaks_no_tls(repository)
                if len(self._plain) >= MOST_KNOWN:
                    self._plain.clear()
                self._plain[door] = plain
        return self._plain[door]

    async def _speaks_no_tls(self, repository: Repository) -> bool:
        question = Question(path="/v2/", limit=64 * 1024)
        try:
            await self._web.fetch(_request(repository, question, _UNVERIFIED, plain=False))
        except WebError as error:
            if error.status:
                return False
            try:
                await self._web.fetch(_request(repository, question, None, plain=True))
            except WebError as second:
                if not second.status:
                    raise second from error
        else:
            return False
        return True

    def _require_no_pause(self, repository: Repository) -> None:
        left = self._paused.get(_visitor(repository), 0.0) - self._time()
        if left > 0:
            raise RegistryError(
                f"{repository.host} asked for a pause of which {left:.0f}s are left",
                status=429,
                retry_after=timedelta(seconds=left),
            )

    def _pause(self, repository: Repository, error: WebError) -> timedelta | None:
        if error.status not in (429, 503):
            return None
        asked = _retry_after(error.headers, self._now)
        if asked is None and error.status == 503:
            return None
        pause = min(max(asked or PAUSE, timedelta(seconds=1)), LONGEST_PAUSE)
        if len(self._paused) >= MOST_KNOWN:
            self._paused.clear()
        self._paused[_visitor(repository)] = self._time() + pause.total_seconds()
        return pause

    def _time(self) -> float:
        return self._clock() if self._clock else asyncio.get_running_loop().time()


@asynccontextmanager
async def within(repository: Repository) -> AsyncIterator[None]:
    """The deadline of a question, however many requests it takes."""
    deadline = repository.access.deadline
    try:
        async with asyncio.timeout(deadline.total_seconds()):
            yield
    except TimeoutError as error:
        said = f"{repository.host}: no complete answer within {in_seconds(deadline)}"
        raise RegistryError(said) from error


def _request(
    repository: Repository, question: Question, tls: Tls | None, *, plain: bool
) -> Request:
    base = f"{'http' if plain else 'https'}://{repository.host}/v2/{repository.path}/"
    url = urljoin(base, question.path)
    if not may_share(base, url):
        raise RegistryError(f"{repository.host} sends us on to {url[:200]!r}, which is not itself")
    return Request(
        url=url,
        limit=question.limit,
        deadline=repository.access.deadline,
        credentials=HttpCredentials(tls=tls),
        headers={"Accept": question.accept} if question.accept else {},
        method=question.method,
        proxy=repository.access.proxy,
    )


def _tls(access: Access) -> Tls | None:
    return _UNVERIFIED if access.insecure and access.tls is None else access.tls


def _door(repository: Repository) -> _Door:
    return _Door(repository.host, repository.access.proxy)


def _visitor(repository: Repository) -> _Visitor:
    return _Visitor(repository.host, repository.access.login)


def _retry_after(headers: Mapping[str, str], now: Now) -> timedelta | None:
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text[:9]), 10**6))
    try:
        return parsedate_to_datetime(text) - now()
    except (ValueError, TypeError):
        return None
