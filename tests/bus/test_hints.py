"""Hints against a real server that is killed, emptied and fed with garbage."""

import asyncio
import logging
from pathlib import Path

import pytest
from nats.js.errors import NotFoundError

from penstock.local.ports import free_port
from shared.bus import Bus
from shared.consuming import Received
from shared.messages import About, ArtifactReady
from shared.subjects import ARTIFACTS
from tests.support.counted import counted
from tests.support.eventually import eventually
from tests.support.nats_process import NatsProcess

SHOP = About("GitRepository", "team-a", "shop.v2")


def an_artifact(revision: str) -> ArtifactReady:
    return ArtifactReady(revision=revision, digest="sha256:00", url="http://source/x", size=3)


class Ear:
    """Remembers what it was told."""

    def __init__(self, bus: Bus, subjects: tuple[str, ...] = (ARTIFACTS.subjects,)) -> None:
        self.heard: list[Received[ArtifactReady]] = []
        self.subscription = bus.hints(ARTIFACTS, subjects, self.heard.append)

    def revisions(self) -> list[str]:
        return [message.body.revision for message in self.heard]


async def told(bus: Bus, ear: Ear, revision: str) -> None:
    """Publish until heard: a hint on its own may be dropped."""

    def again() -> list[str]:
        bus.publish(ARTIFACTS, SHOP, an_artifact(revision))
        return ear.revisions()

    await eventually(again, lambda revisions: revision in revisions, every=0.1)


async def test_a_hint_reaches_everybody_who_asked_for_its_kind(nats: NatsProcess) -> None:
    async with (
        Bus.connect(nats.url, service="source") as source,
        Bus.connect(nats.url, service="kustomize") as kustomize,
    ):
        ear = Ear(kustomize, (ARTIFACTS.every("GitRepository"), ARTIFACTS.every("Bucket")))
        await told(source, ear, "main@sha1:1")
        source.publish(ARTIFACTS, SHOP._replace(kind="HelmChart"), an_artifact("chart"))
        source.publish(ARTIFACTS, SHOP, an_artifact("main@sha1:2"))

        await eventually(ear.revisions, lambda heard: heard[-1] == "main@sha1:2")

    assert About(*ear.heard[-1].names) == SHOP
    assert "chart" not in ear.revisions()


async def test_without_nats_everything_goes_on() -> None:
    before = counted("penstock_hints_dropped_total", stream="ARTIFACTS")

    async with Bus.connect(f"nats://127.0.0.1:{free_port()}", service="source") as bus:
        Ear(bus)
        bus.publish(ARTIFACTS, SHOP, an_artifact("1"))

        assert not bus.is_connected
        assert counted("penstock_hints_dropped_total", stream="ARTIFACTS") == before + 1


async def test_nats_may_come_later(tmp_path: Path) -> None:
    nats = NatsProcess(tmp_path)
    async with Bus.connect(nats.url, service="source") as bus:
        ear = Ear(bus)
        await nats.start()
        try:
            await told(bus, ear, "1")
        finally:
            nats.stop()


async def test_a_killed_server_is_found_again(nats: NatsProcess) -> None:
    async with Bus.connect(nats.url, service="source") as bus:
        ear = Ear(bus)
        await told(bus, ear, "before")

        await nats.restart()

        await told(bus, ear, "after")


async def test_a_stream_that_was_deleted_comes_back(nats: NatsProcess) -> None:
    async with Bus.connect(nats.url, service="source") as bus, nats.admin() as admin:
        ear = Ear(bus)
        await told(bus, ear, "before")

        await admin.jetstream().delete_stream("ARTIFACTS")

        await told(bus, ear, "after")


async def stream_exists(nats: NatsProcess) -> bool:
    async with nats.admin() as admin:
        try:
            await admin.jetstream().stream_info("ARTIFACTS")
        except NotFoundError:
            return False
    return True


async def test_who_only_listens_keeps_the_stream_alive_too(nats: NatsProcess) -> None:
    async with Bus.connect(nats.url, service="kustomize") as bus:
        Ear(bus)
        await eventually(lambda: stream_exists(nats))

        await nats.restart()  # hints live in memory
        await eventually(lambda: stream_exists(nats))
        async with nats.admin() as admin:
            await admin.jetstream().delete_stream("ARTIFACTS")

        await eventually(lambda: stream_exists(nats))


async def test_a_consumer_that_was_deleted_misses_nothing(nats: NatsProcess) -> None:
    async with Bus.connect(nats.url, service="source") as bus, nats.admin() as admin:
        ear = Ear(bus)
        await told(bus, ear, "before")
        (consumer,) = await admin.jetstream().consumers_info("ARTIFACTS")

        await admin.jetstream().delete_consumer("ARTIFACTS", consumer.name)
        bus.publish(ARTIFACTS, SHOP, an_artifact("once"))

        await eventually(ear.revisions, lambda heard: heard.count("once") == 1)


async def test_garbage_is_counted_and_passed_over(
    nats: NatsProcess, caplog: pytest.LogCaptureFixture
) -> None:
    async with Bus.connect(nats.url, service="source") as bus, nats.admin() as admin:
        ear = Ear(bus)
        await told(bus, ear, "before")
        before = counted("penstock_dead_letters_total", stream="ARTIFACTS")

        with caplog.at_level(logging.WARNING):
            for number, body in enumerate(
                (b"", b"{", b"[1]", b'{"revision":7}', b"\xff" * 900_000)
            ):
                await admin.publish(f"penstock.artifact.Garbage.x.{number}", body[:500_000])
            await admin.publish("penstock.artifact.TooShort", b"{}")
            await told(bus, ear, "after")

        assert counted("penstock_dead_letters_total", stream="ARTIFACTS") == before + 6
        assert "\xff\xff" not in caplog.text


async def test_a_reader_that_fails_keeps_hearing(nats: NatsProcess) -> None:
    async with Bus.connect(nats.url, service="source") as bus:
        heard: list[str] = []

        def stumble(message: Received[ArtifactReady]) -> None:
            heard.append(message.body.revision)
            if message.body.revision == "stone":
                raise RuntimeError("stumbled")

        bus.hints(ARTIFACTS, [ARTIFACTS.subjects], stumble)

        def again(revision: str) -> list[str]:
            bus.publish(ARTIFACTS, SHOP, an_artifact(revision))
            return heard

        await eventually(lambda: again("stone"), lambda seen: "stone" in seen, every=0.1)
        await eventually(lambda: again("road"), lambda seen: "road" in seen, every=0.1)


async def test_a_server_that_hangs_blocks_nobody(nats: NatsProcess) -> None:
    async with Bus.connect(nats.url, service="source") as bus:
        ear = Ear(bus)
        await told(bus, ear, "before")
        nats.pause()
        began = asyncio.get_running_loop().time()

        for number in range(5000):
            bus.publish(ARTIFACTS, SHOP, an_artifact(str(number)))
        took = asyncio.get_running_loop().time() - began
        nats.resume()

        assert took < 1
        await told(bus, ear, "after")
