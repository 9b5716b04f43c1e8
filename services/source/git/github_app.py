"""Logins of GitHub Apps: a signed statement of who we are becomes a token for an hour.

Asked for once for all repositories of an installation, and again shortly before it expires.
"""

import asyncio
import base64
import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote
from weakref import WeakValueDictionary

import msgspec

from services.source.endings import FetchFailed
from services.source.referenced_secrets import AUTHENTICATION_FAILED
from shared.clock import Now, now, parse_rfc3339
from shared.credentials import (
    Basic,
    Bearer,
    GitHubApp,
    HttpCredentials,
    InvalidCredentials,
    Proxy,
    Tls,
)
from shared.redaction import register
from shared.web.client import Request, WebClient, WebError

MOST_KNOWN = 1000
EARLY = timedelta(minutes=5)  # a token that is given out has to last for a fetch
YOUNG = timedelta(minutes=1)  # one that nobody asks to be made anew
_STATEMENT_LASTS = timedelta(minutes=9)  # GitHub takes ten at most
_CLOCKS_DIFFER = timedelta(seconds=60)
_ANSWER = 1024 * 1024
_USER = "x-access-token"
_ACCEPT = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}


class _Installation(msgspec.Struct, frozen=True):
    id: int


class _Token(msgspec.Struct, frozen=True):
    token: str
    expires_at: str


@dataclass(frozen=True)
class _Known:
    login: Basic
    made_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class Way:
    """How to get to the API."""

    deadline: timedelta
    proxy: Proxy | None = None
    tls: Tls | None = None


class GitHubApps:
    def __init__(self, web: WebClient, now: Now = now) -> None:
        self._web = web
        self._now = now
        self._known: OrderedDict[GitHubApp, _Known] = OrderedDict()
        self._locks: WeakValueDictionary[GitHubApp, asyncio.Lock] = WeakValueDictionary()

    async def login(self, app: GitHubApp, way: Way, *, fresh: bool = False) -> Basic:
        """`fresh`: what we have may have been revoked.

        Raises FetchFailed, and InvalidCredentials when the key is none.
        """
        lock = self._locks.setdefault(app, asyncio.Lock())
        async with lock:
            known = self._known.get(app)
            if known is None or not self._still_good(known, fresh):
                known = await self._asked(app, way)
                self._known[app] = known
            self._known.move_to_end(app)
            while len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
            return known.login

    def _still_good(self, known: _Known, fresh: bool) -> bool:
        moment = self._now()
        return moment + EARLY < known.expires_at and not (fresh and known.made_at + YOUNG < moment)

    async def _asked(self, app: GitHubApp, way: Way) -> _Known:
        api = _Api(self._web, app, way, await asyncio.to_thread(statement, app, self._now()))
        try:
            installation = app.installation or str(await api.installation_of(app.owner))
            given = await api.token(installation)
            expires_at = parse_rfc3339(given.expires_at)
        except WebError as error:
            raise _failed(app, str(error)) from error
        except (msgspec.DecodeError, ValueError) as error:
            raise _failed(app, f"{app.api}: the answer is not GitHub's") from error
        register(given.token)
        login = Basic(_USER, given.token)
        register(login.authorization.removeprefix("Basic "))
        return _Known(login, self._now(), expires_at)


@dataclass(frozen=True)
class _Api:
    web: WebClient
    app: GitHubApp
    way: Way
    statement: str

    async def installation_of(self, owner: str) -> int:
        """Of an organisation, or else of a user."""
        name = quote(owner, safe="")
        try:
            answer = await self._ask(f"/orgs/{name}/installation")
        except WebError as error:
            if error.status != 404:
                raise
            answer = await self._ask(f"/users/{name}/installation")
        return msgspec.json.decode(answer, type=_Installation).id

    async def token(self, installation: str) -> _Token:
        answer = await self._ask(f"/app/installations/{installation}/access_tokens", body=b"{}")
        return msgspec.json.decode(answer, type=_Token)

    async def _ask(self, path: str, body: bytes | None = None) -> bytes:
        request = Request(
            url=f"{self.app.api}{path}",
            limit=_ANSWER,
            deadline=self.way.deadline,
            credentials=HttpCredentials(Bearer(self.statement), self.way.tls),
            headers=_ACCEPT,
            body=body,
            proxy=self.way.proxy,
        )
        return (await self.web.fetch(request)).body


def statement(app: GitHubApp, moment: datetime) -> str:
    """A JSON web token, signed by the app; raises InvalidCredentials."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(app.private_key.encode(), password=None)
    except (ValueError, TypeError) as error:
        raise InvalidCredentials("githubAppPrivateKey is not a private key in PEM") from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise InvalidCredentials("githubAppPrivateKey is not an RSA key, as GitHub's are")
    claims = {
        "iat": int((moment - _CLOCKS_DIFFER).timestamp()),
        "exp": int((moment + _STATEMENT_LASTS - _CLOCKS_DIFFER).timestamp()),
        "iss": app.app_id,
    }
    text = f"{_encoded({'alg': 'RS256', 'typ': 'JWT'})}.{_encoded(claims)}"
    signature = key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{text}.{_base64(signature)}"


def _encoded(part: Mapping[str, Any]) -> str:
    return _base64(json.dumps(part, separators=(",", ":")).encode())


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _failed(app: GitHubApp, problem: str) -> FetchFailed:
    return FetchFailed(f"GitHub App {app.app_id}: {problem}", reason=AUTHENTICATION_FAILED)
