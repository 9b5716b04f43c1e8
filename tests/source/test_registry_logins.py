"""Which login of which Secret opens a registry."""

import base64
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from services.source.endings import FetchFailed, FetchStalled
from services.source.oci.address import IdentityToken, RegistryLogin, Repository
from services.source.oci.cloud_registries import CloudRegistries
from services.source.oci.docker_config import registry_login
from shared.cloud import AwsKeys, CloudToken, TokenRequest
from shared.credentials import Basic, Bearer, InvalidCredentials
from shared.redaction import redact
from shared.resources.meta import NamespacedName
from tests.support.counted import counted
from tests.support.eventually import eventually
from tests.support.odd_registry import odd_registry
from tests.support.registry import (
    LOGIN,
    PASSWORD,
    USER,
    RegistryServer,
    a_layer,
    htpasswd,
    running_registry,
)
from tests.support.source_service import SourceService, condition

KIND = "OCIRepository"


def auth(username: str, password: str) -> str:
    return base64.b64encode(f"{username}:{password}".encode()).decode()


def config(**auths: Any) -> dict[str, bytes]:
    return {".dockerconfigjson": json.dumps({"auths": auths}).encode()}


def found(values: Mapping[str, bytes], url: str) -> RegistryLogin | None:
    return registry_login(values, Repository.parse(url))


def named(name: str) -> dict[str, str]:
    return {"username": name, "password": f"password-of-{name}"}


@pytest.mark.parametrize(
    ("key", "url"),
    [
        ("ghcr.io", "oci://ghcr.io/team/app"),
        ("https://ghcr.io", "oci://ghcr.io/team/app"),
        ("https://ghcr.io/", "oci://ghcr.io/team/app"),
        ("http://ghcr.io/v2/", "oci://ghcr.io/team/app"),
        ("GHCR.io:443", "oci://ghcr.io/team/app"),
        ("ghcr.io/team", "oci://ghcr.io/team/app"),
        ("ghcr.io/team/app", "oci://ghcr.io/team/app"),
        ("*.azurecr.io", "oci://shop.azurecr.io/app"),
        ("localhost:5000", "oci://localhost:5000/app"),
        ("https://index.docker.io/v1/", "oci://docker.io/team/app"),
        ("docker.io", "oci://registry-1.docker.io/team/app"),
        ("index.docker.io/library", "oci://docker.io/nginx"),
    ],
)
def test_an_entry_fits_the_registry_that_it_names(key: str, url: str) -> None:
    assert found(config(**{key: named("me")}), url) == Basic("me", "password-of-me")


@pytest.mark.parametrize(
    ("key", "url"),
    [
        ("ghcr.io", "oci://ghcr.io.evil.example/team/app"),
        ("ghcr.io", "oci://ghcr.io:5000/team/app"),
        ("ghcr.io/team", "oci://ghcr.io/teammate/app"),
        ("ghcr.io/team/app/x", "oci://ghcr.io/team/app"),
        ("*.io", "oci://a.ghcr.io/app"),
        ("*", "oci://ghcr.io/app"),
        ("localhost:*", "oci://localhost:5000/app"),
    ],
)
def test_an_entry_fits_no_other_registry(key: str, url: str) -> None:
    assert found(config(**{key: named("me")}), url) is None


def test_of_several_entries_the_most_specific_counts() -> None:
    keys = ["*.example.com", "r.example.com", "r.example.com/team", "r.example.com/team/app"]
    values = config(**{key: named(str(number)) for number, key in enumerate(keys)})

    def user(path: str) -> str:
        login = found(values, f"oci://{path}")
        assert isinstance(login, Basic)
        return login.username

    paths = ["q.example.com/x", "r.example.com/x", "r.example.com/team/x", "r.example.com/team/app"]
    assert [user(path) for path in paths] == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("entry", "login"),
    [
        ({"auth": auth("me", "a:b")}, Basic("me", "a:b")),
        ({"auth": auth("me", "new"), **named("old")}, Basic("me", "new")),
        ({"auth": auth("me", "x"), "identitytoken": "bought"}, IdentityToken("bought")),
        ({"registrytoken": "opens"}, Bearer("opens")),
        ({"email": "me@example.com"}, None),
    ],
)
def test_an_entry_is_read_as_docker_writes_it(
    entry: dict[str, str], login: RegistryLogin | None
) -> None:
    assert found(config(**{"ghcr.io": entry}), "oci://ghcr.io/app") == login
    old = {".dockercfg": json.dumps({"ghcr.io": entry}).encode()}
    assert found(old, "oci://ghcr.io/app") == login


def test_what_is_read_is_shown_to_nobody() -> None:
    tokens = {"identitytoken": "an-identity-to-hide", "auth": auth("me", "a-password-to-hide")}
    found(config(**{"ghcr.io": tokens}), "oci://ghcr.io/app")

    for text in (*tokens.values(), "a-password-to-hide"):
        assert text not in redact(f"the server said {text}")


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({}, "no key .dockerconfigjson"),
        ({"username": b"me"}, "no key .dockerconfigjson"),
        ({".dockerconfigjson": b"{"}, "is not the JSON"),
        ({".dockerconfigjson": b"\xff"}, "is not the JSON"),
        ({".dockerconfigjson": b'{"auths": []}'}, "is not the JSON"),
        (config(**{"ghcr.io": {"auth": "%%%"}}), "not base64"),
        (config(**{"ghcr.io": {"auth": "bWU="}}), "without a colon"),
        (config(**{"ghcr.io": {"username": "me", "password": "a\r\nHost: b"}}), "control char"),
        (config(**{f"{n}.io": {} for n in range(1001)}), "more than 1000 entries"),
    ],
)
def test_a_secret_that_cannot_be_used_is_told(values: dict[str, bytes], problem: str) -> None:
    with pytest.raises(InvalidCredentials, match=problem):
        found(values, "oci://ghcr.io/app")


@dataclass
class Locked:
    """A registry that opens for one login, with one artifact."""

    server: RegistryServer

    @property
    def url(self) -> str:
        return self.server.url("team/app")

    def config(self, password: str = PASSWORD) -> str:
        return config(**{self.server.host: {"auth": auth(USER, password)}})[
            ".dockerconfigjson"
        ].decode()


@pytest.fixture(scope="module")
async def locked(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Locked]:
    folder = tmp_path_factory.mktemp("locked")
    async with running_registry(folder, auth=htpasswd(folder), tls=True) as server:
        server.headers = {"Authorization": LOGIN.authorization}
        await server.push("team/app", "latest", [a_layer(folder, {"a": "1"})])
        yield Locked(server)


async def test_a_secret_opens_a_registry_and_so_does_its_replacement(
    service: SourceService, locked: Locked
) -> None:
    await service.secret("login", **{".dockerconfigjson": locked.config("wrong-password")})
    await service.apply(
        KIND, "app", url=locked.url, insecure=True, secretRef={"name": "login"}, interval="1s"
    )
    refused = await service.not_ready(KIND, "app", "AuthenticationFailed")
    assert "401" in condition(refused, "FetchFailed")["message"]

    await service.secret("login", **{".dockerconfigjson": locked.config()})
    await service.ready(KIND, "app")

    for told in (*service.told, str(refused)):
        for secret in ("wrong-password", auth(USER, "wrong-password"), PASSWORD):
            assert secret not in str(told)


async def test_an_account_brings_its_pull_secrets(service: SourceService, locked: Locked) -> None:
    await service.secret("login", **{".dockerconfigjson": locked.config()})
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "puller", "namespace": service.namespace},
        "imagePullSecrets": [{"name": "is-not-there"}, {"name": "login"}],
    }
    await service.cluster.apply(account, manager="team")
    await service.apply(
        KIND, "app", url=locked.url, insecure=True, serviceAccountName="puller", interval="200ms"
    )

    await service.ready(KIND, "app")
    runs = runs_of_sources()
    service.gate.seen.clear()
    await eventually(lambda: runs_of_sources() - runs, lambda more: more >= 3)
    assert service.requests() == []

    await service.apply(
        KIND, "app", url=locked.url, insecure=True, serviceAccountName="nobody", interval="1h"
    )
    missing = await service.not_ready(KIND, "app", "AuthenticationFailed")
    message = f"ServiceAccount {service.namespace}/nobody not found"
    assert condition(missing, "FetchFailed")["message"] == message


def runs_of_sources() -> float:
    labels = {"controller": "ocirepository", "result": "success"}
    return counted("controller_runtime_reconcile_total", **labels)


async def test_an_authority_from_a_secret_is_trusted(
    service: SourceService, locked: Locked
) -> None:
    assert locked.server.authority is not None
    await service.secret("login", **{".dockerconfigjson": locked.config()})
    await service.secret("tls", **{"ca.crt": locked.server.authority.read_text()})
    await service.secret("odd", **{"ca.crt": "no certificate"})
    await service.secret("empty", other="key")
    spec = {"url": locked.url, "secretRef": {"name": "login"}}

    await service.apply(KIND, "app", **spec, certSecretRef={"name": "tls"})
    await service.ready(KIND, "app")

    for name, problem in {"odd": "must be PEM", "empty": "neither ca.crt"}.items():
        await service.apply(KIND, name, **spec, certSecretRef={"name": name})
        stored = await service.not_ready(KIND, name, "AuthenticationFailed")
        message = condition(stored, "FetchFailed")["message"]
        assert message.startswith(f"Secret {service.namespace}/{name}: ")
        assert problem in message
    await service.apply(KIND, "unknown", **spec)
    stored = await service.not_ready(KIND, "unknown", "OCIArtifactPullFailed")
    assert "certificate" in condition(stored, "FetchFailed")["message"]


async def test_a_proxy_from_a_secret_is_used(service: SourceService, locked: Locked) -> None:
    await service.secret("login", **{".dockerconfigjson": locked.config()})
    await service.secret("proxy", address="http://127.0.0.1:1")
    await service.secret("wrong", address="gopher://127.0.0.1:1")
    spec = {"url": locked.url, "secretRef": {"name": "login"}, "insecure": True}

    await service.apply(KIND, "app", **spec, proxySecretRef={"name": "proxy"})
    await service.apply(KIND, "wrong", **spec, proxySecretRef={"name": "wrong"})

    stored = await service.not_ready(KIND, "app", "OCIArtifactPullFailed")
    assert "127.0.0.1:1" in condition(stored, "FetchFailed")["message"]
    stored = await service.not_ready(KIND, "wrong", "AuthenticationFailed")
    assert "schemes http, https, socks5" in condition(stored, "FetchFailed")["message"]


async def test_the_cloud_identity_of_an_account_waits_for_its_feature_gate(
    service: SourceService,
) -> None:
    url = "oci://012345678901.dkr.ecr.eu-central-1.amazonaws.com/app"
    await service.apply(KIND, "app", url=url, provider="aws", serviceAccountName="puller")

    stored = await service.not_ready(KIND, "app", "FeatureGateDisabled")

    assert condition(stored, "Stalled")["status"] == "True"


@pytest.mark.parametrize(
    ("url", "insecure", "reason", "problem"),
    [
        ("registry.example/app", False, "AuthenticationFailed", "no https address of provider gcp"),
        ("gcr.io/app", True, "InvalidProviderConfiguration", "spec.insecure: an identity of gcp"),
    ],
)
async def test_the_identity_of_a_cloud_is_shown_to_its_own_registries_alone(
    service: SourceService, url: str, insecure: bool, reason: str, problem: str
) -> None:
    await service.apply(KIND, "app", url=f"oci://{url}", provider="gcp", insecure=insecure)

    stored = await service.not_ready(KIND, "app", reason)

    assert problem in condition(stored, "FetchFailed")["message"]


@dataclass
class Clouds:
    """Gives one token, and remembers what it was asked for."""

    login: Basic | AwsKeys
    asked: list[TokenRequest] = field(default_factory=list)

    async def token(self, ask: TokenRequest) -> CloudToken:
        self.asked.append(ask)
        return CloudToken(self.login, datetime(2099, 1, 1, tzinfo=UTC))


async def test_a_cloud_is_asked_for_a_login_to_this_registry() -> None:
    clouds = Clouds(Basic("AWS", "a-password-of-the-cloud"))
    repository = Repository.parse("oci://europe-docker.pkg.dev/team/app")
    account = NamespacedName("team-a", "puller")

    login = await CloudRegistries(clouds).login("gcp", repository, account, None)

    assert login == clouds.login
    assert clouds.asked == [
        TokenRequest(
            provider="gcp",
            audience_kind="registry",
            url="https://europe-docker.pkg.dev/team/app",
            service_account=account,
        )
    ]
    with pytest.raises(FetchStalled, match="'moon' is none of aws, azure, gcp"):
        await CloudRegistries(clouds).login("moon", repository, None, None)
    with pytest.raises(FetchFailed, match="keys in place of a login"):
        await CloudRegistries(Clouds(AwsKeys("a", "b"))).login("aws", repository, None, None)


async def test_a_login_that_was_replaced_is_read_again_when_the_registry_refuses_the_old_one(
    service: SourceService, tmp_path: Path
) -> None:
    opens = ["Basic " + auth("me", "the-first-one")]

    def odd(request: web.Request) -> web.Response | None:
        known = request.path == "/v2/" or request.headers.get("Authorization") == opens[0]
        return None if known else web.Response(status=401, headers={"WWW-Authenticate": "Basic"})

    async with odd_registry() as registry:
        registry.odd = odd
        registry.add("latest", a_layer(tmp_path, {"a": "1"}))

        async def hand_out(password: str) -> None:
            login = config(**{registry.host: {"auth": auth("me", password)}})
            await service.secret("login", **{k: v.decode() for k, v in login.items()})

        await hand_out("the-first-one")
        secret = {"name": "login"}
        await service.apply(
            KIND, "app", url=registry.url(), insecure=True, secretRef=secret, interval="100ms"
        )
        await service.ready(KIND, "app")
        opens[0] = "Basic " + auth("me", "the-second-one")
        await hand_out("the-second-one")
        registry.add("latest", a_layer(tmp_path, {"a": "2"}))

        async def followed() -> bool:
            stored = await service.ready(KIND, "app")
            return await service.files(stored) == {"a": b"2"}

        await eventually(followed)
    assert [told.reason for told in service.told if told.severity == "error"] == []
