"""Where a registry's tokens are bought: signs what distribution trusts, remembers who asked."""

import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from shared.clock import now
from tests.support.registry import LOGIN, USER

ISSUER, SERVICE, KEY_ID = "tokens.test", "registry.test", "test-key"
IDENTITY = "an-identity-token-of-the-team"


@dataclass
class TokenServer:
    folder: Path
    url: str = ""
    lifetime: timedelta = timedelta(minutes=5)
    asked: list[Mapping[str, str]] = field(default_factory=list)
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    @property
    def auth(self) -> dict[str, Any]:
        """The `auth` section of a registry that sends its clients here."""
        keys = self.folder / "jwks.json"
        keys.write_text(json.dumps({"keys": [self._public()]}))
        settings = {
            "realm": self.url,
            "service": SERVICE,
            "issuer": ISSUER,
            "jwks": str(keys),
            "signingalgorithms": ["ES256"],
        }
        return {"token": settings}

    async def answer(self, request: web.Request) -> web.Response:
        given = {name: str(value) for name, value in (await request.post()).items()}
        scopes = given.get("scope", "").split() or request.query.getall("scope", [])
        authorization = request.headers.get("Authorization", "")
        self.asked.append({**given, "scope": " ".join(scopes), "authorization": authorization})
        known = authorization == LOGIN.authorization or given.get("refresh_token") == IDENTITY
        if not known:
            raise web.HTTPUnauthorized
        return web.json_response({"token": self.token(scopes), "expires_in": 300})

    def token(self, scopes: list[str]) -> str:
        issued = now()
        claims = {
            "iss": ISSUER,
            "sub": USER,
            "aud": SERVICE,
            "exp": int((issued + self.lifetime).timestamp()),
            "nbf": int((issued - timedelta(seconds=5)).timestamp()),
            "iat": int(issued.timestamp()),
            "jti": "1",
            "access": [_access(scope) for scope in scopes],
        }
        header = {"typ": "JWT", "alg": "ES256", "kid": KEY_ID}
        text = f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(claims).encode())}"
        first, second = decode_dss_signature(
            self.key.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
        )
        return f"{text}.{_encoded(first.to_bytes(32, 'big') + second.to_bytes(32, 'big'))}"

    def _public(self) -> dict[str, str]:
        numbers = self.key.public_key().public_numbers()
        place = {name: _encoded(getattr(numbers, name).to_bytes(32, "big")) for name in "xy"}
        return {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": KEY_ID, **place}


@asynccontextmanager
async def token_server(folder: Path) -> AsyncIterator[TokenServer]:
    server = TokenServer(folder)
    app = web.Application()
    app.router.add_route("*", "/token", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/token"
    try:
        yield server
    finally:
        await runner.cleanup()


def _access(scope: str) -> dict[str, Any]:
    kind, name, actions = scope.split(":")
    return {"type": kind, "name": name, "actions": actions.split(",")}


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
