"""The trees that the engine has in memory, and what is different from one revision to the next."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar
from weakref import WeakValueDictionary

from shared.engine_messages import BuildRequest, Built, EngineUnavailable, JsonObject
from shared.resources.meta import Artifact

TREES_KNOWN = 100
CHANGES_KEPT = 8  # pairs of revisions; those who follow one source ask together

T = TypeVar("T")


class Engine(Protocol):
    """The part of `shared.engine.Engine` that is needed here."""

    async def load_tree(self, digest: str, archive: Path) -> Any: ...

    async def build(self, request: BuildRequest) -> Built: ...

    async def trace(self, tree: str, paths: Sequence[str]) -> str: ...

    async def changes(self, before: str, after: str) -> frozenset[str]: ...

    async def yaml_digest(self, objects: Sequence[JsonObject]) -> str: ...


class Artifacts(Protocol):
    """The part of `shared.artifact.ArtifactCache` that is needed here."""

    async def fetch(self, artifact: Artifact) -> Path: ...


class Trees:
    """Every method raises EngineError, ArtifactMissing and ArtifactFailed."""

    def __init__(self, engine: Engine, artifacts: Artifacts) -> None:
        self._engine = engine
        self._artifacts = artifacts
        self._known: OrderedDict[str, None] = OrderedDict()
        self._changes: OrderedDict[tuple[str, str], frozenset[str] | None] = OrderedDict()
        self._locks: WeakValueDictionary[object, asyncio.Lock] = WeakValueDictionary()

    def is_loading(self, artifact: Artifact) -> bool:
        loading = self._locks.get(artifact.digest)
        return loading is not None and loading.locked()

    async def with_tree(self, artifact: Artifact, ask: Callable[[], Awaitable[T]]) -> T:
        """Asks the engine once it has the artifact; once more when it lost it meanwhile."""
        await self._load(artifact)
        try:
            return await ask()
        except EngineUnavailable:
            self._known.pop(artifact.digest, None)
            await self._load(artifact)
            return await ask()

    async def changes(self, before: str, artifact: Artifact) -> frozenset[str] | None:
        """Questions of traces that the two answer differently, asked once for all who want to know.

        None when the tree from before is gone.
        """
        pair = before, artifact.digest
        async with self._lock(pair):
            if pair not in self._changes:
                self._changes[pair] = await self._compared(before, artifact)
                if len(self._changes) > CHANGES_KEPT:
                    self._changes.popitem(last=False)
            return self._changes[pair]

    async def _compared(self, before: str, artifact: Artifact) -> frozenset[str] | None:
        try:
            return await self.with_tree(
                artifact, lambda: self._engine.changes(before, artifact.digest)
            )
        except EngineUnavailable:
            return None

    async def _load(self, artifact: Artifact) -> None:
        async with self._lock(artifact.digest):
            if artifact.digest in self._known:
                self._known.move_to_end(artifact.digest)
                return
            await self._engine.load_tree(artifact.digest, await self._artifacts.fetch(artifact))
            self._known[artifact.digest] = None
            if len(self._known) > TREES_KNOWN:
                self._known.popitem(last=False)

    def _lock(self, name: object) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())
