"""From an artifact to wanted objects, with as little building as possible.

Nothing is built while artifact and inputs are the same. A new artifact that answers everything the
last build asked of its tree in the same way (the trace) would give the same objects, so they stand.
What is built is built once for all who ask for the same at about the same time.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar
from weakref import WeakValueDictionary

import msgspec

from services.kustomize.plan import Plan, Values, made_of
from services.kustomize.post_build import variables_of
from shared.cluster.client import Cluster
from shared.cluster.fields import digest
from shared.engine_messages import (
    BuildRequest,
    Built,
    EngineError,
    EngineUnavailable,
    JsonObject,
    Overlay,
)
from shared.outcomes import Failed
from shared.resources.kustomize import Kustomization
from shared.resources.meta import Artifact, NamespacedName

BUILDS_KEPT = 32
TREES_KNOWN = 100
PATH_NOT_FOUND = "kustomization path not found"

T = TypeVar("T")


class BuildFailed(Failed):
    reason = "BuildFailed"


class Engine(Protocol):
    """The part of `shared.engine.Engine` that is needed here."""

    async def load_tree(self, digest: str, archive: Path) -> Any: ...

    async def build(self, request: BuildRequest) -> Built: ...

    async def trace(self, tree: str, paths: Sequence[str]) -> str: ...

    async def yaml_digest(self, objects: Sequence[JsonObject]) -> str: ...


class Artifacts(Protocol):
    """The part of `shared.artifact.ArtifactCache` that is needed here."""

    async def fetch(self, artifact: Artifact) -> Path: ...


class Planner:
    def __init__(
        self, engine: Engine, artifacts: Artifacts, cluster: Cluster, *, strict: bool = True
    ) -> None:
        """`strict`: a variable without value and default is an error."""
        self._strict = strict
        self._engine = engine
        self._artifacts = artifacts
        self._cluster = cluster
        self._plans: dict[NamespacedName, Plan] = {}
        self._trees: OrderedDict[str, None] = OrderedDict()
        self._builds: OrderedDict[bytes, Built] = OrderedDict()
        self._locks: WeakValueDictionary[str | bytes, asyncio.Lock] = WeakValueDictionary()

    def plan_of(self, key: NamespacedName) -> Plan | None:
        """The last one."""
        return self._plans.get(key)

    def is_fetching(self, artifact: Artifact) -> bool:
        """It is on its way from the source to the engine."""
        loading = self._locks.get(artifact.digest)
        return loading is not None and loading.locked()

    def forget(self, key: NamespacedName) -> None:
        self._plans.pop(key, None)

    async def plan(self, kustomization: Kustomization, artifact: Artifact) -> Plan:
        """Raises BuildFailed, or ArtifactMissing and ArtifactFailed."""
        variables = await variables_of(kustomization, self._cluster)
        request = _request(kustomization, artifact, text=variables is not None)
        any_tree = msgspec.structs.replace(request, tree="")
        common = kustomization.spec.common_metadata
        inputs = digest([msgspec.to_builtins(each) for each in (any_tree, variables, common)])
        plan = await self._standing(kustomization.key, artifact, inputs)
        if plan is None:
            built = await self._build(request, artifact)
            values = Values(variables, self._strict)
            plan = await made_of(
                built, request.tree, inputs, kustomization, values, self._digest_of
            )
        self._plans[kustomization.key] = plan
        return plan

    async def _standing(
        self, key: NamespacedName, artifact: Artifact, inputs: bytes
    ) -> Plan | None:
        """The last plan, if it would be made again."""
        last = self._plans.get(key)
        if last is None or last.inputs != inputs:
            return None
        if last.tree == artifact.digest:
            return last
        trace = await self._with_tree(
            artifact, lambda: self._engine.trace(artifact.digest, last.trace)
        )
        return replace(last, tree=artifact.digest) if trace == last.trace_digest else None

    async def _build(self, request: BuildRequest, artifact: Artifact) -> Built:
        key = digest(msgspec.to_builtins(request))
        async with self._lock(key):
            built = self._builds.get(key)
            if built is None:
                built = await self._with_tree(artifact, lambda: self._engine.build(request))
                self._builds[key] = built
                if len(self._builds) > BUILDS_KEPT:
                    self._builds.popitem(last=False)
        return built

    async def _digest_of(self, objects: Sequence[JsonObject]) -> str:
        try:
            return await self._engine.yaml_digest(objects)
        except EngineError as error:
            raise BuildFailed(str(error)) from error

    async def _with_tree(self, artifact: Artifact, ask: Callable[[], Awaitable[T]]) -> T:
        """Asks the engine once it has the artifact; once more when it lost it meanwhile."""
        try:
            await self._load(artifact)
            try:
                return await ask()
            except EngineUnavailable:
                self._trees.pop(artifact.digest, None)
                await self._load(artifact)
                return await ask()
        except EngineError as error:
            message = str(error)
            reason = "ArtifactFailed" if message.startswith(PATH_NOT_FOUND) else None
            raise BuildFailed(message, reason=reason) from error

    async def _load(self, artifact: Artifact) -> None:
        async with self._lock(artifact.digest):
            if artifact.digest in self._trees:
                self._trees.move_to_end(artifact.digest)
                return
            await self._engine.load_tree(artifact.digest, await self._artifacts.fetch(artifact))
            self._trees[artifact.digest] = None
            if len(self._trees) > TREES_KNOWN:
                self._trees.popitem(last=False)

    def _lock(self, name: str | bytes) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())


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
