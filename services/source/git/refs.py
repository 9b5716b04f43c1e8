"""Asks a Git server where its references point: over HTTP without a process, in one request.

Protocol version 2, as every current host speaks it; an older server answers the first question
with all its references, and that is taken, too. What a server once said about itself (where it
lives, how it speaks) is remembered, and asked again as soon as a request does not work.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Generic, NamedTuple, TypeVar

from services.source.git.advertisement import VERSION_2, Advertisement, Ref, ls_refs
from services.source.git.pkt_line import FLUSH, ProtocolError, packets
from services.source.git.readings import Readings
from services.source.git.remote import Remote
from services.source.git.ssh_address import SAFE, SshAlgorithms
from shared.web.client import Answer, Request, WebClient, WebError
from shared.web.reach import USUAL, Reach

MAX_ANSWER = 32 * 1024 * 1024  # some 400,000 references
_VERSION_2 = {"Git-Protocol": "version=2"}
_SERVICE = "/info/refs?service=git-upload-pack"

T = TypeVar("T")


class RefsError(Exception):
    """The server did not tell; the message names the URL and shows no secret."""

    def __init__(self, message: str, *, refuses_us: bool = False) -> None:
        super().__init__(message)
        self.refuses_us = refuses_us


@dataclass(frozen=True)
class Endpoint:
    """A repository's place after redirects, and what may be sent there."""

    remote: Remote
    capabilities: frozenset[str] = frozenset()
    advertised: bytes | None = None  # by a server without version 2, which tells all at once


class _Asked(NamedTuple, Generic[T]):
    prefixes: tuple[str, ...]
    question: Callable[[list[Ref]], T]
    deadline: timedelta


class GitRefs:
    def __init__(self, web: WebClient, ssh: SshAlgorithms = SAFE, reach: Reach = USUAL) -> None:
        self._web = web
        self._ssh = ssh
        self._reach = reach
        self._endpoints: dict[Remote, Endpoint] = {}
        self._readings = Readings()

    async def ask(
        self,
        remote: Remote,
        prefixes: Sequence[str],
        question: Callable[[list[Ref]], T],
        deadline: timedelta,
    ) -> T:
        """What the question makes of the references whose full names start with one of these.

        Equal questions have equal answers, which may be remembered. Raises RefsError.
        """
        asked = _Asked(tuple(prefixes), question, deadline)
        try:
            if remote.ssh is not None:
                return await self._ask_over_ssh(remote, asked)
            return await self._ask(remote, asked)
        except WebError as error:
            raise RefsError(str(error), refuses_us=error.refuses_us) from error
        except ProtocolError as error:
            raise RefsError(f"{remote.url}: {error}") from error

    def place_of(self, remote: Remote) -> Remote:
        """Where to fetch from, once `matching` has found it."""
        known = self._endpoints.get(remote)
        return known.remote if known else remote

    async def _ask_over_ssh(self, remote: Remote, asked: _Asked[T]) -> T:
        from services.source.git.ssh_refs import refs_over_ssh

        told = await refs_over_ssh(remote, asked.prefixes, asked.deadline, self._ssh, self._reach)
        return await self._readings.answer(told, asked.question)

    async def _ask(self, remote: Remote, asked: _Asked[T]) -> T:
        known = self._endpoints.get(remote)
        if known is not None and known.advertised is None:
            try:
                return await self._list(known, asked)
            except (WebError, ProtocolError) as error:
                self._endpoints.pop(remote, None)  # it may have moved, or learnt another language
                if isinstance(error, WebError) and not error.status:
                    raise  # nobody there: the deadline is not to be spent twice
        endpoint = await self._discover(remote, asked.deadline)
        if endpoint.advertised is None:
            self._remember(remote, endpoint)
            return await self._list(endpoint, asked)
        self._remember(remote, replace(endpoint, advertised=b""))
        told = Advertisement(endpoint.advertised, asked.prefixes, older=True)
        return await self._readings.answer(told, asked.question)

    def _remember(self, remote: Remote, endpoint: Endpoint) -> None:
        if len(self._endpoints) >= 10_000:  # changed URLs and passwords leave old ones behind
            self._endpoints.clear()
        self._endpoints[remote] = endpoint

    async def _discover(self, remote: Remote, deadline: timedelta) -> Endpoint:
        answer = await self._web.fetch(
            Request(
                url=remote.url.rstrip("/") + _SERVICE,
                limit=MAX_ANSWER,
                deadline=deadline,
                credentials=remote.credentials,
                proxy=remote.proxy,
                headers=_VERSION_2,
            )
        )
        if not answer.url.endswith(_SERVICE):
            raise ProtocolError("redirects to a page that is no Git repository")
        url = answer.url.removesuffix(_SERVICE)
        return _endpoint(Remote(url, answer.credentials, remote.proxy), answer)

    async def _list(self, endpoint: Endpoint, asked: _Asked[T]) -> T:
        place = endpoint.remote
        answer = await self._web.fetch(
            Request(
                url=f"{place.url}/git-upload-pack",
                limit=MAX_ANSWER,
                deadline=asked.deadline,
                credentials=place.credentials,
                proxy=place.proxy,
                headers=_VERSION_2
                | {
                    "Content-Type": "application/x-git-upload-pack-request",
                    "Accept": "application/x-git-upload-pack-result",
                },
                body=ls_refs(endpoint.capabilities, asked.prefixes),
            )
        )
        told = Advertisement(answer.body, asked.prefixes)
        return await self._readings.answer(told, asked.question)


def _endpoint(place: Remote, answer: Answer) -> Endpoint:
    """Hosts differ in whether a line about the service comes before version 2."""
    if answer.headers.get("Content-Type") != "application/x-git-upload-pack-advertisement":
        raise ProtocolError("not a Git repository that is served by Git's smart protocol")
    lines = (line for line in packets(answer.body) if line != FLUSH)
    first = next(lines, b"")
    if first.startswith(b"# service="):
        first = next(lines, b"")
    if first == VERSION_2:
        return Endpoint(place, frozenset(line.decode(errors="replace") for line in lines))
    return Endpoint(place, advertised=answer.body)
