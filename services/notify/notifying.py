"""The way out, assembled: events come in, are fanned out to Alerts, and go to their Providers."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from services.notify.courier import Courier
from services.notify.dedupe import Recent
from services.notify.fan_out import FanOut
from services.notify.intake import PLAN, Intake
from services.notify.lanes import Lanes
from services.notify.posting import Post
from services.notify.reports import Reports
from services.notify.static_kinds import StaticKinds
from services.notify.target import ReadSecret
from shared.bus import Bus
from shared.cluster.client import Cluster
from shared.cluster.objects import ObjectRef
from shared.cluster.watch_cache import watch_kind
from shared.resources.notification import Alert, Provider
from shared.run import Recorder
from shared.subjects import EVENTS


@asynccontextmanager
async def notifying(
    cluster: Cluster, bus: Bus, recorder: Recorder, *, across_namespaces: bool
) -> AsyncIterator[Intake]:
    """Begins once Alerts and Providers are known: an event must not miss an Alert by seconds."""
    async with (
        watch_kind(cluster, Alert).running() as alerts,
        watch_kind(cluster, Provider).running() as providers,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
        asyncio.TaskGroup() as tasks,
    ):
        await alerts.synced()
        await providers.synced()
        reports = Reports(recorder, alerts.get)
        static_kinds = StaticKinds(cluster, reports.warn)
        static_kinds.follow(alerts, providers)
        releasing = tasks.create_task(static_kinds.run(), name="finalizers")
        courier = Courier(providers.get, secret_reader(cluster), Post(session))
        lanes = Lanes(bus, courier, reports.dispatch_failed)
        lanes.follow(providers)
        fan_out = FanOut(
            alerts=alerts.values,
            provider_at=providers.get,
            objects=cluster,
            queue=bus,
            warn=reports.warn,
            across_namespaces=across_namespaces,
        )
        intake = Intake(bus, fan_out, Recent(asyncio.get_running_loop().time))
        listening = bus.durable(EVENTS, PLAN, intake.take)
        try:
            yield intake
        finally:
            await listening.ended()
            await lanes.end()
            releasing.cancel()


def secret_reader(cluster: Cluster) -> ReadSecret:
    async def read_secret(namespace: str, name: str) -> Mapping[str, Any] | None:
        return await cluster.read(ObjectRef("v1", "Secret", namespace, name))

    return read_secret
