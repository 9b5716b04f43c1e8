"""However a source fails, no secret is in its conditions, its events or the service's log.

The servers here repeat what they were told: the header as it came, and the login that was in it.
"""

import base64
import binascii
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import quote

import pytest
from aiohttp import web

from penstock.local.certificates import certificates
from penstock.local.ports import free_port
from shared import redaction
from shared.cluster.objects import Manifest
from shared.log import JsonLines
from tests.support.github_api import GitHubApi
from tests.support.served import served
from tests.support.source_service import SourceService, condition
from tests.support.ssh_server import new_key

PASSWORD = 'kanarienvogel/"pass word"+%'
TOKEN = "kanarienvogel.bearer-token_of=="
PHRASE = "kanarienvogel passphrase"
SAS = "sv=2026-01-01&sig=kanarienvogel%2Fsignature%3D"
ACCOUNT = base64.b64encode(b"kanarienvogel-account-key-012345").decode()
APP = GitHubApi()
IDENTITY = new_key().export_private_key("pkcs8-pem", PHRASE).decode()
BASIC = {"username": "me", "password": PASSWORD}


# By the URL of a server and the name of a Secret.
Spec: TypeAlias = Callable[[str, str], Mapping[str, Any]]


class Case(NamedTuple):
    kind: str
    secret: Mapping[str, str]
    spec: Spec
    told: str  # the secret


def docker(url: str) -> str:
    host = url.partition("://")[2].partition("/")[0]
    pair = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
    return json.dumps({"auths": {host: {"auth": pair}}})


def host(url: str) -> str:
    return url.partition("://")[2]


def by(name: str) -> dict[str, Any]:
    return {"secretRef": {"name": name}}


def bucket(provider: str) -> Spec:
    return lambda url, name: {
        "bucketName": "shop",
        "provider": provider,
        "endpoint": url if provider == "azure" else host(url),
        "insecure": url.startswith("http:"),
        **by(name),
    }


def git(url: str, name: str) -> dict[str, Any]:
    return {"url": f"{url}/x.git", **by(name)}


def git_with_login(url: str, _: str) -> dict[str, Any]:
    return {"url": url.replace("://", f"://me:{quote(PASSWORD, safe='')}@")}


def git_by_proxy(_: str, name: str) -> dict[str, Any]:
    return {"url": "http://git.invalid/x.git", "proxySecretRef": {"name": name}}


def git_by_ssh(url: str, name: str) -> dict[str, Any]:
    return {"url": f"ssh://git@{host(url)}/x.git", **by(name)}


def git_as_app(url: str, name: str) -> dict[str, Any]:
    return {**git(url, name), "provider": "github"}


def charts(url: str, name: str) -> dict[str, Any]:
    return {"url": url, **by(name)}


def oci(url: str, name: str) -> dict[str, Any]:
    return {"url": f"oci://{host(url)}/a/b", "insecure": url.startswith("http:"), **by(name)}


LOCKED = {"identity": IDENTITY, "known_hosts": "h ssh-ed25519 AAAA", "password": PHRASE}
CASES = {
    "git-password": Case("GitRepository", BASIC, git, PASSWORD),
    "git-login-in-url": Case("GitRepository", {}, git_with_login, PASSWORD),
    "git-token": Case("GitRepository", {"bearerToken": TOKEN}, git, TOKEN),
    "git-proxy": Case("GitRepository", {**BASIC, "address": "URL"}, git_by_proxy, PASSWORD),
    "git-app": Case("GitRepository", APP.secret(githubAppBaseURL="URL"), git_as_app, APP.pem),
    "git-passphrase": Case("GitRepository", LOCKED, git_by_ssh, PHRASE),
    "helm-password": Case("HelmRepository", BASIC, charts, PASSWORD),
    "oci-docker": Case("OCIRepository", {".dockerconfigjson": "DOCKER"}, oci, PASSWORD),
    "bucket-keys": Case(
        "Bucket", {"accesskey": "me", "secretkey": TOKEN}, bucket("generic"), TOKEN
    ),
    "bucket-account": Case("Bucket", {"accountKey": ACCOUNT}, bucket("azure"), ACCOUNT),
    "bucket-signature": Case("Bucket", {"sasKey": SAS}, bucket("azure"), SAS),
}


def login_in(request: web.Request) -> str:
    """All that the request says of who sent it, also decoded."""
    headers = [request.headers.get(each, "") for each in ("Authorization", "Proxy-Authorization")]
    said = " ".join([*headers, request.query_string, str(request.rel_url)])
    for header in headers:
        try:
            said += base64.b64decode(header.rpartition(" ")[2], validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
    return said


async def refuses(request: web.Request) -> web.Response:
    said = login_in(request)
    reason = "".join(c for c in said if c.isascii() and c.isprintable())
    return web.Response(status=401, reason=f"Not {reason}", text=f"<html>{said}</html>")


async def echoes(request: web.Request) -> web.Response:
    return web.Response(text=f"ERR {login_in(request)}\n")


async def redirects(request: web.Request) -> web.Response:
    said = quote(login_in(request))
    location = f"http://me:{said}@127.0.0.1:1/{said}?{said}"
    return web.Response(status=302, headers={"Location": location})


@pytest.fixture(params=["refuses", "echoes", "redirects", "nobody", "an unknown certificate"])
async def url(request: pytest.FixtureRequest, tmp_path: Any) -> AsyncIterator[str]:
    if request.param == "nobody":
        yield f"http://127.0.0.1:{free_port()}"
        return
    keys = certificates(tmp_path / "keys") if request.param == "an unknown certificate" else None
    answer = {"echoes": echoes, "redirects": redirects}.get(request.param, refuses)
    async with served(answer, keys) as url:
        yield url


def forms(secret: str) -> set[str]:
    """In which a secret may be shown by mistake; `kanarienvogel` is what all have in common."""
    return redaction._forms(secret) | {secret, repr(secret)[1:-1], secret.strip()}


async def test_sources_that_fail_tell_no_secret(
    service: SourceService, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    values = {"URL": url, "DOCKER": docker(url)}
    for name, case in CASES.items():
        await service.secret(name, **{k: values.get(v, v) for k, v in case.secret.items()})
        await service.apply(case.kind, name, timeout="2s", **case.spec(url, name))

    failed = [await failed_one(service, case.kind, name) for name, case in CASES.items()]

    shown = told_of(service, failed, caplog)
    assert "kanarienvogel" not in shown
    assert not [form for case in CASES.values() for form in forms(case.told) if form in shown]


async def failed_one(service: SourceService, kind: str, name: str) -> Manifest:
    return await service.until(
        kind, name, lambda stored: condition(stored, "Ready").get("status") == "False"
    )


def told_of(
    service: SourceService, failed: list[Manifest], caplog: pytest.LogCaptureFixture
) -> str:
    lines = [JsonLines().format(record) for record in caplog.records]
    events = [f"{each.reason} {each.message} {each.metadata}" for each in service.told]
    statuses = [json.dumps(stored["status"], ensure_ascii=False) for stored in failed]
    return "\n".join([*statuses, *events, *lines])
