"""Webhooks over real HTTP: who may trigger what, and what everybody else gets to see."""

import asyncio
import base64
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.notify.receiver_types import webhook_path
from services.notify.triggers import Triggers
from services.notify.webhook_server import Webhooks
from shared.cluster.errors import Forbidden, NotFound, Unreachable
from shared.cluster.objects import Gvk, Manifest, ObjectRef
from shared.messages import About, ReconcileRequest
from shared.resources.notification import Receiver
from tests.support.doors import IMPATIENT, opened
from tests.support.notifications import a_receiver

TOKEN = "t0ken-of-the-receiver"
PATH = webhook_path(TOKEN, "hook", "team-a")
BODY = b'{"ref": "main"}'
ASKED_AT = "2026-01-02T00:00:00.000000Z"


class World:
    """Receivers, Secrets and objects in memory."""

    def __init__(self) -> None:
        self.receivers: list[Receiver] = [ready(a_receiver())]
        self.tokens = {"team-a/token": TOKEN}
        self.objects: dict[str, dict[str, str]] = {"GitRepository/team-a/shop": {}}
        self.annotated: dict[str, str] = {}
        self.told: list[tuple[About, ReconcileRequest]] = []
        self.weather: dict[str, Exception] = {}
        self.across_namespaces = True

    async def read_secret(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        if "secret" in self.weather:
            raise self.weather["secret"]
        token = self.tokens.get(f"{namespace}/{name}")
        if token is None:
            return None
        return {"data": {"token": base64.b64encode(token.encode()).decode()}}

    async def list(self, gvk: Gvk, namespace: str = "", labels: str = "") -> list[Manifest]:
        wanted = dict(pair.split("=") for pair in labels.split(",")).items()
        prefix = f"{gvk.kind}/{namespace}/"
        return [
            {"metadata": {"name": key.removeprefix(prefix)}}
            for key, found in self.objects.items()
            if key.startswith(prefix) and wanted <= found.items()
        ]

    async def merge_patch(self, ref: ObjectRef, patch: Manifest, *, manager: str = "") -> Manifest:
        if str(ref) in self.weather:
            raise self.weather[str(ref)]
        if str(ref) not in self.objects:
            raise NotFound(f"{ref} is not there")
        annotation = patch["metadata"]["annotations"]["reconcile.fluxcd.io/requestedAt"]
        self.annotated[str(ref)] = annotation
        return {}

    def webhooks(self) -> Webhooks:
        triggers = Triggers(
            self,
            lambda about, request: self.told.append((about, request)),
            across_namespaces=self.across_namespaces,
            now=lambda: datetime(2026, 1, 2, tzinfo=UTC),
        )
        return Webhooks(lambda: self.receivers, self.read_secret, triggers)


def ready(receiver: Receiver, path: str = PATH, status: str = "True") -> Receiver:
    condition = {
        "type": "Ready",
        "status": status,
        "reason": "Succeeded",
        "message": "",
        "lastTransitionTime": ASKED_AT,
    }
    return Receiver.from_object(
        msgspec.to_builtins(receiver) | {"status": {"webhookPath": path, "conditions": [condition]}}
    )


class Caller:
    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    async def post(self, path: str = PATH, body: bytes = BODY, **headers: str) -> int:
        return (await self.answer(path, body, **headers))[0]

    async def answer(self, path: str = PATH, body: bytes = BODY, **headers: str) -> tuple[int, str]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._session.post(self.url + path, data=body, headers=named) as response:
            return response.status, await response.text()

    async def get(self, path: str = PATH) -> int:
        async with self._session.get(self.url + path) as response:
            return response.status


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def caller(world: World) -> AsyncIterator[Caller]:
    door = world.webhooks().door(IMPATIENT)
    async with opened(door) as url, aiohttp.ClientSession() as session:
        yield Caller(url, session)


def signed(body: bytes = BODY, digest: str = "sha256", token: str = TOKEN) -> str:
    return f"{digest}={hmac.new(token.encode(), body, digest).hexdigest()}"


async def test_a_webhook_annotates_and_tells_the_bus(world: World, caller: Caller) -> None:
    assert await caller.post() == 200

    assert world.annotated == {"GitRepository/team-a/shop": ASKED_AT}
    assert world.told == [
        (
            About("GitRepository", "team-a", "shop"),
            ReconcileRequest(requested_at=ASKED_AT, requester="Receiver/team-a/hook"),
        )
    ]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/hook/",
        "/hook",
        PATH[:-1],
        PATH + "0",
        PATH + "/",
        PATH + "?x=1",
        PATH.upper(),
        "/x" + PATH,
        "/" + PATH,
        webhook_path("", "hook", "team-a"),
        webhook_path(TOKEN, "other", "team-a"),
    ],
)
async def test_only_the_exact_path_is_known(world: World, caller: Caller, path: str) -> None:
    assert await caller.answer(path) == (404, "404: Not Found")
    assert world.annotated == {}


async def test_a_receiver_without_a_path_is_reached_by_no_path(
    world: World, caller: Caller
) -> None:
    world.receivers = [ready(a_receiver(), path="")]

    assert await caller.post("/hook/") == 404


@pytest.mark.parametrize(
    "receiver", [ready(a_receiver(suspend=True)), ready(a_receiver(), status="False")]
)
async def test_suspended_or_not_ready(world: World, caller: Caller, receiver: Receiver) -> None:
    world.receivers = [receiver]

    assert await caller.post() == 503
    assert world.annotated == {}


async def test_other_methods_trigger_nothing(world: World, caller: Caller) -> None:
    assert await caller.get() == 405
    assert world.annotated == {}


class TestSignatures:
    @pytest.fixture(autouse=True)
    def receiver(self, world: World) -> None:
        world.receivers = [ready(a_receiver(type="generic-hmac"))]

    @pytest.mark.parametrize("digest", ["sha1", "sha256", "sha512"])
    async def test_a_signed_body_triggers(self, world: World, caller: Caller, digest: str) -> None:
        assert await caller.post(X_Signature=signed(digest=digest)) == 200
        assert len(world.annotated) == 1

    @pytest.mark.parametrize(
        "signature",
        [
            None,
            "",
            "sha256=",
            "sha256",
            "=",
            signed().removeprefix("sha256="),
            signed()[:-1],
            signed() + "0",
            signed().upper(),
            "sha256=" + signed().removeprefix("sha256=").upper(),
            signed().replace("sha256", "sha1"),
            signed().replace("sha256", "md5"),
            signed(digest="md5"),
            signed(b"another body"),
            signed(token="another token"),
            signed(token=""),
            "sha256=" + "é" * 64,
            "sha1=" + "0" * 40,
        ],
    )
    async def test_no_other_signature_does(
        self, world: World, caller: Caller, signature: str | None
    ) -> None:
        headers: Any = {} if signature is None else {"X_Signature": signature}

        assert await caller.answer(**headers) == (400, "not authentic\n")
        assert (world.annotated, world.told) == ({}, [])

    async def test_the_body_must_be_the_signed_one(self, world: World, caller: Caller) -> None:
        assert await caller.post(body=BODY + b" ", X_Signature=signed()) == 400
        assert await caller.post(body=b"", X_Signature=signed(b"")) == 200

    async def test_nothing_is_checked_before_the_whole_body_is_there(self, caller: Caller) -> None:
        async with aiohttp.ClientSession() as session:

            async def slow() -> AsyncIterator[bytes]:
                yield b"x"
                await asyncio.sleep(5)

            async with session.post(
                caller.url + PATH, data=slow(), headers={"X-Signature": signed()}
            ) as response:
                assert response.status == 408

    @settings(
        max_examples=200,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(body=st.binary(max_size=200))
    async def test_any_signed_body_is_taken_and_any_other_refused(
        self, world: World, caller: Caller, body: bytes
    ) -> None:
        assert await caller.post(body=body, X_Signature=signed(body)) == 200
        assert await caller.post(body=body, X_Signature=signed(body + b"x")) == 400


async def test_the_token_is_read_as_it_is_now(world: World, caller: Caller) -> None:
    world.tokens["team-a/token"] = "a new one"

    assert await caller.post() == 404
    assert world.annotated == {}


@pytest.mark.parametrize("weather", [None, Forbidden("no"), Unreachable("away")])
async def test_without_its_token_a_receiver_is_not_ready(
    world: World, caller: Caller, weather: Exception | None
) -> None:
    world.tokens.clear()
    world.weather = {"secret": weather} if weather else {}

    assert await caller.post() == 503


async def test_a_type_that_is_not_served_triggers_nothing(world: World, caller: Caller) -> None:
    world.receivers = [ready(a_receiver(type="github"))]

    assert await caller.post() == 503
    assert world.annotated == {}


class TestWhatIsTriggered:
    def names(self, world: World, *resources: dict[str, Any]) -> None:
        world.receivers = [ready(a_receiver(resources=list(resources)))]

    async def test_a_star_selects_by_labels(self, world: World, caller: Caller) -> None:
        world.objects = {
            "GitRepository/team-a/one": {"app": "shop", "tier": "web"},
            "GitRepository/team-a/two": {"app": "shop"},
            "GitRepository/team-b/three": {"app": "shop", "tier": "web"},
        }
        labels = {"app": "shop", "tier": "web"}
        self.names(world, {"kind": "GitRepository", "name": "*", "matchLabels": labels})

        assert await caller.post() == 200
        assert set(world.annotated) == {"GitRepository/team-a/one"}

    async def test_all_get_the_same_request(self, world: World, caller: Caller) -> None:
        world.objects = {"GitRepository/team-a/shop": {}, "Bucket/team-b/x": {}}
        self.names(
            world,
            {"kind": "GitRepository", "name": "shop"},
            {"kind": "Bucket", "name": "x", "namespace": "team-b"},
        )

        assert await caller.post() == 200
        assert set(world.annotated) == set(world.objects)

    @pytest.mark.parametrize(
        ("resource", "problem"),
        [
            ({"kind": "GitRepository", "name": "absent"}, "absent"),
            ({"kind": "GitRepository", "name": "*"}, "matchLabels"),
            ({"kind": "Kustomization", "name": "x"}, "apiVersion"),
            ({"kind": "GitRepository", "name": "forbidden"}, "no right"),
        ],
    )
    async def test_one_that_cannot_be_triggered_does_not_hold_up_the_others(
        self,
        world: World,
        caller: Caller,
        caplog: pytest.LogCaptureFixture,
        resource: dict[str, Any],
        problem: str,
    ) -> None:
        world.weather["GitRepository/team-a/forbidden"] = Forbidden("no right")
        self.names(world, resource, {"kind": "GitRepository", "name": "shop"})

        with caplog.at_level(logging.ERROR):
            assert await caller.answer() == (500, "not every resource could be requested\n")

        assert set(world.annotated) == {"GitRepository/team-a/shop"}
        assert problem in str(caplog.records[-1].__dict__["error"])

    async def test_an_api_version_may_be_given(self, world: World, caller: Caller) -> None:
        world.objects = {"Kustomization/team-a/shop": {}}
        api_version = "kustomize.toolkit.fluxcd.io/v1"
        self.names(world, {"kind": "Kustomization", "name": "shop", "apiVersion": api_version})

        assert await caller.post() == 200

    async def test_locked_down_no_other_namespace_is_reached(self, world: World) -> None:
        world.across_namespaces = False
        world.objects["Bucket/team-b/x"] = {}
        self.names(
            world,
            {"kind": "Bucket", "name": "x", "namespace": "team-b"},
            {"kind": "GitRepository", "name": "shop"},
        )
        door = world.webhooks().door(IMPATIENT)

        async with opened(door) as url, aiohttp.ClientSession() as session:
            assert await Caller(url, session).post() == 500

        assert set(world.annotated) == {"GitRepository/team-a/shop"}


def test_the_path_is_the_one_that_flux_computes() -> None:
    digest = hashlib.sha256(b"tokenhookteam-a").hexdigest()

    assert webhook_path("token", "hook", "team-a") == f"/hook/{digest}"


async def test_tokens_are_in_no_log(
    world: World, caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    world.receivers = [ready(a_receiver(type="generic-hmac"))]

    with caplog.at_level(logging.DEBUG):
        await caller.post(X_Signature="sha256=0")
        await caller.post(X_Signature=signed())

    assert TOKEN not in caplog.text
    assert signed() not in caplog.text
