"""As much of GitHub's API as an app needs to log in, as strict as the real one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from shared.clock import Now, now, rfc3339

APP = "1234"
INSTALLATION = "567"


@dataclass
class GitHubApi:
    now: Now = now
    url: str = ""
    lifetime: timedelta = timedelta(hours=1)
    organisations: dict[str, str] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)
    tokens: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    answer: web.Response | None = None  # in place of the right one

    @cached_property
    def key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(65537, 2048)

    @cached_property
    def pem(self) -> str:
        form = serialization.PrivateFormat.TraditionalOpenSSL
        encoding = serialization.Encoding.PEM
        return self.key.private_bytes(encoding, form, serialization.NoEncryption()).decode()

    def secret(self, **changes: str) -> dict[str, str]:
        return {
            "githubAppID": APP,
            "githubAppInstallationID": INSTALLATION,
            "githubAppPrivateKey": self.pem,
            "githubAppBaseURL": self.url,
        } | changes

    async def serve(self, request: web.Request) -> web.Response:
        self.requests.append(f"{request.method} {request.path}")
        if self.answer is not None:
            return web.Response(status=self.answer.status, text=self.answer.text)
        problem = self._problem(request.headers.get("Authorization", ""))
        if problem:
            return web.json_response({"message": problem}, status=401)
        if request.path == f"/app/installations/{INSTALLATION}/access_tokens":
            return self._token()
        _, kind, owner, *_ = request.path.split("/")
        known = {"orgs": self.organisations, "users": self.users}.get(kind, {}).get(owner)
        if known is None or not request.path.endswith("/installation"):
            return web.json_response({"message": "Not Found"}, status=404)
        return web.json_response({"id": int(known), "account": {"login": owner}})

    def _token(self) -> web.Response:
        self.tokens.append(f"ghs_canary{len(self.tokens)}")
        expires_at = rfc3339(self.now() + self.lifetime)
        given = {"token": self.tokens[-1], "expires_at": expires_at, "permissions": {}}
        return web.json_response(given, status=201)

    def _problem(self, authorization: str) -> str:
        """The words are GitHub's."""
        scheme, _, text = authorization.partition(" ")
        try:
            claims = jwt.decode(
                text,
                self.key.public_key(),
                algorithms=["RS256"],
                options={"verify_exp": False, "verify_iat": False},
            )
        except jwt.InvalidTokenError as error:
            return f"A JSON web token could not be decoded: {error}"
        issued, expires = (datetime.fromtimestamp(claims[c], UTC) for c in ("iat", "exp"))
        if scheme != "Bearer" or claims["iss"] != APP:
            return "Integration not found"
        if issued > self.now() or expires <= self.now():
            return "'Issued at' claim ('iat') must be an Integer in the past"
        if expires > self.now() + timedelta(minutes=10):
            return "'Expiration time' claim ('exp') is too far in the future"
        return ""


@asynccontextmanager
async def github_api(**how: object) -> AsyncIterator[GitHubApi]:
    api = GitHubApi(**how)  # type: ignore[arg-type]
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    api.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield api
    finally:
        await runner.cleanup()
