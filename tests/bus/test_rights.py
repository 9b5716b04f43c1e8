"""Every user on a real server with the permissions of the table: what it needs, and no more."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from shared.bus import Bus
from shared.durable import DurablePlan
from shared.messages import About, ReconcileRequest
from shared.subject_rights import ROLES, rights_of
from shared.subjects import DELIVERIES, EVENTS, STREAMS, Stream
from tests.bus.test_durable import PLAN, Reader, an_event
from tests.support.eventually import eventually
from tests.support.nats_process import NatsProcess, running_nats

PASSWORDS = {user: f"{user}-password" for user in ROLES}


def accounts() -> str:
    users = [
        {
            "user": user,
            "password": password,
            "permissions": {
                "publish": {"allow": rights_of(user).publish},
                "subscribe": {"allow": rights_of(user).subscribe},
            },
        }
        for user, password in PASSWORDS.items()
    ]
    users.append({"user": "admin", "password": "admin"})
    return f"accounts: {json.dumps({'PENSTOCK': {'jetstream': 'enabled', 'users': users}})}"


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[NatsProcess]:
    async with running_nats(tmp_path, accounts()) as server:
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
    for user, password in PASSWORDS.items():
        client = Client()
        probe = Probe(client)
        await client.connect(
            guarded.url,
            user=user,
            password=password,
            inbox_prefix=f"_INBOX_{user}",
            error_cb=probe.note,
        )
        found[user] = probe
        clients.append(client)
    yield found
    for client in clients:
        await client.close()


def may_say(user: str, stream: Stream[Any]) -> bool:
    return stream in ROLES[user].publishes


async def test_each_user_publishes_on_its_own_streams_alone(probes: dict[str, Probe]) -> None:
    names = ("info", "Kustomization", "team-a", "shop")
    asked = {(user, stream.name): stream for user in probes for stream in STREAMS}

    allowed = {
        (user, name): await probes[user].may_publish(stream.subject(*names))
        for (user, name), stream in asked.items()
    }

    assert allowed == {
        (user, name): may_say(user, stream) for (user, name), stream in asked.items()
    }


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


async def test_every_role_can_do_its_work(guarded: NatsProcess, tmp_path: Path) -> None:
    """All that the code sends under a role is in that role's rights."""
    heard: list[tuple[str, str]] = []

    async with asyncio.TaskGroup() as group:
        for user in ROLES:
            group.create_task(work(guarded, credentials(tmp_path, user), user, heard))

    assert {user for user, _ in heard} == {user for user, role in ROLES.items() if role.hears}


async def work(nats: NatsProcess, login: Path, user: str, heard: list[tuple[str, str]]) -> None:
    reader = Reader()
    role = ROLES[user]
    async with Bus.connect(nats.url, credentials=login, service=user) as bus:
        await bus.connected()
        for stream in role.hears:
            bus.hints(
                stream,
                [stream.every("Kustomization"), stream.every("HelmRelease")],
                lambda message: heard.append((user, message.names[0])),
            )
            bus.hints(stream, [stream.subjects], lambda _: None)
        if EVENTS in role.publishes:
            await bus.store(EVENTS, EVENTS.subject("info", *SHOP), an_event("x"), message_id=user)
        for stream, name in role.durables:
            plan = DurablePlan(
                name="lane-1" if name == "*" else name,
                subject=stream.subjects,
                fresh=stream is DELIVERIES,
            )
            bus.durable(stream, plan, reader.read)
        if role.durables:
            await eventually(lambda: reader.finished)
        await eventually(lambda: tells(bus, user, heard), within=10)


SHOP = About("Kustomization", "team-a", "shop")


def tells(bus: Bus, user: str, heard: list[tuple[str, str]]) -> bool:
    """Say something on every hint stream of the role until everybody who should has heard."""
    for stream in ROLES[user].publishes:
        if stream.name in {"ARTIFACTS", "READY", "REQUESTS"}:
            bus.publish(stream, SHOP, ReconcileRequest(requested_at="now", requester=user))
    return {name for name, _ in heard} == {name for name, role in ROLES.items() if role.hears}


def test_the_durable_plan_of_the_events_is_the_one_that_the_rights_name() -> None:
    assert (EVENTS, PLAN.name) in ROLES["notify"].durables
