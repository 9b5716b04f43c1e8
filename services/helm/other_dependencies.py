"""All that a release waits for: other releases, and what its annotation names, of any kind."""

from dataclasses import dataclass
from typing import Any

from services.helm.dependencies import (
    DependencyCycle,
    DependencyNotReady,
    Releases,
    require_ready,
)
from shared.cluster.client import Cluster
from shared.dependencies import (
    CIRCLE_AGAIN,
    DependencyRef,
    annotated,
    circle_of,
    circle_problem,
    require_reachable,
)
from shared.ready_watch import ReadyWatch
from shared.resources.helm import HelmRelease
from shared.resources.kustomize import Kustomization
from shared.resources.meta import Resource
from shared.run import Run


@dataclass(frozen=True)
class Dependencies:
    cluster: Cluster
    releases: Releases
    others: ReadyWatch
    cross_namespace: bool = True

    async def require(self, release: HelmRelease, identity: Cluster, run: Run) -> None:
        """Raises DependencyNotReady, or Stalled for what can never be. `identity` is whose rights
        decide of which foreign objects it may learn."""
        require_reachable(release, cross_namespace=self.cross_namespace)
        try:
            require_ready(release, self.releases)
            if refs := annotated(release):
                async with run.idle():  # others are not held up by what cannot be listed
                    await self._require_others(release, identity, refs)
        except DependencyNotReady:
            await self._require_no_circle(release)
            raise

    async def _require_others(
        self, release: HelmRelease, identity: Cluster, refs: list[DependencyRef]
    ) -> None:
        problem = await self.others.problem(release.key, identity, refs)
        if problem is not None:
            raise DependencyNotReady(problem)

    async def _require_no_circle(self, release: HelmRelease) -> None:
        if circle := await circle_of(release, self._looked_up):
            raise DependencyCycle(
                circle_problem(circle),
                retry_after=CIRCLE_AGAIN,
            )

    async def _looked_up(self, ref: DependencyRef) -> Resource[Any, Any] | None:
        if (ref.group, ref.kind) == HelmRelease.group_kind():
            return self.releases.get(ref.key)
        if (ref.group, ref.kind) == Kustomization.group_kind():
            return await self.cluster.get(Kustomization, ref.key)
        return None
