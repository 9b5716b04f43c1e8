"""A small internet of cloud services: reached through a proxy, it answers for every host.

Each answer is given only to a request that the real service would take: the right audience in the
ServiceAccount's token, the right form, a login that came from the call before.
"""

import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from penstock.local.certificates import LIFETIME
from shared.clock import now
from shared.credentials import Proxy
from tests.support.forward_proxy import forward_proxy
from tests.support.served import Answer

HOSTS = (
    *("*.amazonaws.com", "*.us-east-1.amazonaws.com", "api.ecr.eu-west-1.amazonaws.com"),
    "api.ecr-public.us-east-1.amazonaws.com",
    *("login.microsoftonline.com", "*.azurecr.io"),
    *("storage.googleapis.com", "*.blob.core.windows.net"),
    *("sts.googleapis.com", "iamcredentials.googleapis.com"),
)
ROLE = "arn:aws:iam::123456789012:role/builder"
GSA = "builder@shop.iam.gserviceaccount.com"
LATER = "2099-01-01T00:00:00Z"


@dataclass
class Clouds:
    subject: str = ""  # the ServiceAccount that is known to all of them
    refuse: bool = False
    seen: list[str] = field(default_factory=list)  # "METHOD host/path"
    proxy: Proxy | None = None
    metadata: str = ""  # host and port of the nodes' own service
    role_keys: tuple[str, str, str] = ("ASIAROLE", "canary-role-secret", "canary-role-session")
    others: dict[str, Answer] = field(default_factory=dict)  # by host

    def count(self, host: str) -> int:
        return sum(line.split(" ")[1].partition("/")[0] == host for line in self.seen)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(f"{request.method} {request.host}{request.path}")
        if self.refuse:
            return web.json_response({"error": "unauthorized_client"}, status=403)
        handler = self.others.get(request.host) or {
            "sts.us-east-1.amazonaws.com": self._aws_role,
            "api.ecr.eu-west-1.amazonaws.com": _ecr,
            "api.ecr-public.us-east-1.amazonaws.com": _ecr_public,
            "login.microsoftonline.com": self._entra,
            "shop.azurecr.io": _azure_registry,
            "sts.googleapis.com": self._google_exchange,
            "iamcredentials.googleapis.com": _google_account,
        }.get(request.host)
        return await handler(request) if handler else web.Response(status=404)

    async def _aws_role(self, request: web.Request) -> web.Response:
        form = await request.post()
        self._require_account(str(form["WebIdentityToken"]), "sts.amazonaws.com")
        assert form["Action"] == "AssumeRoleWithWebIdentity"
        assert form["RoleArn"] == ROLE
        assert "Authorization" not in request.headers
        credentials = "".join(
            f"<{name}>{value}</{name}>"
            for name, value in {
                "AccessKeyId": self.role_keys[0],
                "SecretAccessKey": self.role_keys[1],
                "SessionToken": self.role_keys[2],
                "Expiration": LATER,
            }.items()
        )
        return web.Response(
            text='<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/'
            '2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials>'
            f"{credentials}</Credentials></AssumeRoleWithWebIdentityResult>"
            "</AssumeRoleWithWebIdentityResponse>",
            content_type="text/xml",
        )

    async def _entra(self, request: web.Request) -> web.Response:
        if request.path == "/tenant-1/v2.0/.well-known/openid-configuration":
            place = "https://login.microsoftonline.com/tenant-1"
            endpoints = {
                "issuer": f"{place}/v2.0",
                "authorization_endpoint": f"{place}/oauth2/v2.0/authorize",
                "token_endpoint": f"{place}/oauth2/v2.0/token",
            }
            return web.json_response(endpoints)
        form = await request.post()
        assert request.path == "/tenant-1/oauth2/v2.0/token"
        assert form["grant_type"] == "client_credentials"
        assert form["client_id"] == "client-1"
        if "client_assertion" in form:
            self._require_account(str(form["client_assertion"]), "api://AzureADTokenExchange")
        else:
            assert form["client_secret"] == "canary-client-secret"
        scope = str(form["scope"])
        token = f"canary-entra-{scope.partition('/.default')[0]}"
        return web.json_response(
            {"access_token": token, "expires_in": 3600, "token_type": "Bearer"}
        )

    async def _google_exchange(self, request: web.Request) -> web.Response:
        form = await request.post()
        pool = "shop.svc.id.goog"
        cluster = "https://container.googleapis.com/v1/projects/shop/locations/here/clusters/one"
        assert form["audience"] == f"identitynamespace:{pool}:{cluster}"
        self._require_account(str(form["subject_token"]), pool)
        answer = {"access_token": "canary-federated", "expires_in": 3600, "token_type": "Bearer"}
        kind = "urn:ietf:params:oauth:token-type:access_token"
        return web.json_response(answer | {"issued_token_type": kind})

    def _require_account(self, token: str, audience: str) -> None:
        claims = token.split(".")[1]
        said: Any = orjson.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        assert said["aud"] == [audience]
        assert said["sub"] == self.subject

    async def on_the_node(self, request: web.Request) -> web.Response:
        """Where each cloud's machines ask who they are."""
        self.seen.append(f"{request.method} node{request.path}")
        if self.refuse:
            return web.Response(status=404)
        answer = _ON_THE_NODE.get(request.path)
        if answer is None:
            return web.Response(status=404, headers=_FLAVOUR)
        return (
            web.json_response(answer, headers=_FLAVOUR)
            if isinstance(answer, dict)
            else web.Response(text=answer, headers=_FLAVOUR)
        )


_FLAVOUR = {"Metadata-Flavor": "Google"}
_GOOGLE = "/computeMetadata/v1"
_AWS_ROLES = "/latest/meta-data/iam/security-credentials/"
_ON_THE_NODE: dict[str, str | dict[str, Any]] = {
    "/": "here",
    "/latest/api/token": "canary-imds",
    _AWS_ROLES: "node-role",
    f"{_AWS_ROLES}node-role": {
        "Code": "Success",
        "AccessKeyId": "ASIANODE",
        "SecretAccessKey": "canary-node-secret",
        "Token": "canary-node-session",
        "Expiration": LATER,
    },
    "/metadata/identity/oauth2/token": {
        "access_token": "canary-managed",
        "expires_in": "3600",
        "expires_on": "4070908800",
        "token_type": "Bearer",
        "resource": "https://storage.azure.com",
    },
    f"{_GOOGLE}/project/project-id": "shop",
    f"{_GOOGLE}/instance/attributes/cluster-location": "here",
    f"{_GOOGLE}/instance/attributes/cluster-name": "one",
    f"{_GOOGLE}/instance/service-accounts/default/": {"email": GSA},
    f"{_GOOGLE}/instance/service-accounts/default/token": {
        "access_token": "canary-node-token",
        "expires_in": 3600,
        "token_type": "Bearer",
    },
}


async def _ecr(request: web.Request) -> web.Response:
    target = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"
    assert request.headers["X-Amz-Target"] == target
    assert "/eu-west-1/ecr/aws4_request" in request.headers["Authorization"]
    return web.json_response({"authorizationData": [_ecr_token()]})


async def _ecr_public(request: web.Request) -> web.Response:
    assert request.headers["X-Amz-Target"] == "SpencerFrontendService.GetAuthorizationToken"
    return web.json_response({"authorizationData": _ecr_token()})


def _ecr_token() -> dict[str, Any]:
    token = base64.b64encode(b"AWS:canary-ecr-password").decode()
    return {"authorizationToken": token, "expiresAt": 4070908800.0}


async def _azure_registry(request: web.Request) -> web.Response:
    form = await request.post()
    assert request.path == "/oauth2/exchange"
    assert form["grant_type"] == "access_token"
    assert form["service"] == "shop.azurecr.io"
    assert str(form["access_token"]).startswith("canary-entra-https://management.azure.com")
    return web.json_response({"refresh_token": "canary-registry-refresh"})


async def _google_account(request: web.Request) -> web.Response:
    assert request.path == f"/v1/projects/-/serviceAccounts/{GSA}:generateAccessToken"
    assert request.headers["Authorization"] == "Bearer canary-federated"
    return web.json_response({"accessToken": "canary-gsa-token", "expireTime": LATER})


@asynccontextmanager
async def running_clouds(folder: Path) -> AsyncIterator[Clouds]:
    """Trusted by whoever has `folder/ca.crt` in SSL_CERT_FILE."""
    clouds = Clouds()
    async with (
        _on_loopback(clouds.answer, _tls(folder)) as port,
        _on_loopback(clouds.on_the_node, None) as node,
        forward_proxy(leads_to=("127.0.0.1", port)) as proxy,
    ):
        clouds.proxy = Proxy(proxy.url)
        clouds.metadata = f"127.0.0.1:{node}"
        yield clouds


@asynccontextmanager
async def _on_loopback(answer: Any, tls: ssl.SSLContext | None) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _tls(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the clouds")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - LIFETIME / 100)
        .not_valid_after(now() + LIFETIME)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(h) for h in HOSTS]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "ca.crt").write_bytes(pem)
    (folder / "pair.pem").write_bytes(
        pem
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "pair.pem")
    return context
