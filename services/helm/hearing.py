"""What the bus tells the helm service, and what it is told. All of it only saves time."""

from services.helm.keeping import Keeping
from shared.artifact_hints import ArtifactHints
from shared.bus import Bus
from shared.cluster.client import Cluster
from shared.consuming import Received
from shared.messages import ReconcileRequest
from shared.ready_news import ReadyNews
from shared.resources.helm import HelmRelease
from shared.resources.meta import NamespacedName
from shared.resources.source import HelmChart
from shared.subjects import ARTIFACTS, REQUESTS


def attach(bus: Bus, cluster: Cluster, keeping: Keeping) -> ArtifactHints:
    """Listen and tell; the answer's `run` has to be kept running."""

    def requested(request: Received[ReconcileRequest]) -> None:
        _, namespace, name = request.names
        keeping.controller.look_at(NamespacedName(namespace, name))

    hints = ArtifactHints(cluster, {HelmChart.kind: keeping.charts})
    bus.hints(ARTIFACTS, [ARTIFACTS.every(HelmChart.kind)], hints.heard)
    bus.hints(REQUESTS, [REQUESTS.every(HelmRelease.kind)], requested)
    news = ReadyNews[HelmRelease](bus, lambda each: each.status.last_attempted_revision)
    keeping.releases.on_change(news.changed)
    return hints
