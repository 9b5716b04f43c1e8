"""However a source fails, no secret is in its conditions, its events or the service's log.

The servers here repeat what they were told: the header as it came, and the login that was in it.
"""

import base64
import binascii
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from aiohttp import web

from penstock.local.certificates import certificates
from shared import redaction
from shared.cluster.objects import Manifest
from shared.log import JsonLines
from tests.support.github_api import GitHubApi
from tests.support.nats_process import free_port
from tests.support.served import served
from tests.support.source_service import SourceService, a_source, condition

PASSWORD = 'kanarienvogel/"pass word"+%'
TOKEN = "kanarienvogel.bearer-token_of=="
PHRASE = "kanarienvogel passphrase"
SAS = "sv=2026-01-01&sig=kanarienvogel%2Fsignature%3D"
ACCOUNT = base64.b64encode(b"kanarienvogel-account-key-012345").decode()
APP = GitHubApi()
BASIC = {"username": "me", "password": PASSWORD}
REF = {"secretRef": {"name": "login"}}
CHART = {"chart": "shop", "sourceRef": a_source()}


class Case(NamedTuple):
    kind: str
    secret: Mapping[str, str]
    spec: Callable[[str], Mapping[str, Any]]  # by the URL of a server
    told: str  # the secret


def docker(url: str) -> str:
    host = url.partition("://")[2].partition("/")[0]
    pair = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
    return json.dumps({"auths": {host: {"auth": pair}}})


def host(url: str) -> str:
    return url.partition("://")[2]


def bucket(provider: str) -> Callable[[str], Mapping[str, Any]]:
    return lambda url: {
        "bucketName": "shop",
        "provider": provider,
        "endpoint": url if provider == "azure" else host(url),
        "insecure": url.startswith("http:"),
        **REF,
    }


def by_proxy(url: str) -> Mapping[str, Any]:
    return {"url": "http://git.invalid/x.git", "proxySecretRef": {"name": "login"}}


CASES = {
    "git, password": Case("GitRepository", BASIC, lambda u: {"url": f"{u}/x.git", **REF}, PASSWORD),
    "git, password in the URL": Case(
        "GitRepository",
        {},
        lambda u: {"url": u.replace("://", f"://me:{quote(PASSWORD, safe='')}@")},
        PASSWORD,
    ),
    "git, token": Case(
        "GitRepository", {"bearerToken": TOKEN}, lambda u: {"url": f"{u}/x.git", **REF}, TOKEN
    ),
    "git, proxy": Case("GitRepository", {**BASIC, "address": "URL"}, by_proxy, PASSWORD),
    "git, app": Case(
        "GitRepository",
        APP.secret(githubAppBaseURL="URL"),
        lambda u: {"url": f"{u}/x.git", "provider": "github", **REF},
        APP.pem,
    ),
    "git, passphrase": Case(
        "GitRepository",
        {"identity": "not a key", "known_hosts": "x", "password": PHRASE},
        lambda u: {"url": f"ssh://git@{host(u)}/x.git", **REF},
        PHRASE,
    ),
    "helm, password": Case("HelmRepository", BASIC, lambda u: {"url": u, **REF}, PASSWORD),
    "oci, docker": Case(
        "OCIRepository",
        {".dockerconfigjson": "DOCKER"},
        lambda u: {"url": f"oci://{host(u)}/a/b", "insecure": u.startswith("http:"), **REF},
        PASSWORD,
    ),
    "bucket, keys": Case(
        "Bucket", {"accesskey": "me", "secretkey": TOKEN}, bucket("generic"), TOKEN
    ),
    "bucket, account": Case("Bucket", {"accountKey": ACCOUNT}, bucket("azure"), ACCOUNT),
    "bucket, signature": Case("Bucket", {"sasKey": SAS}, bucket("azure"), "kanarienvogel%2F"),
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


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_a_source_that_fails_tells_no_secret(
    service: SourceService, url: str, case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    values = {"URL": url, "DOCKER": docker(url)}
    await service.secret("login", **{k: values.get(v, v) for k, v in case.secret.items()})

    await service.apply(case.kind, "shop", timeout="2s", **case.spec(url))
    stored = await service.until(
        case.kind, "shop", lambda o: condition(o, "Ready").get("status") == "False"
    )

    shown = told_of(service, stored, caplog)
    assert "kanarienvogel" not in shown.replace(str(case.spec(url)), "")
    assert not [form for form in forms(case.told) if form in shown]


def told_of(service: SourceService, stored: Manifest, caplog: pytest.LogCaptureFixture) -> str:
    lines = [JsonLines().format(record) for record in caplog.records]
    events = [f"{each.reason} {each.message} {each.metadata}" for each in service.told]
    return "\n".join([json.dumps(stored["status"], ensure_ascii=False), *events, *lines])
