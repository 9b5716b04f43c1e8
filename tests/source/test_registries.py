"""The client of registries against a real one."""

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp.web import Request, Response, json_response

from services.source.oci.address import Access, IdentityToken, InvalidAddress, Repository
from services.source.oci.authorization import Authorization
from services.source.oci.manifest import OCI_MANIFEST, Descriptor
from services.source.oci.registry import Registry, RegistryError
from shared.credentials import Basic, Bearer, Tls
from shared.web.client import WebClient, WebError
from tests.support.odd_registry import odd_registry
from tests.support.registry import (
    FLUX_CONTENT,
    LOGIN,
    USER,
    Layer,
    RegistryServer,
    digest_of,
    htpasswd,
    running_registry,
)
from tests.support.token_server import IDENTITY, TokenServer, token_server

PLAIN = Access(insecure=True, deadline=timedelta(seconds=10))


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    async with WebClient.open() as web:
        yield Registry(web)


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RegistryServer]:
    async with running_registry(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture(scope="module")
async def app(server: RegistryServer) -> Repository:
    await server.push("team/app", "1.0.0", [Layer(b"the layer")], {"org.example": "note"})
    return Repository.parse(server.url("team/app"), PLAIN)


async def test_a_tag_is_resolved_and_read_by_its_digest(
    registry: Registry, app: Repository
) -> None:
    found = await registry.resolve(app, "1.0.0")
    manifest = await registry.manifest(app, found.digest)

    assert found.media_type == OCI_MANIFEST
    assert found.size == len(manifest.raw)
    assert digest_of(manifest.raw) == manifest.digest == found.digest
    assert manifest.annotations == {"org.example": "note"}
    assert manifest.layers[0].media_type == FLUX_CONTENT
    assert await registry.blob(app, manifest.layers[0], 100) == b"the layer"


async def test_a_blob_goes_into_a_file(registry: Registry, app: Repository) -> None:
    layer = (await registry.image(app, "1.0.0")).layers[0]
    file = io.BytesIO()

    await registry.download(app, layer, file, 100)

    assert file.getvalue() == b"the layer"


async def test_a_blob_larger_than_allowed_is_not_asked_for(
    registry: Registry, app: Repository
) -> None:
    layer = (await registry.image(app, "1.0.0")).layers[0]

    with pytest.raises(RegistryError, match="9 bytes, more than the 8 allowed"):
        await registry.blob(app, layer, 8)


async def test_what_is_not_there_is_missing(registry: Registry, app: Repository) -> None:
    with pytest.raises(RegistryError, match="404") as caught:
        await registry.resolve(app, "2.0.0")
    assert caught.value.missing

    unknown = replace(app, path="team/unknown")
    with pytest.raises(RegistryError) as caught:
        await registry.tags(unknown)
    assert caught.value.missing


async def test_all_tags_come_over_many_pages(
    registry: Registry, server: RegistryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.source.oci.registry.PAGE", 3)
    digest = await server.push("team/tags", "v0", [Layer(b"x")])
    for number in range(1, 8):
        await server.tag("team/tags", f"v{number}", digest)

    tags = await registry.tags(Repository.parse(server.url("team/tags"), PLAIN))

    assert tags == [f"v{number}" for number in range(8)]


async def test_an_index_leads_to_the_manifest_for_linux_on_amd64(
    registry: Registry, server: RegistryServer
) -> None:
    entries = []
    for architecture in ("arm64", "amd64"):
        digest = await server.push("team/index", architecture, [Layer(architecture.encode())])
        found = await registry.manifest(Repository.parse(server.url("team/index"), PLAIN), digest)
        entries.append(
            {
                "mediaType": OCI_MANIFEST,
                "digest": digest,
                "size": len(found.raw),
                "platform": {"os": "linux", "architecture": architecture},
            }
        )
    await server.push_index("team/index", "both", entries)
    await server.push_index("team/index", "other", entries[:1])
    repository = Repository.parse(server.url("team/index"), PLAIN)

    assert (await registry.image(repository, "both")).digest == entries[1]["digest"]
    assert (await registry.image(repository, "other")).digest == entries[0]["digest"]


async def test_what_refers_to_an_image_is_found_under_its_tag(
    registry: Registry, server: RegistryServer, app: Repository
) -> None:
    """Distribution does not serve referrers: clients keep an index under a tag."""
    digest = (await registry.resolve(app, "1.0.0")).digest
    assert await registry.referrers(app, digest) == []
    kinds = {"signature": "application/vnd.a", "note": "application/vnd.b"}
    referrers = [
        {
            "mediaType": OCI_MANIFEST,
            "digest": await server.push(app.path, tag, [Layer(tag.encode())]),
            "size": 1,
            "artifactType": kind,
        }
        for tag, kind in kinds.items()
    ]
    await server.push_index(app.path, digest.replace(":", "-"), referrers)

    found = await registry.referrers(app, digest, "application/vnd.b")

    assert [each.digest for each in found] == [referrers[1]["digest"]]
    assert len(await registry.referrers(app, digest)) == 2


async def test_a_user_and_a_password_open_a_registry(registry: Registry, tmp_path: Path) -> None:
    async with running_registry(tmp_path / "r", auth=htpasswd(tmp_path)) as server:
        server.headers = {"Authorization": LOGIN.authorization}
        digest = await server.push("team/app", "1", [Layer(b"x")])
        app = Repository.parse(server.url("team/app"), replace(PLAIN, login=LOGIN))

        assert (await registry.resolve(app, "1")).digest == digest
        for login in (None, Basic(USER, "wrong")):
            stranger = app.seen_as(replace(PLAIN, login=login))
            with pytest.raises(RegistryError) as caught:
                await registry.resolve(stranger, "1")
            assert caught.value.refused


async def test_certificates_are_checked_unless_the_user_says_insecure(
    registry: Registry, tmp_path: Path
) -> None:
    async with running_registry(tmp_path, tls=True) as server:
        digest = await server.push("team/app", "1", [Layer(b"x")])
        assert server.authority is not None
        known = Tls(authority=server.authority.read_text())
        app = Repository.parse(server.url("team/app"))

        with pytest.raises(RegistryError, match="certificate"):
            await registry.resolve(app, "1")
        assert (await registry.resolve(app.seen_as(Access(tls=known)), "1")).digest == digest
        assert (await registry.resolve(app.seen_as(PLAIN), "1")).digest == digest


@pytest.fixture
async def tokens(tmp_path: Path) -> AsyncIterator[TokenServer]:
    async with token_server(tmp_path) as tokens:
        yield tokens


@pytest.mark.parametrize("login", [LOGIN, IdentityToken(IDENTITY)], ids=["basic", "identity"])
async def test_a_token_is_bought_once_for_a_repository(
    registry: Registry, tokens: TokenServer, tmp_path: Path, login: Basic | IdentityToken
) -> None:
    async with running_registry(tmp_path / "r", auth=tokens.auth) as server:
        bought = tokens.token(["repository:team/app:pull,push"])
        server.headers = {"Authorization": f"Bearer {bought}"}
        digest = await server.push("team/app", "1", [Layer(b"x")])
        app = Repository.parse(server.url("team/app"), replace(PLAIN, login=login))

        together = await asyncio.gather(*(registry.resolve(app, "1") for _ in range(10)))
        assert {found.digest for found in together} == {digest}
        manifest = await registry.manifest(app, digest)
        assert await registry.blob(app, manifest.layers[0], 10) == b"x"
        assert [asked["scope"] for asked in tokens.asked] == ["repository:team/app:pull"]

        with pytest.raises(RegistryError) as caught:
            await registry.resolve(app.seen_as(replace(PLAIN, login=Basic("x", "y"))), "1")
        assert caught.value.refused


async def test_a_token_is_renewed_before_it_ends() -> None:
    time = [0.0]
    async with WebClient.open() as web, odd_registry() as realm:
        realm.odd = lambda _: json_response(
            {"token": f"token-{len(realm.seen)}", "expires_in": 300}
        )
        authorization = Authorization(web, lambda: time[0])
        app = Repository("127.0.0.1", "team/app", PLAIN)
        asked = {"WWW-Authenticate": f'Bearer realm="http://{realm.host}/token",service="s"'}

        await authorization.challenged(app, None, WebError("401", status=401, headers=asked), None)
        time[0] = 280.0
        assert await authorization.login(app, None) == Bearer("token-1")
        time[0] = 291.0
        assert await authorization.login(app, None) == Bearer("token-2")


async def test_a_token_that_is_no_longer_good_is_bought_again(registry: Registry) -> None:
    async with odd_registry() as realm, odd_registry() as server:
        realm.odd = lambda _: json_response({"access_token": f"token-{len(realm.seen)}"})
        asked = {"WWW-Authenticate": f'Bearer realm="http://{realm.host}/token"'}
        good = ["token-1"]

        def odd(request: Request) -> Response | None:
            open_ = request.headers.get("Authorization") == f"Bearer {good[0]}"
            return None if open_ or request.path == "/v2/" else Response(status=401, headers=asked)

        server.odd = odd
        server.add("1", Layer(b"x"))
        app = Repository.parse(server.url(), PLAIN)
        await registry.resolve(app, "1")

        good[0] = "token-2"
        server.seen.clear()
        await registry.resolve(app, "1")

        assert [line.rpartition(" ")[2] for line in server.seen] == ["token-1", "token-2"]


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("oci://ghcr.io/team/app", "ghcr.io", "team/app"),
        ("oci://localhost:5000/app", "localhost:5000", "app"),
        ("oci://docker.io/nginx", "index.docker.io", "library/nginx"),
        ("oci://docker.io/team/app", "index.docker.io", "team/app"),
        ("oci://[::1]:5000/a__b/c-d.e/", "[::1]:5000", "a__b/c-d.e"),
    ],
)
def test_an_address_names_registry_and_repository(url: str, host: str, path: str) -> None:
    repository = Repository.parse(url)

    assert (repository.host, repository.path) == (host, path)


@pytest.mark.parametrize(
    "url",
    [
        "https://ghcr.io/team/app",
        "oci://ghcr.io",
        "oci://ghcr.io/",
        "oci:///team/app",
        "oci://ghcr.io/team/app:1.0",
        f"oci://ghcr.io/team/app@{digest_of(b'')}",
        "oci://ghcr.io/Team/app",
        "oci://ghcr.io/team/../app",
        "oci://user:word@ghcr.io/team/app",
        "oci://ghcr.io:99999/team/app",
        "oci://ghcr.io/team/app?x=1",
        f"oci://ghcr.io/{'a' * 300}",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidAddress):
        Repository.parse(url)


async def test_a_reference_cannot_leave_its_repository(registry: Registry, app: Repository) -> None:
    with pytest.raises(RegistryError, match="neither a tag nor a digest"):
        await registry.manifest(app, "../../other/manifests/1")
    with pytest.raises(RegistryError, match="not a digest"):
        await registry.blob(app, Descriptor(digest="../x", size=1), 10)
