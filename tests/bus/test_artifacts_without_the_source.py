"""A consumer gets an artifact from the object store while the source service is away."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from penstock.local.ports import free_port
from shared import artifact as artifacts
from shared.artifact import ArtifactCache, ArtifactFailed
from shared.bus import Bus
from shared.digests import digest_of
from shared.object_store import ObjectStore
from shared.resources.meta import Artifact
from shared.subjects import ARTIFACT_BLOBS
from tests.support.nats_process import NatsProcess

CONTENT = b"packed" * 1000


@pytest.fixture
async def store(nats: NatsProcess) -> AsyncIterator[ObjectStore]:
    async with Bus.connect(nats.url, service="kustomize") as bus:
        await bus.connected()
        store = bus.objects(ARTIFACT_BLOBS)
        await store.ensure(2**20)
        yield store


@pytest.fixture
async def cache(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ArtifactCache]:
    monkeypatch.setattr(artifacts, "RETRY_DELAYS", (0.001,))
    async with (
        aiohttp.ClientSession() as session,
        ArtifactCache(session, tmp_path / "cache", objects=store) as cache,
    ):
        yield cache


def an_artifact(content: bytes = CONTENT) -> Artifact:
    return Artifact(
        digest=digest_of(content),
        path="x",
        url=f"http://127.0.0.1:{free_port()}/x.tar.gz",
        revision="main@sha1:1",
        last_update_time="2026-01-01T00:00:00Z",
        size=len(content),
    )


async def test_what_the_source_does_not_answer_comes_from_the_store(
    store: ObjectStore, cache: ArtifactCache
) -> None:
    await store.put(digest_of(CONTENT), [CONTENT], {})

    assert (await cache.fetch(an_artifact())).read_bytes() == CONTENT


async def test_a_wrong_or_a_missing_copy_leaves_the_sources_own_failure(
    store: ObjectStore, cache: ArtifactCache, tmp_path: Path
) -> None:
    await store.put(digest_of(b"other"), [CONTENT], {})

    for wanted in (an_artifact(b"other"), an_artifact(b"missing")):
        with pytest.raises(ArtifactFailed, match="failed to download http://"):
            await cache.fetch(wanted)

    assert not any((tmp_path / "cache").iterdir())


async def test_without_nats_the_failure_is_the_sources_too(
    nats: NatsProcess, cache: ArtifactCache
) -> None:
    nats.kill()
    try:
        with pytest.raises(ArtifactFailed, match="failed to download http://"):
            await cache.fetch(an_artifact())
    finally:
        await nats.start()
