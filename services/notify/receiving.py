"""The way in, assembled: Receivers get their paths, and webhooks on them request runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.notify.notifying import secret_reader
from services.notify.receivers import ReceiverReconciler
from services.notify.triggers import MANAGER, Triggers
from services.notify.webhook_server import Webhooks
from shared.bus import Bus
from shared.cluster.client import Cluster
from shared.cluster.watch_cache import watch_kind
from shared.controller import Controller, Options
from shared.messages import About, ReconcileRequest
from shared.resources.meta import NamespacedName
from shared.resources.notification import Receiver
from shared.run import Recorder
from shared.subjects import REQUESTS

CONCURRENT = 4


@asynccontextmanager
async def receiving(
    cluster: Cluster,
    bus: Bus,
    recorder: Recorder,
    *,
    across_namespaces: bool,
    concurrent: int = 0,
) -> AsyncIterator[tuple[Controller[Receiver], Webhooks]]:
    def tell(about: About, request: ReconcileRequest) -> None:
        bus.publish(REQUESTS, about, request)

    read_secret = secret_reader(cluster)
    triggers = Triggers(cluster, tell, across_namespaces=across_namespaces)
    options = Options(
        name=MANAGER,
        manager=MANAGER,
        concurrent=concurrent or CONCURRENT,
        advance_when_suspended=False,
    )
    async with watch_kind(cluster, Receiver).running() as receivers:
        await receivers.synced()
        reconciler = ReceiverReconciler(read_secret)
        controller = Controller(cluster, receivers, Receiver, reconciler, recorder, options)
        bus.hints(
            REQUESTS,
            [REQUESTS.every(Receiver.kind)],
            lambda request: controller.look_at(NamespacedName(*request.names[1:])),
        )
        yield controller, Webhooks(receivers.values, read_secret, triggers)
