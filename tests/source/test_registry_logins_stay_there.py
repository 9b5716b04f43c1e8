"""A login is for the registry and for the realm that it may name: nobody else is shown it."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp import web

from services.source.oci.address import Access, Repository
from services.source.oci.authorization import Authorization, Refused
from services.source.oci.registry import Registry
from shared.web.client import WebClient, WebError
from tests.support.odd_registry import OddRegistry, answers, at, odd_registry, refused
from tests.support.registry import LOGIN, Layer

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


async def test_a_registry_that_always_asks_for_a_login_is_asked_twice(
    client: Registry, registry: OddRegistry, app: Repository
) -> None:
    async with odd_registry() as realm:
        realm.odd = lambda _: web.json_response({"token": "a-token-of-the-realm"})
        challenge = f'Bearer realm="http://{realm.host}/token",service="s",scope="a:b:c"'
        registry.odd = at(
            "manifests",
            lambda _: web.Response(status=401, headers={"WWW-Authenticate": challenge}),
        )

        error = await refused(client.resolve(app, "1"), "401")

        assert error.refused
        assert len(realm.seen) == 1
        assert sum("/manifests/" in line for line in registry.seen) == 2


async def test_a_login_that_does_not_open_is_tried_once_each_time(
    client: Registry, registry: OddRegistry, app: Repository
) -> None:
    challenge = {"WWW-Authenticate": 'Basic realm="registry"'}
    registry.odd = at("manifests", answers(status=401, headers=challenge))
    mine = app.seen_as(replace(PLAIN, login=LOGIN))

    for _ in range(2):
        assert (await refused(client.resolve(mine, "1"), "401")).refused

    assert [LOGIN.authorization in line for line in registry.seen[1:]] == [False, True, True]


@pytest.mark.parametrize(
    "challenge",
    [
        'Bearer realm="http://elsewhere.example/token"',
        'Bearer realm="http://127.0.0.2/token"',
        'Bearer realm="ftp://127.0.0.1/token"',
        'Bearer realm="https://user:word@127.0.0.1/token"',
        'Bearer realm="http://[/token"',
        'Bearer realm=""',
        "Bearer",
        "Negotiate",
        "",
    ],
)
async def test_a_login_goes_to_no_place_that_cannot_be_trusted_with_it(
    client: Registry, registry: OddRegistry, app: Repository, challenge: str
) -> None:
    registry.odd = at(
        "manifests", lambda _: web.Response(status=401, headers={"WWW-Authenticate": challenge})
    )
    mine = app.seen_as(replace(PLAIN, login=LOGIN))

    error = await refused(client.resolve(mine, "1"))

    assert error.refused
    assert not any(LOGIN.authorization in line for line in registry.seen)


async def test_a_secure_registry_cannot_name_an_insecure_realm(web_client: WebClient) -> None:
    authorization = Authorization(web_client)
    repository = Repository("registry.example", "team/app", Access(login=LOGIN))
    challenge = {"WWW-Authenticate": 'Bearer realm="http://registry.example/token"'}
    error = WebError("401", status=401, headers=challenge)

    with pytest.raises(Refused, match="neither an https URL"):
        await authorization.challenged(repository, None, error, None)


async def test_where_blobs_are_kept_gets_no_login_and_cannot_ask_for_one(
    client: Registry, registry: OddRegistry, app: Repository
) -> None:
    async with odd_registry() as store:
        challenge = {"WWW-Authenticate": "Basic"}
        registry.odd = lambda request: (
            web.Response(status=401, headers=challenge)
            if "Authorization" not in request.headers and "/v2/team" in request.path
            else web.Response(status=307, headers={"Location": f"http://{store.host}/blob"})
            if "/blobs/" in request.path
            else None
        )
        mine = app.seen_as(replace(PLAIN, login=LOGIN))
        layer = (await client.image(mine, "1")).layers[0]
        store.odd = answers(body=LAYER.content)

        assert await client.blob(mine, layer, 100) == LAYER.content
        assert store.seen == ["GET /blob"]

        realm = {"WWW-Authenticate": f'Bearer realm="http://{store.host}/token"'}
        store.odd = answers(status=401, headers=realm)
        error = await refused(client.blob(mine, layer, 100), "401")
        assert error.refused
        assert store.seen == ["GET /blob"] * 2


async def test_a_signed_address_of_a_blob_is_shown_to_nobody(
    client: Registry, registry: OddRegistry, app: Repository
) -> None:
    async with odd_registry() as store:
        signed = f"http://{store.host}/blob?X-Signature=canary-of-the-store"
        registry.odd = at("blobs", answers(status=307, headers={"Location": signed}))
        layer = (await client.image(app, "1")).layers[0]

        error = await refused(client.blob(app, layer, 100), "404")

        assert store.seen == ["GET /blob?X-Signature=canary-of-the-store"]
        assert "canary" not in str(error)
