"""The HelmChart that a HelmRelease keeps for its `spec.chart`, and the artifact made of it.

The source service turns the HelmChart into an artifact; its watch event brings the release back.
The HelmChart is applied only when it differs from what the watch shows, so that a release that is
as it should be costs no request.
"""

from typing import Any

import msgspec

from services.helm.names import FIELD_MANAGER, chart_key, origin_labels, origin_of
from shared.cluster.client import Cluster
from shared.cluster.objects import Manifest, ObjectRef
from shared.cluster.watch_cache import WatchCache
from shared.outcomes import Failed, Stalled, Waiting
from shared.resources.helm import HelmRelease
from shared.resources.helm.release import HelmChartTemplate
from shared.resources.meta import Artifact, NamespacedName
from shared.resources.source import HelmChart
from shared.run import Run


class SourceNotReady(Waiting):
    reason = "SourceNotReady"


class AccessDenied(Stalled):
    reason = "AccessDenied"


class ChartTaken(Failed):
    """Two HelmReleases whose namespace and name run together to the same HelmChart name."""

    reason = "HelmChartSyncErr"


class Charts:
    def __init__(
        self, cluster: Cluster, cache: WatchCache[HelmChart], *, cross_namespace: bool = True
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._cross_namespace = cross_namespace
        self._sent: dict[NamespacedName, Manifest] = {}

    async def requested(self, release: HelmRelease, run: Run) -> HelmChart:
        """The HelmChart as the release wants it; one under an older name is deleted."""
        key, template = chart_key(release), release.spec.chart
        if key is None or template is None:
            raise Stalled("spec.chart: say which chart to release", reason="InvalidSpec")
        self._require_access(release, key)
        if release.status.helm_chart not in {None, str(key)}:
            await self.remove(release, run)
        run.note(status={"helmChart": str(key)})
        current = self._cache.get(key)
        if current is not None and origin_of(current.metadata.labels) not in {None, release.key}:
            raise ChartTaken(
                f"HelmChart {key} belongs to HelmRelease {origin_of(current.metadata.labels)}; "
                "rename one of the two releases"
            )
        wanted = _manifest(release, key, template)
        # A label or annotation that left the template is seen only by comparing with what we sent.
        settled = release.status.observed_generation == release.metadata.generation
        known = settled or self._sent.get(key) == wanted
        if current is not None and known and _is_as(current, wanted):
            return current
        return await self._apply(current, wanted, run)

    async def remove(self, release: HelmRelease, run: Run) -> None:
        """Delete the HelmChart that status names; one that is no longer ours is left alone."""
        namespace, _, name = (release.status.helm_chart or "").partition("/")
        chart = self._cache.get(NamespacedName(namespace, name))
        if chart is None or origin_of(chart.metadata.labels) != release.key:
            return
        self._sent.pop(chart.key, None)
        ref = ObjectRef(HelmChart.api_version, HelmChart.kind, namespace, name)
        if await self._cluster.delete(ref, uid=chart.metadata.uid):
            run.event("trace", "HelmChartDeleted", f"deleted {ref}")

    async def _apply(self, current: HelmChart | None, wanted: Manifest, run: Run) -> HelmChart:
        answer = await self._cluster.apply(wanted, manager=FIELD_MANAGER)
        chart = HelmChart.from_object(answer)
        self._sent[chart.key] = wanted
        if current is None:
            run.event("trace", "HelmChartCreated", f"created HelmChart/{chart.key}")
        elif current.metadata.generation != chart.metadata.generation:
            run.event("trace", "HelmChartConfigured", f"configured HelmChart/{chart.key}")
        self._cache.observe(chart)
        return chart

    def _require_access(self, release: HelmRelease, key: NamespacedName) -> None:
        if key.namespace != release.metadata.namespace and not self._cross_namespace:
            assert release.spec.chart is not None  # noqa: S101  (there would be no key)
            source = release.spec.chart.spec.source_ref
            raise AccessDenied(
                f"can't access '{source.kind}/{key.namespace}/{source.name}', "
                "cross-namespace references have been blocked"
            )


def ready_artifact(chart: HelmChart) -> Artifact:
    """Raises SourceNotReady until the newest HelmChart has its artifact."""
    status, what = chart.status, f"HelmChart '{chart.key}' is not ready"
    conditions = {condition.type: condition for condition in status.conditions}
    if status.observed_generation != chart.metadata.generation:
        raise SourceNotReady(f"{what}: its latest generation has not been reconciled yet")
    stalled = conditions.get("Stalled")
    if stalled is not None and stalled.status == "True":
        raise SourceNotReady(f"{what}: {stalled.message}")
    if status.artifact is None:
        ready = conditions.get("Ready")
        raise SourceNotReady(f"{what}: {ready.message if ready else 'it has no artifact yet'}")
    return status.artifact


def announced_name(chart: HelmChart, artifact: Artifact) -> str:
    """What the chart calls itself, which may differ from what it was asked for by."""
    file_name = artifact.path.rpartition("/")[2].removesuffix(".tgz")
    return chart.status.observed_chart_name or file_name.removesuffix(f"-{artifact.revision}")


def _manifest(release: HelmRelease, key: NamespacedName, template: HelmChartTemplate) -> Manifest:
    spec: dict[str, Any] = msgspec.to_builtins(template.spec)
    source = spec["sourceRef"]
    source.pop("namespace", None)  # a HelmChart is always beside its source
    spec.setdefault("interval", release.spec.interval)
    given = template.metadata
    labels = dict(given.labels) if given else {}
    metadata: Manifest = {
        "name": key.name,
        "namespace": key.namespace,
        "labels": labels | origin_labels(release.key),
    }
    if given and given.annotations:
        metadata["annotations"] = dict(given.annotations)
    return {
        "apiVersion": HelmChart.api_version,
        "kind": HelmChart.kind,
        "metadata": metadata,
        "spec": spec,
    }


def _is_as(current: HelmChart, wanted: Manifest) -> bool:
    """Whether an apply would change nothing; `suspend` belongs to whoever sets it."""
    read = HelmChart.from_object(wanted)
    spec = msgspec.structs.replace(read.spec, suspend=current.spec.suspend)
    has, asked = current.metadata, read.metadata
    return (
        spec == current.spec
        and asked.labels.items() <= has.labels.items()
        and asked.annotations.items() <= has.annotations.items()
    )
