"""The way in, assembled: Receivers get their paths, and webhooks on them request runs."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from services.notify.notifying import secret_reader
from services.notify.receivers import ReceiverReconciler
from services.notify.triggers import MANAGER, Triggers
from services.notify.webhook_server import Webhooks
from shared.bus import Bus
from shared.cluster.client import Cluster
from shared.cluster.objects import Gvk, Manifest, ref_of
from shared.cluster.watch_cache import Selection, WatchCache, watch_kind, watch_metadata
from shared.controller import Controller, Options
from shared.messages import About, ReconcileRequest
from shared.resources.meta import NamespacedName
from shared.resources.notification import Receiver
from shared.run import Recorder
from shared.status import WATCHED
from shared.subjects import REQUESTS

CONCURRENT = 4
SECRET = Gvk("v1", "Secret")


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
    secret_kind = await cluster.resource_of(SECRET)
    async with (
        watch_kind(cluster, Receiver).running() as receivers,
        watch_metadata(cluster, secret_kind, Selection(labels=WATCHED)).running() as tokens,
    ):
        await receivers.synced()
        reconciler = ReceiverReconciler(read_secret)
        controller = Controller(cluster, receivers, Receiver, reconciler, recorder, options)
        controller.also_when(tokens, using(receivers))
        bus.hints(
            REQUESTS,
            [REQUESTS.every(Receiver.kind)],
            lambda request: controller.look_at(NamespacedName(*request.names[1:])),
        )
        yield controller, Webhooks(receivers.values, read_secret, triggers)


def using(
    receivers: WatchCache[Receiver],
) -> Callable[[Manifest | None, Manifest | None], list[NamespacedName]]:
    """The Receivers whose token is in a Secret that changed."""

    def affected(before: Manifest | None, after: Manifest | None) -> list[NamespacedName]:
        changed = ref_of(after or before or {})
        return [
            receiver.key
            for receiver in receivers.values()
            if receiver.metadata.namespace == changed.namespace
            and receiver.spec.secret_ref is not None
            and receiver.spec.secret_ref.name == changed.name
        ]

    return affected
