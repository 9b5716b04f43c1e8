"""From an artifact to wanted objects, with as little building as possible.

Nothing is built while artifact and inputs are the same. A new artifact that answers everything the
last build asked of its tree in the same way (the trace) would give the same objects, so they stand.
What is built is built once for all who ask for the same at about the same time.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from weakref import WeakValueDictionary

import msgspec

from services.kustomize.builds import Builds
from services.kustomize.plan import Plan, Values, made_of
from services.kustomize.post_build import variables_of
from services.kustomize.trees import Artifacts, Engine, Trees
from shared.cluster.client import Cluster
from shared.cluster.fields import digest
from shared.engine_messages import BuildRequest, Built, EngineError, JsonObject, Overlay
from shared.outcomes import Failed
from shared.quarantine import Quarantine
from shared.resources.kustomize import Kustomization
from shared.resources.meta import Artifact, NamespacedName
from shared.status import requested_at

PATH_NOT_FOUND = "kustomization path not found"


class BuildFailed(Failed):
    reason = "BuildFailed"


class Planner:
    def __init__(
        self,
        engine: Engine,
        artifacts: Artifacts,
        cluster: Cluster,
        quarantine: Quarantine | None = None,
        *,
        strict: bool = True,
    ) -> None:
        """`strict`: a variable without value and default is an error."""
        self._strict = strict
        self._engine = engine
        self._trees = Trees(engine, artifacts)
        self._cluster = cluster
        self._quarantine = quarantine or Quarantine()
        self._plans: dict[NamespacedName, Plan] = {}
        self._builds = Builds()
        self._locks: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    def plan_of(self, key: NamespacedName) -> Plan | None:
        """The last one."""
        return self._plans.get(key)

    def is_fetching(self, artifact: Artifact) -> bool:
        """It is on its way from the source to the engine."""
        return self._trees.is_loading(artifact)

    def forget(self, key: NamespacedName) -> None:
        self._plans.pop(key, None)

    async def plan(self, kustomization: Kustomization, artifact: Artifact) -> Plan:
        """Raises BuildFailed, or ArtifactMissing and ArtifactFailed."""
        variables = await variables_of(kustomization, self._cluster)
        request = _request(kustomization, artifact, text=variables is not None)
        any_tree = msgspec.structs.replace(request, tree="")
        common = kustomization.spec.common_metadata
        inputs = digest([msgspec.to_builtins(each) for each in (any_tree, variables, common)])
        with _failures():
            plan = await self._standing(kustomization, artifact, inputs)
            if plan is None:
                built = await self._build(request, artifact, kustomization)
        if plan is None:
            values = Values(variables, self._strict)
            plan = await made_of(
                built, request.tree, inputs, kustomization, values, self._digest_of
            )
        self._plans[kustomization.key] = plan
        return plan

    async def _standing(
        self, kustomization: Kustomization, artifact: Artifact, inputs: bytes
    ) -> Plan | None:
        """The last plan, if it would be made again."""
        last = self._plans.get(kustomization.key)
        if last is None or last.inputs != inputs:
            return None
        if last.tree == artifact.digest:
            return last
        stands = await self._would_stand(last, artifact, requested_at(kustomization))
        return replace(last, tree=artifact.digest) if stands else None

    async def _would_stand(self, plan: Plan, artifact: Artifact, request: str | None) -> bool:
        """What is guarded together has the same answer for all: not whether a plan stands."""
        changes = await self._quarantine.guarded(
            digest([plan.tree, artifact.digest, request]),
            lambda: self._trees.changes(plan.tree, artifact),
        )
        if changes is not None:
            return changes.isdisjoint(plan.trace)
        return plan.trace_digest == await self._quarantine.guarded(
            digest([plan.trace, artifact.digest, request]),
            lambda: self._trees.with_tree(
                artifact, lambda: self._engine.trace(artifact.digest, plan.trace)
            ),
        )

    async def _build(
        self, request: BuildRequest, artifact: Artifact, kustomization: Kustomization
    ) -> Built:
        key = digest(msgspec.to_builtins(request))
        asked = digest([key.hex(), requested_at(kustomization)])
        async with self._lock(key):
            built = self._builds.get(key)
            if built is None:
                built = await self._quarantine.guarded(
                    asked,
                    lambda: self._trees.with_tree(artifact, lambda: self._engine.build(request)),
                )
                self._builds.keep(key, built)
        return built

    async def _digest_of(self, objects: Sequence[JsonObject]) -> str:
        with _failures():
            return await self._engine.yaml_digest(objects)

    def _lock(self, name: bytes) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())


@contextmanager
def _failures() -> Iterator[None]:
    """What the engine has to say, as the end of a run."""
    try:
        yield
    except EngineError as error:
        message = str(error)
        reason = "ArtifactFailed" if message.startswith(PATH_NOT_FOUND) else None
        raise BuildFailed(message, reason=reason) from error


def _request(kustomization: Kustomization, artifact: Artifact, *, text: bool) -> BuildRequest:
    spec = kustomization.spec
    return BuildRequest(
        tree=artifact.digest,
        path=spec.path or "./",
        overlay=Overlay(
            namespace=spec.target_namespace or "",
            name_prefix=spec.name_prefix or "",
            name_suffix=spec.name_suffix or "",
            patches=spec.patches,
            images=spec.images,
            components=spec.components,
            ignore_missing_components=spec.ignore_missing_components,
            build_metadata=spec.build_metadata,
        ),
        text=text,
    )
