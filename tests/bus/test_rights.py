"""Every user of deploy/base/nats on a real server: what its service needs, and no more."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from shared.bus import Bus
from shared.durable import DurablePlan
from shared.messages import About, ArtifactReady, Body, ReadyChange, ReconcileRequest
from shared.subjects import (
    ARTIFACT_BLOBS,
    ARTIFACTS,
    DELIVERIES,
    EVENTS,
    READY,
    REQUESTS,
    STREAMS,
    Stream,
)
from tests.bus.test_durable import Reader, an_event
from tests.support.counted import counted
from tests.support.eventually import eventually
from tests.support.nats_process import NatsProcess, running_nats

ACCOUNTS = Path(__file__).parents[2] / "deploy" / "base" / "nats" / "accounts.conf"


@dataclass(frozen=True, kw_only=True)
class Role:
    """What a service's code does on the bus, in the way it does it."""

    kinds: tuple[str, ...]  # the objects that it speaks about
    publishes: tuple[Stream[Any], ...]
    hears: tuple[tuple[Stream[Any], tuple[str, ...]], ...] = ()
    durables: tuple[tuple[Stream[Any], str], ...] = ()


SOURCES = (
    "GitRepository",
    "HelmRepository",
    "HelmChart",
    "OCIRepository",
    "Bucket",
    "ExternalArtifact",
    "ArtifactGenerator",
)
ROLES = {
    "source": Role(
        kinds=SOURCES,
        publishes=(ARTIFACTS, EVENTS),
        hears=((REQUESTS, tuple(map(REQUESTS.every, SOURCES))),),
    ),
    "kustomize": Role(
        kinds=("Kustomization",),
        publishes=(READY, EVENTS),
        hears=(
            (ARTIFACTS, (ARTIFACTS.subjects,)),
            (REQUESTS, (REQUESTS.every("Kustomization"),)),
            (READY, (READY.subjects,)),
        ),
    ),
    "helm": Role(
        kinds=("HelmRelease",),
        publishes=(READY, EVENTS),
        hears=(
            (ARTIFACTS, (ARTIFACTS.subjects,)),
            (REQUESTS, (REQUESTS.every("HelmRelease"),)),
            (READY, (READY.subjects,)),
        ),
    ),
    "notify": Role(
        kinds=("Receiver", "GitRepository", "Kustomization", "HelmRelease"),
        publishes=(REQUESTS, EVENTS, DELIVERIES),
        hears=((REQUESTS, (REQUESTS.every("Receiver"),)),),
        durables=((EVENTS, "notify"), (DELIVERIES, "lane-0123456789abcdef")),
    ),
}
PASSWORDS = {user: f"p-{user}" for user in (*ROLES, "admin")}


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[NatsProcess]:
    passwords = {f"NATS_{user.upper()}_PASSWORD": word for user, word in PASSWORDS.items()}
    async with running_nats(tmp_path, ACCOUNTS.read_text(), passwords) as server:
        yield server


def credentials(folder: Path, user: str) -> Path:
    file = folder / f"{user}.json"
    file.write_text(json.dumps({"user": user, "password": PASSWORDS[user]}))
    return file


class Probe:
    """A user with bare hands: what does the server let it do?"""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._refusals: list[str] = []

    async def note(self, error: Exception) -> None:
        self._refusals.append(str(error).lower())

    async def may_publish(self, subject: str) -> bool:
        await self._client.publish(subject, b"{}")
        return await self._was_allowed()

    async def may_subscribe(self, subject: str) -> bool:
        await self._client.subscribe(subject)
        return await self._was_allowed()

    async def _was_allowed(self) -> bool:
        # The first ping may overtake what was published; a refusal never overtakes the second.
        await self._client.flush()
        await self._client.flush()
        refused = any("permissions violation" in refusal for refusal in self._refusals)
        self._refusals.clear()
        return not refused


@pytest.fixture
async def probes(guarded: NatsProcess) -> AsyncIterator[dict[str, Probe]]:
    found: dict[str, Probe] = {}
    clients = []
    for user in ROLES:
        client = Client()
        probe = Probe(client)
        await client.connect(
            guarded.url,
            user=user,
            password=PASSWORDS[user],
            inbox_prefix=f"_INBOX_{user}",
            error_cb=probe.note,
        )
        found[user] = probe
        clients.append(client)
    yield found
    for client in clients:
        await client.close()


async def test_each_user_publishes_on_its_own_streams_alone(probes: dict[str, Probe]) -> None:
    asked = [(user, stream) for user in probes for stream in STREAMS]

    allowed = [
        (user, stream.name)
        for user, stream in asked
        if await probes[user].may_publish(a_subject(stream, ROLES[user].kinds[0]))
    ]

    assert allowed == [
        (user, stream.name) for user, stream in asked if stream in ROLES[user].publishes
    ]


def a_subject(stream: Stream[Any], kind: str) -> str:
    severity = ("info",) if stream is EVENTS else ()
    return stream.subject(*severity, kind, "team-a", "shop")


async def test_nobody_speaks_in_anothers_name(probes: dict[str, Probe]) -> None:
    asked = [
        (user, other)
        for user in ("source", "kustomize", "helm")
        for other in ("GitRepository", "Kustomization", "HelmRelease")
    ]

    allowed = [
        (user, kind)
        for user, kind in asked
        if await probes[user].may_publish(a_subject(EVENTS, kind))
    ]

    assert allowed == [(user, kind) for user, kind in asked if kind in ROLES[user].kinds]


@pytest.mark.parametrize(
    "subject",
    [
        "$JS.API.STREAM.DELETE.EVENTS",
        "$JS.API.STREAM.PURGE.EVENTS",
        "$JS.API.STREAM.MSG.GET.EVENTS",
        "$JS.API.STREAM.MSG.DELETE.EVENTS",
        "$JS.API.STREAM.CREATE.OTHER",
        "$JS.API.STREAM.RESTORE.EVENTS",
        "$JS.API.CONSUMER.CREATE.EVENTS.spy",
        "$JS.API.CONSUMER.CREATE.EVENTS.spy.penstock.event.>",
        "$JS.API.CONSUMER.DURABLE.CREATE.EVENTS.notify",
        "$JS.API.CONSUMER.DELETE.ARTIFACTS.x",
        "$JS.API.ACCOUNT.PURGE.x",
        "$SYS.REQ.SERVER.PING",
        "_INBOX_other.x",
        "anything",
    ],
)
async def test_nobody_may_say(probes: dict[str, Probe], subject: str) -> None:
    assert {
        user: await probe.may_publish(subject) for user, probe in probes.items()
    } == dict.fromkeys(probes, False)


@pytest.mark.parametrize("subject", [">", "penstock.>", "$SYS.>", "$JS.>", "_INBOX.>", "*.*"])
async def test_nobody_may_listen_in(probes: dict[str, Probe], subject: str) -> None:
    assert not any([await probe.may_subscribe(subject) for probe in probes.values()])


async def test_an_inbox_is_private(probes: dict[str, Probe]) -> None:
    asked = [(user, owner) for user in probes for owner in probes]

    allowed = [
        (user, owner)
        for user, owner in asked
        if await probes[user].may_subscribe(f"_INBOX_{owner}.>")
    ]

    assert allowed == [(user, user) for user in probes]


async def test_the_anonymous_are_refused(guarded: NatsProcess) -> None:
    client = Client()

    async def nothing(_: Exception) -> None: ...

    with pytest.raises(Exception, match=r"(?i)authorization"):
        await client.connect(guarded.url, allow_reconnect=False, error_cb=nothing)
    await client.close()


async def test_the_source_service_keeps_the_blobs_and_the_appliers_read_them(
    guarded: NatsProcess, tmp_path: Path
) -> None:
    async with connected(guarded, tmp_path, "source") as bus:
        store = bus.objects(ARTIFACT_BLOBS)
        await store.ensure(2**20)
        await store.ensure(2**21)  # the owner may change it
        await store.put("sha256:1", [b"one"], {})
        await store.put("sha256:1", [b"two"], {})
        for user in sorted(ARTIFACT_BLOBS.users):
            async with connected(guarded, tmp_path, user) as theirs:
                readable = theirs.objects(ARTIFACT_BLOBS)
                blob = await readable.find("sha256:1")
                assert blob is not None
                assert [piece async for piece in readable.read(blob)] == [b"two"]
        await store.remove("sha256:1")
        assert await store.names() == await store.loose() == set()


@pytest.mark.parametrize(
    "subject",
    [
        "$O.artifacts.C.1",
        "$O.artifacts.M.1",
        "$JS.API.STREAM.PURGE.OBJ_artifacts",
        "$JS.API.STREAM.UPDATE.OBJ_artifacts",
        "$JS.API.STREAM.CREATE.OBJ_artifacts",
    ],
)
async def test_nobody_but_source_changes_the_blobs(probes: dict[str, Probe], subject: str) -> None:
    allowed = [user for user, probe in probes.items() if await probe.may_publish(subject)]

    assert allowed == ["source"]


@asynccontextmanager
async def connected(nats: NatsProcess, folder: Path, user: str) -> AsyncIterator[Bus]:
    async with Bus.connect(nats.url, credentials=credentials(folder, user), service=user) as bus:
        await bus.connected()
        yield bus


async def test_every_service_can_do_its_work(guarded: NatsProcess, tmp_path: Path) -> None:
    heard: set[tuple[str, str]] = set()

    async with asyncio.TaskGroup() as group:
        for user in ROLES:
            group.create_task(work(guarded, credentials(tmp_path, user), user, heard))

    assert heard == everything_heard()


def everything_heard() -> set[tuple[str, str]]:
    return {(user, stream.name) for user, role in ROLES.items() for stream, _ in role.hears}


async def work(nats: NatsProcess, login: Path, user: str, heard: set[tuple[str, str]]) -> None:
    role = ROLES[user]
    async with Bus.connect(nats.url, credentials=login, service=user) as bus:
        await bus.connected()
        for stream, subjects in role.hears:
            listen(bus, user, stream, subjects, heard)
        for kind in role.kinds:
            await bus.store(
                EVENTS, a_subject(EVENTS, kind), an_event("x"), message_id=f"{user} {kind}"
            )
        for stream, name in role.durables:
            await can_consume(bus, stream, name)
        await eventually(lambda: tells(bus, user, heard), within=10)


def listen(
    bus: Bus,
    user: str,
    stream: Stream[Any],
    subjects: tuple[str, ...],
    heard: set[tuple[str, str]],
) -> None:
    bus.hints(stream, subjects, lambda _: heard.add((user, stream.name)))


async def can_consume(bus: Bus, stream: Stream[Any], name: str) -> None:
    reader = Reader()
    if stream is DELIVERIES:
        body = b'{"event": {}}'  # undecodable: terminating it needs the right to answer
        await bus.store(stream, stream.subject("team-a", "chat"), body, message_id="bad")
        before = counted("penstock_dead_letters_total", stream=stream.name)
        plan = DurablePlan(name=name, subject=stream.subject("team-a", "chat"), fresh=True)
        bus.durable(stream, plan, reader.read)
        await eventually(
            lambda: counted("penstock_dead_letters_total", stream=stream.name) > before
        )
    else:
        bus.durable(stream, DurablePlan(name=name, subject=stream.subjects), reader.read)
        await eventually(lambda: reader.finished)


def tells(bus: Bus, user: str, heard: set[tuple[str, str]]) -> bool:
    """Say something on every hint stream of the role until all who should have heard."""
    hints = [stream for stream in ROLES[user].publishes if stream in (ARTIFACTS, READY, REQUESTS)]
    for stream in hints:
        for kind in ROLES[user].kinds:
            bus.publish(stream, About(kind, "team-a", "shop"), a_body(stream))
    return heard == everything_heard()


def a_body(stream: Stream[Any]) -> Body:
    if stream is ARTIFACTS:
        return ArtifactReady(revision="main@sha1:1", digest="sha256:0", url="http://source/x")
    if stream is READY:
        return ReadyChange(generation=1, ready=True)
    return ReconcileRequest(requested_at="now", requester="test")
