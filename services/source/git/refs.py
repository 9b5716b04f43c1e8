"""Asks a Git server over HTTP where its references point, without a process and in one request.

Protocol version 2, as every current host speaks it; an older server answers the first question
with all its references, and that is taken, too. What a server once said about itself (where it
lives, how it speaks) is remembered, and asked again as soon as a request does not work.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import NamedTuple

from services.source.git.pkt_line import DELIMITER, FLUSH, ProtocolError, packet, packets
from services.source.web_client import Answer, Request, WebClient, WebError
from shared.credentials import ANONYMOUS, HttpCredentials

MAX_ANSWER = 32 * 1024 * 1024  # some 400,000 references
_VERSION_2 = {"Git-Protocol": "version=2"}
_OBJECT_ID = re.compile(rb"[0-9a-f]{40}|[0-9a-f]{64}")
_SERVICE = "/info/refs?service=git-upload-pack"


class RefsError(Exception):
    """The server did not tell; the message names the URL and shows no secret."""

    def __init__(self, message: str, *, refuses_us: bool = False) -> None:
        super().__init__(message)
        self.refuses_us = refuses_us


class Ref(NamedTuple):
    """`commit` is what an annotated tag stands for, and the object itself otherwise."""

    name: str
    object_id: str
    commit: str


@dataclass(frozen=True)
class Remote:
    url: str
    credentials: HttpCredentials = ANONYMOUS


@dataclass(frozen=True)
class Endpoint:
    """A repository's place after redirects, and what may be sent there."""

    remote: Remote
    capabilities: frozenset[str] = frozenset()
    refs: tuple[Ref, ...] | None = None  # of a server without version 2, which tells all at once


class GitRefs:
    def __init__(self, web: WebClient) -> None:
        self._web = web
        self._endpoints: dict[Remote, Endpoint] = {}

    async def matching(
        self, remote: Remote, prefixes: Sequence[str], deadline: timedelta
    ) -> list[Ref]:
        """References whose full name starts with one of these; raises RefsError."""
        try:
            return await self._ask(remote, prefixes, deadline)
        except WebError as error:
            raise RefsError(str(error), refuses_us=error.refuses_us) from error
        except ProtocolError as error:
            raise RefsError(f"{remote.url}: {error}") from error

    def place_of(self, remote: Remote) -> Remote:
        """Where to fetch from, once `matching` has found it."""
        known = self._endpoints.get(remote)
        return known.remote if known else remote

    async def _ask(self, remote: Remote, prefixes: Sequence[str], deadline: timedelta) -> list[Ref]:
        known = self._endpoints.get(remote)
        if known is not None and known.refs is None:
            try:
                return await self._list(known, prefixes, deadline)
            except (WebError, ProtocolError) as error:
                self._endpoints.pop(remote, None)  # it may have moved, or learnt another language
                if isinstance(error, WebError) and not error.status:
                    raise  # nobody there: the deadline is not to be spent twice
        endpoint = await self._discover(remote, deadline)
        self._remember(remote, replace(endpoint, refs=None if endpoint.refs is None else ()))
        if endpoint.refs is not None:
            return [ref for ref in endpoint.refs if ref.name.startswith(tuple(prefixes))]
        return await self._list(endpoint, prefixes, deadline)

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
                headers=_VERSION_2,
            )
        )
        if not answer.url.endswith(_SERVICE):
            raise ProtocolError("redirects to a page that is no Git repository")
        return _endpoint(Remote(answer.url.removesuffix(_SERVICE), answer.credentials), answer)

    async def _list(
        self, endpoint: Endpoint, prefixes: Sequence[str], deadline: timedelta
    ) -> list[Ref]:
        place = endpoint.remote
        answer = await self._web.fetch(
            Request(
                url=f"{place.url}/git-upload-pack",
                limit=MAX_ANSWER,
                deadline=deadline,
                credentials=place.credentials,
                headers=_VERSION_2
                | {
                    "Content-Type": "application/x-git-upload-pack-request",
                    "Accept": "application/x-git-upload-pack-result",
                },
                body=_ls_refs(endpoint.capabilities, prefixes),
            )
        )
        return _listed(answer, prefixes)


def _endpoint(place: Remote, answer: Answer) -> Endpoint:
    """Hosts differ in whether a line about the service comes before version 2."""
    if answer.headers.get("Content-Type") != "application/x-git-upload-pack-advertisement":
        raise ProtocolError("not a Git repository that is served by Git's smart protocol")
    lines = [line for line in packets(answer.body) if line != FLUSH]
    if lines and lines[0].startswith(b"# service="):
        del lines[0]
    if lines[:1] == [b"version 2"]:
        return Endpoint(place, frozenset(line.decode(errors="replace") for line in lines[1:]))
    return Endpoint(place, refs=tuple(_advertised(lines)))


def _ls_refs(capabilities: Iterable[str], prefixes: Sequence[str]) -> bytes:
    formats = [said for said in capabilities if said.startswith("object-format=")]
    return b"".join(
        (
            packet("command=ls-refs"),
            *map(packet, formats),
            DELIMITER,
            packet("peel"),
            *(packet(f"ref-prefix {prefix}") for prefix in prefixes),
            FLUSH,
        )
    )


def _listed(answer: Answer, prefixes: Sequence[str]) -> list[Ref]:
    """The server may send more than was asked for, and older ones send `unborn` lines."""
    refs: list[Ref] = []
    for line in packets(answer.body):
        if line == FLUSH:
            return [ref for ref in refs if ref.name.startswith(tuple(prefixes))]
        if line.startswith(b"ERR "):
            raise ProtocolError(line[4:500].decode(errors="replace"))
        object_id, _, rest = line.partition(b" ")
        name, *attributes = rest.split(b" ")
        peeled = [a[7:] for a in attributes if a.startswith(b"peeled:")]
        if object_id != b"unborn":
            refs.append(_ref(name, object_id, peeled[0] if peeled else object_id))
    raise ProtocolError("an answer that is cut off")


def _advertised(lines: Iterable[bytes]) -> list[Ref]:
    """Of version 0 and 1: each reference, an annotated tag's commit behind it as `<name>^{}`."""
    refs: dict[bytes, Ref] = {}
    for line in lines:
        object_id, _, rest = line.partition(b" ")
        name = rest.partition(b"\0")[0]
        if line.startswith(b"version ") or name == b"capabilities^{}":
            continue
        if name.endswith(b"^{}") and (tag := refs.get(name[:-3])):
            refs[name[:-3]] = _ref(name[:-3], tag.object_id.encode(), object_id)
        else:
            refs[name] = _ref(name, object_id, object_id)
    return list(refs.values())


def _ref(name: bytes, object_id: bytes, commit: bytes) -> Ref:
    if not _OBJECT_ID.fullmatch(object_id) or not _OBJECT_ID.fullmatch(commit):
        raise ProtocolError("a reference without an object id")
    return Ref(name.decode("utf-8", "surrogateescape"), object_id.decode(), commit.decode())
