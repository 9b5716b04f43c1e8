"""Keep one Helm release what its HelmRelease, its chart and its values ask for.

Read `reconcile` first: it is the whole story, a line per phase. A release that is as it should be
makes no request: chart, dependencies and records are known from watches, digests from memory.
"""

from services.helm.attempt import Attempt
from services.helm.chart import Charts, announced_name, ready_artifact
from services.helm.convergence import bring_about, in_sync
from services.helm.digests import of_common_metadata
from services.helm.farewell import depart, is_identity_gone, leave_old_target, recorded_identity
from services.helm.names import identity_of
from services.helm.observe import Wanted
from services.helm.other_dependencies import Dependencies
from services.helm.record import Record
from services.helm.run_requests import requests_of
from services.helm.served import require_served
from services.helm.subject import Subject, Tools
from services.helm.values import Values
from services.helm.values_from import composed_values
from shared.cluster.client import Cluster
from shared.outcomes import Done
from shared.resources.helm import HelmRelease
from shared.resources.meta import Artifact
from shared.resources.source import HelmChart
from shared.run import Run


class HelmReleaseReconciler:
    def __init__(
        self, cluster: Cluster, tools: Tools, charts: Charts, dependencies: Dependencies
    ) -> None:
        self._cluster = cluster
        self._tools = tools
        self._charts = charts
        self._dependencies = dependencies

    async def reconcile(self, release: HelmRelease, run: Run) -> Done:
        require_served(release)
        chart = await self._charts.requested(release, run)
        await self._dependencies.require(release, self._speaking_for(release), run)
        artifact = ready_artifact(chart)
        values = await composed_values(release, self._cluster.read)
        wanted = await self._wanted(release, chart, artifact, values)
        attempt = self._attempt(release, run, artifact, values, wanted)
        await leave_old_target(attempt)
        await self._look(attempt)
        await bring_about(attempt)
        return in_sync(attempt)

    async def finalize(self, release: HelmRelease, run: Run) -> None:
        if release.spec.suspend:
            return
        identity = recorded_identity(release)
        if identity is not None and not await is_identity_gone(release, self._cluster):
            await depart(
                Subject(
                    release=release,
                    run=run,
                    tools=self._tools,
                    identity=identity,
                    cluster=self._speaking_for(release),
                    record=Record.of(release.status),
                )
            )
        self._tools.seen.forget(identity_of(release))
        await self._charts.remove(release, run)

    async def _wanted(
        self, release: HelmRelease, chart: HelmChart, artifact: Artifact, values: Values
    ) -> Wanted:
        status = release.status
        is_new = status.observed_generation != release.metadata.generation
        metadata = of_common_metadata(release.spec.common_metadata)
        return Wanted(
            chart_name=announced_name(chart, artifact),
            chart_version=artifact.revision,
            config_digest=await self._tools.digests.of_values(values),
            metadata_changed=is_new and metadata != status.observed_common_metadata_digest,
        )

    def _attempt(
        self, release: HelmRelease, run: Run, artifact: Artifact, values: Values, wanted: Wanted
    ) -> Attempt:
        """Failures count since the last change of spec, chart or values, or since a reset."""
        status, requests, record = release.status, requests_of(release), Record.of(release.status)
        tried = {
            "lastAttemptedGeneration": release.metadata.generation,
            "lastAttemptedRevision": wanted.chart_version,
            "lastAttemptedConfigDigest": wanted.config_digest,
        }
        known = (
            status.last_attempted_generation,
            status.last_attempted_revision,
            status.last_attempted_config_digest,
        )
        if requests.reset or known != tuple(tried.values()):
            record = record.without_failures()
        outdated = {"lastAttemptedValuesChecksum": None, "lastReleaseRevision": None}
        run.note(status={**tried, **outdated, **record.to_status()})
        return Attempt(
            release=release,
            run=run,
            tools=self._tools,
            identity=identity_of(release),
            cluster=self._speaking_for(release),
            record=record,
            artifact=artifact,
            values=values,
            wanted=wanted,
            requests=requests,
            forced=requests.forced,
        )

    async def _look(self, attempt: Attempt) -> None:
        attempt.run.note(status={"storageNamespace": attempt.identity.storage_namespace})
        self._tools.seen.keep(attempt.identity, attempt.release.key)
        await attempt.look()

    def _speaking_for(self, release: HelmRelease) -> Cluster:
        name = release.spec.service_account_name
        if name is None:
            return self._cluster
        return self._cluster.as_service_account(release.metadata.namespace, name)
