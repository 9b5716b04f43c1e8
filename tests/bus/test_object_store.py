"""Blobs on a real server: whole or not there, and readable by every client of NATS."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from shared.bus import Bus
from shared.line import BusError, BusUnavailable
from shared.object_store import PIECE, Missing, ObjectStore
from shared.streams import Refused
from shared.subjects import ARTIFACT_BLOBS
from tests.support.nats_process import NatsProcess

CONTENT = bytes(range(256)) * 2000  # four pieces, the last one short
ROOM = 64 * 2**20


@dataclass
class Place:
    nats: NatsProcess
    bus: Bus
    store: ObjectStore


def pieces(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), PIECE):
        yield content[start : start + PIECE]


@pytest.fixture
async def place(nats: NatsProcess) -> AsyncIterator[Place]:
    async with Bus.connect(nats.url, service="source") as bus:
        await bus.connected()
        store = bus.objects(ARTIFACT_BLOBS)
        await store.ensure(ROOM)
        for name in await store.names():
            await store.remove(name)
        yield Place(nats, bus, store)


async def content_of(store: ObjectStore, name: str) -> bytes:
    blob = await store.find(name)
    assert blob is not None
    return b"".join([piece async for piece in store.read(blob)])


@pytest.mark.parametrize("content", [CONTENT, b"", b"x", CONTENT[:PIECE]])
async def test_what_was_put_is_read(place: Place, content: bytes) -> None:
    await place.store.put("sha256:1", pieces(content), {"path-index": "sha256:2"})

    blob = await place.store.find("sha256:1")

    assert await content_of(place.store, "sha256:1") == content
    assert blob is not None
    assert blob.metadata == {"path-index": "sha256:2"}
    assert await place.store.names() == {"sha256:1"}


async def test_the_second_one_of_a_name_replaces_the_first(place: Place) -> None:
    await place.store.put("a", pieces(CONTENT), {})
    await place.store.put("a", [b"new"], {})

    assert await content_of(place.store, "a") == b"new"
    assert await place.store.loose() == set()


async def test_what_is_removed_leaves_nothing(place: Place) -> None:
    await place.store.put("a", pieces(CONTENT), {})
    await place.store.put("b", [b"stays"], {})

    await place.store.remove("a")

    assert await place.store.find("a") is None
    assert await place.store.names() == {"b"}
    assert await place.store.loose() == set()
    await place.store.remove("a")  # again is no error


async def test_an_upload_that_breaks_off_is_no_blob_and_can_be_dropped(place: Place) -> None:
    def breaks() -> Iterator[bytes]:
        yield CONTENT[:100]
        raise OSError("the disk is gone")

    await place.store.put("whole", [b"1"], {})
    with pytest.raises(OSError, match="gone"):
        await place.store.put("half", breaks(), {})

    assert await place.store.find("half") is None
    (loose,) = await place.store.loose()
    await place.store.drop(loose)
    assert await place.store.loose() == set()
    assert await content_of(place.store, "whole") == b"1"


async def test_a_blob_that_lost_pieces_is_missing_and_not_short(place: Place) -> None:
    await place.store.put("a", pieces(CONTENT), {})
    blob = await place.store.find("a")
    assert blob is not None
    await place.store.drop(blob.nuid)

    with pytest.raises(Missing):
        await content_of(place.store, "a")


async def test_a_full_bucket_takes_no_more_and_loses_nothing(place: Place) -> None:
    await place.store.ensure(len(CONTENT) + 2 * PIECE)  # some of a second one fits
    await place.store.put("first", pieces(CONTENT), {})

    with pytest.raises(Refused, match="maximum bytes"):
        await place.store.put("second", pieces(CONTENT), {})

    assert await place.store.names() == {"first"}
    assert await content_of(place.store, "first") == CONTENT
    assert await place.store.loose() == set()


async def test_other_clients_of_nats_read_ours_and_we_theirs(place: Place) -> None:
    await place.store.put("ours", pieces(CONTENT), {})

    async with place.nats.admin() as client:
        theirs = await client.jetstream().object_store(ARTIFACT_BLOBS.name)
        read = await theirs.get("ours")
        await theirs.put("theirs", CONTENT)

    assert read.data == CONTENT
    assert await content_of(place.store, "theirs") == CONTENT


async def test_without_nats_every_question_ends_at_once(place: Place) -> None:
    place.nats.kill()
    try:
        with pytest.raises(BusError):
            await place.store.find("a")
        with pytest.raises(BusUnavailable):
            await place.store.names()
    finally:
        await place.nats.start()
