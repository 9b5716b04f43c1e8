"""What a registry may do to us: nothing but fail."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from services.source.oci.address import Access, Repository
from services.source.oci.manifest import MAX_MANIFEST, OCI_INDEX, OCI_MANIFEST, Descriptor
from services.source.oci.registry import Registry
from shared.credentials import Basic
from shared.web.client import WebClient
from tests.support.odd_registry import (
    OddRegistry,
    answers,
    at,
    endless,
    manifest,
    odd_registry,
    refused,
)
from tests.support.registry import Layer, digest_of

PLAIN = Access(insecure=True, deadline=timedelta(seconds=5))
LAYER = Layer(b"the layer")


@pytest.fixture
async def web_client() -> AsyncIterator[WebClient]:
    async with WebClient.open() as web:
        yield web


@pytest.fixture
def client(web_client: WebClient) -> Registry:
    return Registry(web_client)


@pytest.fixture
async def registry() -> AsyncIterator[OddRegistry]:
    async with odd_registry() as registry:
        registry.add("1", LAYER)
        yield registry


@pytest.fixture
def app(registry: OddRegistry) -> Repository:
    return Repository.parse(registry.url(), PLAIN)


async def test_a_manifest_of_another_digest_is_refused(
    client: Registry, registry: OddRegistry, app: Repository
) -> None:
    digest = registry.manifests.keys() - {"1"}
    registry.odd = at("manifests", lambda _: manifest(b"{}", *digest))

    await refused(client.manifest(app, *digest), "has digest")
    await refused(client.manifest(app, "1"), "has digest")


async def test_a_digest_that_is_not_the_one_asked_for_is_refused(
    client: Registry, registry: OddRegistry, app: Repository
) -> None:
    registry.odd = at("manifests", lambda _: manifest(b"{}"))

    await refused(client.resolve(app, digest_of(b"mine")), "asked for sha256:")


@pytest.mark.parametrize("content", [b"the lazer", b"the layer and more", b"the", b""])
async def test_a_blob_with_other_bytes_is_refused(
    client: Registry, registry: OddRegistry, app: Repository, content: bytes
) -> None:
    registry.odd = at("blobs", answers(body=content))
    layer = Descriptor(digest=digest_of(LAYER.content), size=len(LAYER.content))

    await refused(client.blob(app, layer, 1000), "larger than the limit|came as")


async def test_a_blob_of_another_size_than_announced_is_refused(
    client: Registry, app: Repository
) -> None:
    layer = Descriptor(digest=digest_of(LAYER.content), size=len(LAYER.content) + 1)

    await refused(client.blob(app, layer, 1000), "came as 9 bytes")


async def test_an_endless_manifest_ends(
    client: Registry, registry: OddRegistry, app: Repository
) -> None:
    registry.odd = at("manifests", endless)

    await refused(client.manifest(app, "1"), f"larger than the limit of {MAX_MANIFEST}")


def document(**fields: Any) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, **fields}).encode()


MANY = [LAYER.descriptor] * 2001


@pytest.mark.parametrize(
    ("content", "media_type", "problem"),
    [
        (b"<html>", "text/html", "content type 'text/html'|not a manifest"),
        (document(), "application/json", "content type 'application/json'"),
        (document(), OCI_INDEX, "but the manifest says"),
        (document(manifests=[LAYER.descriptor]), OCI_MANIFEST, "both a manifest and an index"),
        (document(layers=[{"digest": "sha256:../../x", "size": 1}]), OCI_MANIFEST, "not a digest"),
        (document(layers=[{**LAYER.descriptor, "size": -1}]), OCI_MANIFEST, "a size of -1"),
        (document(layers=MANY), OCI_MANIFEST, "more than 2000 descriptors"),
        (document(annotations={"a": "x" * 300_000}), OCI_MANIFEST, "annotations of more than"),
        (document(annotations={"a": 1}), OCI_MANIFEST, "not a manifest"),
        (b'{"schemaVersion": 2, "x": ' + b"[" * 100_000, OCI_MANIFEST, "not a manifest"),
        (b'{"schemaVersion": 1}', OCI_MANIFEST, "schema version 1"),
        (b"\xff\xfe", OCI_MANIFEST, "not a manifest"),
        (b"", OCI_MANIFEST, "not a manifest"),
    ],
)
async def test_what_is_no_manifest_is_refused(
    client: Registry,
    registry: OddRegistry,
    app: Repository,
    content: bytes,
    media_type: str,
    problem: str,
) -> None:
    registry.odd = at("manifests", lambda _: manifest(content, media_type=media_type))

    await refused(client.manifest(app, "1"), problem)


async def test_an_index_that_leads_to_an_index_is_refused(
    client: Registry, registry: OddRegistry, app: Repository
) -> None:
    def index(request: web.Request) -> web.Response:
        inner = {"digest": digest_of(b"x"), "size": 1} if request.path.endswith("/1") else None
        content = document(mediaType=OCI_INDEX, manifests=[inner] if inner else [])
        return manifest(content, media_type=OCI_INDEX)

    registry.odd = at("manifests", index)

    await refused(client.image(app, "1"), "has digest")
    registry.manifests["1"] = document(mediaType=OCI_INDEX, manifests=[])
    registry.odd = at(
        "manifests", lambda _: manifest(registry.manifests["1"], media_type=OCI_INDEX)
    )
    await refused(client.image(app, "1"), "is empty")


async def test_a_registry_without_head_is_asked_with_get(
    client: Registry, registry: OddRegistry, app: Repository
) -> None:
    registry.odd = lambda request: web.Response(status=405) if request.method == "HEAD" else None

    found = await client.resolve(app, "1")

    assert found.digest == digest_of(registry.manifests["1"])
    assert [line.split()[0] for line in registry.seen] == ["GET", "HEAD", "GET"]


async def test_a_list_of_tags_without_an_end_ends(
    client: Registry, registry: OddRegistry, app: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.source.oci.registry.MAX_PAGES", 10)

    def page(request: web.Request) -> web.Response:
        number = int(request.query.get("last", 0)) + 1
        link = f'</v2/team/app/tags/list?last={number}>; rel="next"'
        return web.json_response({"tags": [f"v{number}"]}, headers={"Link": link})

    registry.odd = at("tags", page)

    await refused(client.tags(app), "more than 10 pages")
    assert sum("tags/list" in line for line in registry.seen) == 10


async def test_a_list_of_tags_that_leads_back_to_itself_ends(
    client: Registry, registry: OddRegistry, app: Repository
) -> None:
    link = {"Link": '</v2/team/app/tags/list?last=1>; rel="next"'}
    registry.odd = at("tags", lambda _: web.json_response({"tags": ["1"]}, headers=link))

    await refused(client.tags(app), "a list of more than")
    assert sum("tags/list" in line for line in registry.seen) == 2


async def test_a_list_of_tags_does_not_lead_to_another_server(
    client: Registry, registry: OddRegistry, app: Repository
) -> None:
    async with odd_registry() as other:
        link = {"Link": f'<http://{other.host}/v2/team/app/tags/list>; rel="next"'}
        registry.odd = at("tags", lambda _: web.json_response({"tags": []}, headers=link))

        await refused(client.tags(app), "sends us on to")
        assert other.seen == []


async def test_tags_beyond_count_and_tags_that_are_none(
    client: Registry, registry: OddRegistry, app: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = ["1.0.0", "../x", "a b", "-x", "", "x" * 129]
    registry.odd = at("tags", lambda _: web.json_response({"tags": tags}))
    assert await client.tags(app) == ["1.0.0"]

    monkeypatch.setattr("services.source.oci.registry.MAX_TAGS", 0)
    await refused(client.tags(app), "more than 0 tags")

    registry.odd = at("tags", answers(text="[]"))
    await refused(client.tags(app), "not a list of tags")


async def test_redirects_without_an_end_end(
    client: Registry, registry: OddRegistry, app: Repository
) -> None:
    registry.odd = at("manifests", lambda r: web.Response(status=307, headers={"Location": r.path}))

    await refused(client.manifest(app, "1"), "more than 5 redirects")


async def test_a_registry_that_stays_silent_is_left(
    client: Registry, registry: OddRegistry, app: Repository
) -> None:
    async def silence(_: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    registry.odd = at("manifests", silence)
    hasty = app.seen_as(replace(PLAIN, deadline=timedelta(milliseconds=200)))

    await refused(client.resolve(hasty, "1"), "no complete answer within 0.2s")


@pytest.mark.parametrize("after", ["30", "Wed, 21 Oct 2099 07:28:00 GMT", "soon", None])
async def test_a_registry_that_wants_a_pause_gets_it(
    client: Registry, registry: OddRegistry, app: Repository, after: str | None
) -> None:
    headers = {"Retry-After": after} if after else {}
    registry.odd = at("manifests", lambda _: web.Response(status=429, headers=headers))

    error = await refused(client.resolve(app, "1"), "429")
    assert error.retry_after is not None
    assert timedelta(seconds=30) <= error.retry_after <= timedelta(minutes=15)
    registry.seen.clear()

    later = await refused(client.tags(app), "asked for a pause")
    assert later.retry_after is not None
    assert timedelta(seconds=25) < later.retry_after <= error.retry_after
    assert registry.seen == []
    registry.odd = None
    other = app.seen_as(replace(PLAIN, login=Basic("another", "visitor")))
    assert await client.tags(other)


async def test_a_sick_registry_is_no_refusal(
    client: Registry, registry: OddRegistry, app: Repository
) -> None:
    registry.odd = at("manifests", answers(status=502))

    error = await refused(client.resolve(app, "1"), "502")

    assert (error.refused, error.missing, error.retry_after) == (False, False, None)
    registry.odd = None
    assert await client.resolve(app, "1")


@pytest.mark.parametrize("status", [200, 400, 404, 405])
async def test_a_registry_that_does_not_know_referrers_is_asked_for_the_tag(
    client: Registry, registry: OddRegistry, app: Repository, status: int
) -> None:
    digest = digest_of(registry.manifests["1"])
    registry.odd = at("referrers", answers(status=status, text="<html>"))

    assert await client.referrers(app, digest) == []

    assert registry.seen[-1].endswith(digest.replace(":", "-"))


async def test_referrers_are_listed_page_by_page_and_filtered(
    client: Registry, registry: OddRegistry, app: Repository
) -> None:
    def page(request: web.Request) -> web.Response:
        last = "page" in request.query
        each = {**LAYER.descriptor, "artifactType": "b" if last else "a"}
        content = document(mediaType=OCI_INDEX, manifests=[each])
        link = {} if last else {"Link": f"<{request.path}?page=2>; rel=next"}
        return web.Response(body=content, headers={"Content-Type": OCI_INDEX, **link})

    registry.odd = at("referrers", page)
    digest = digest_of(registry.manifests["1"])

    assert len(await client.referrers(app, digest)) == 2
    assert [each.artifact_type for each in await client.referrers(app, digest, "b")] == ["b"]
    assert "artifactType=b" in registry.seen[-2]
