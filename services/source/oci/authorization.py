"""How a registry wants to be asked: nothing, Basic, or a token from the place that it names.

What a registry asked for is remembered, so that the next question carries it at once; a token is
renewed before it ends. A login goes to the registry itself and to the realm that it names, and
that one must speak https, or be on the same host when the registry is insecure.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit
from weakref import WeakValueDictionary

import msgspec

from services.source.oci.address import IdentityToken, Repository
from shared.credentials import Basic, Bearer, HttpCredentials, Login, Tls
from shared.redaction import register
from shared.web.client import Answer, Request, WebClient, WebError

MAX_TOKEN_ANSWER = 256 * 1024
MOST_KNOWN = 10_000
LIFETIME = 60.0  # of a token that does not say, as the protocol has it
LONGEST_LIFETIME = 12 * 3600.0
MARGIN = 10.0  # a token that ends while it travels is no token
CLIENT = "penstock"

_BEARER = re.compile(r"(?i)(?:^|,\s*)bearer\s+(.*)", re.DOTALL)
_BASIC = re.compile(r"(?i)(?:^|,\s*)basic\b")
_PARAMETER = re.compile(r'([A-Za-z_]+)\s*=\s*(?:"([^"]*)"|([^\s,"]+))')


class Refused(Exception):
    """The registry wants what we do not have, or what we may not give."""


class Challenge(NamedTuple):
    """Where tokens are bought; an empty realm means that the login itself is wanted."""

    realm: str = ""
    service: str = ""
    scopes: tuple[str, ...] = ()


@dataclass
class _Known:
    challenge: Challenge
    login: Login | None = None
    until: float = 0.0


class _Token(msgspec.Struct):
    token: str = ""
    access_token: str = ""
    expires_in: float | None = None


class Authorization:
    def __init__(self, web: WebClient, clock: Callable[[], float] | None = None) -> None:
        self._web = web
        self._clock = clock
        self._known: dict[Repository, _Known] = {}
        self._buying: WeakValueDictionary[Repository, asyncio.Lock] = WeakValueDictionary()

    async def login(self, repository: Repository, tls: Tls | None) -> Login | None:
        """What to ask with; None while the registry has not said that it wants anything."""
        if isinstance(repository.access.login, Bearer):
            return repository.access.login
        known = self._known.get(repository)
        if known is None:
            return None
        return await self._valid(repository, known, tls)

    async def challenged(
        self, repository: Repository, tls: Tls | None, error: WebError, used: Login | None
    ) -> Login | None:
        """What to ask with the second time. Raises Refused when that would be the same."""
        challenge = challenge_of(error.headers, repository)
        if challenge is None or isinstance(repository.access.login, Bearer):
            raise Refused(f"{error}")
        known = self._known.get(repository)
        scopes = known.challenge.scopes if known else ()
        challenge = challenge._replace(scopes=tuple(dict.fromkeys((*challenge.scopes, *scopes))))
        worthless = used is not None and known is not None and known.login == used
        if known is None or known.challenge != challenge or worthless:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            known = self._known[repository] = _Known(challenge)
        login = await self._valid(repository, known, tls)
        if login == used:
            raise Refused(f"{error}")
        return login

    async def _valid(self, repository: Repository, known: _Known, tls: Tls | None) -> Login | None:
        given = repository.access.login
        if not known.challenge.realm:
            if not isinstance(given, Basic):
                raise Refused(f"{repository.host} asks for a user name and a password")
            return given
        lock = self._buying.setdefault(repository, asyncio.Lock())
        async with lock:
            if known.login is None or self._now() > known.until - MARGIN:
                await self._buy(repository, known, tls)
        return known.login

    async def _buy(self, repository: Repository, known: _Known, tls: Tls | None) -> None:
        try:
            answer = await self._web.fetch(_purchase(repository, known.challenge, tls))
        except WebError as error:
            known.login = None
            if error.status in (400, 401, 403):
                raise Refused(f"no token for {repository}: {error}") from error
            raise
        token = _token(answer)
        known.login = Bearer(token.token or token.access_token)
        lifetime = token.expires_in or LIFETIME
        known.until = self._now() + min(max(lifetime, 2 * MARGIN), LONGEST_LIFETIME)

    def _now(self) -> float:
        return self._clock() if self._clock else asyncio.get_running_loop().time()


def challenge_of(headers: Mapping[str, str], repository: Repository) -> Challenge | None:
    text = _challenges(headers)
    bearer = _BEARER.search(text)
    if bearer is None:
        return Challenge() if _BASIC.search(text) else None
    said = {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(bearer[1])}
    realm = said.get("realm", "")
    _require_trusted(realm, repository)
    ours = f"repository:{repository.path}:"
    asked = [scope for scope in said.get("scope", "").split() if scope.startswith(ours)]
    scopes = tuple(dict.fromkeys((f"{ours}pull", *asked[:5])))
    return Challenge(realm, said.get("service", ""), scopes)


def _challenges(headers: Mapping[str, str]) -> str:
    every: Callable[[str, list[str]], list[str]] | None = getattr(headers, "getall", None)
    if every is None:
        return headers.get("WWW-Authenticate", "")
    return ", ".join(every("WWW-Authenticate", []))


def _require_trusted(realm: str, repository: Repository) -> None:
    try:
        parts = urlsplit(realm)
        host, port = parts.hostname, parts.port
        same_host = host == urlsplit(f"//{repository.host}").hostname
    except ValueError:
        host, port, same_host = None, 0, False
    insecurely = (
        parts.scheme == "http" and repository.access.insecure and same_host if host else False
    )
    if not host or port == 0 or "@" in parts.netloc or not (parts.scheme == "https" or insecurely):
        raise Refused(
            f"{repository.host} wants the login to be sent to {realm[:200]!r}, which is neither an "
            "https URL nor on the same host"
        )


def _purchase(repository: Repository, challenge: Challenge, tls: Tls | None) -> Request:
    access = repository.access
    given = access.login
    service = [("service", challenge.service)] if challenge.service else []
    if isinstance(given, IdentityToken):
        fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", given.token),
            ("client_id", CLIENT),
            ("scope", " ".join(challenge.scopes)),
            *service,
        ]
        return Request(
            url=challenge.realm,
            limit=MAX_TOKEN_ANSWER,
            deadline=access.deadline,
            credentials=HttpCredentials(tls=tls),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode(fields).encode(),
            proxy=access.proxy,
        )
    realm = urlsplit(challenge.realm)
    query = [
        *parse_qsl(realm.query, keep_blank_values=True),
        *service,
        *(("scope", scope) for scope in challenge.scopes),
    ]
    return Request(
        url=realm._replace(query=urlencode(query), fragment="").geturl(),
        limit=MAX_TOKEN_ANSWER,
        deadline=access.deadline,
        credentials=HttpCredentials(given, tls),
        proxy=access.proxy,
    )


def _token(answer: Answer) -> _Token:
    try:
        token = msgspec.json.decode(answer.body, type=_Token)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WebError(f"{answer.url}: not an answer with a token") from error
    text = token.token or token.access_token
    if not text.isprintable() or not text.isascii() or not text:
        raise WebError(f"{answer.url}: an answer without a token")
    register(text)
    return token
