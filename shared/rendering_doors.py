"""What a service that renders is given: the same doors, opened in the same order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import aiohttp

from shared.artifact import ArtifactCache
from shared.bus import Bus
from shared.cel import Expressions
from shared.cluster.client import Cluster
from shared.engine import Engine
from shared.events import Recorder
from shared.serving import side_doors
from shared.settings import SettingError, Settings
from shared.subjects import ARTIFACT_BLOBS


class Doors(NamedTuple):
    """`ready` is to be set when the service works: until then `/readyz` says no."""

    cluster: Cluster
    bus: Bus
    recorder: Recorder
    artifacts: ArtifactCache
    engine: Engine
    expressions: Expressions
    ready: asyncio.Event


@asynccontextmanager
async def rendering_doors(
    settings: Settings, *, service: str, controller: str
) -> AsyncIterator[Doors]:
    """`service` is its name on NATS, `controller` the one that Kubernetes knows."""
    if settings.engine is None:
        raise SettingError("PENSTOCK_ENGINE is not set: it names the engine's program")
    folder, ready = settings.state / "artifacts", asyncio.Event()
    async with (
        side_doors(settings, ready.is_set),
        Cluster.connect(settings.kubeconfig, agent=controller) as cluster,
        Bus.connect(
            settings.nats_url, credentials=settings.nats_credentials, service=service
        ) as bus,
        Recorder.open(cluster, bus, controller=controller, state=settings.state) as recorder,
        aiohttp.ClientSession() as session,
        ArtifactCache(
            session,
            folder,
            objects=bus.objects(ARTIFACT_BLOBS),
            retries=settings.http_retry,
        ) as artifacts,
        Engine(settings.engine, readable=folder) as engine,
        Expressions.ready(settings.engine, settings.state / "expressions") as expressions,
    ):
        yield Doors(cluster, bus, recorder, artifacts, engine, expressions, ready)
