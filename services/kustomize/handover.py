"""An object that moves from one Kustomization to another keeps living.

Before anything is pruned, the others are asked: what one of them wants is not deleted. Those of the
same source may have their turn later than we, be it because there are hundreds of them; so for
those that have not planned the newest revision yet we make the plan, which then stands for them.

A peer that cannot be built may want anything. For its sake a prune waits, but not for ever: after
its retry interval, or five minutes, it is as if it wanted what it last had.
"""

import asyncio
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import NamedTuple

from services.kustomize.build import Planner
from services.kustomize.source import Sources, retry_of
from services.kustomize.stored import stored_inventory
from shared.cluster.inventory import Inventory
from shared.cluster.watch_cache import WatchCache
from shared.durations import InvalidDurationError
from shared.outcomes import Unfinished, Waiting
from shared.resources.kustomize import Kustomization
from shared.resources.meta import Artifact, NamespacedName

AT_A_TIME = 16
PATIENCE = 30.0
LOOK_AGAIN = timedelta(seconds=5)
HOPE_AT_MOST = timedelta(minutes=5)


class PeersPending(Waiting):
    """Ready says why objects that have left the source are still there."""

    reason = "PrunePending"


class Broken(NamedTuple):
    """A peer whose build failed, what it was asked to build, and until when it is hoped for."""

    asked: tuple[int, str]
    until: float
    why: str


class Handover:
    def __init__(
        self, kustomizations: WatchCache[Kustomization], sources: Sources, planner: Planner
    ) -> None:
        self._kustomizations = kustomizations
        self._sources = sources
        self._planner = planner
        self._planning = asyncio.Lock()
        self._broken: dict[NamespacedName, Broken] = {}

    async def wanted_by_others(self, kustomization: Kustomization, stale: Inventory) -> Inventory:
        """What of `stale` is another's now; raises PeersPending when that cannot be said yet."""
        wanted = self._wanted(kustomization, stale)
        if len(wanted) == len(stale):
            return wanted
        await self._plan_peers(kustomization)
        return self._wanted(kustomization, stale)

    def _wanted(self, kustomization: Kustomization, stale: Inventory) -> Inventory:
        others = [self._wanted_by(other) for other in self._others(kustomization)]
        return Inventory(
            (id_, version)
            for id_, version in stale.items()
            if any(id_ in inventory for inventory in others)
        )

    def _wanted_by(self, other: Kustomization) -> Inventory:
        """What it last planned; after a restart, what it is known to have."""
        plan = self._planner.plan_of(other.key)
        return plan.inventory if plan else stored_inventory(other)

    def _others(self, kustomization: Kustomization) -> Iterator[Kustomization]:
        for other in self._kustomizations.values():
            lives = other.metadata.deletion_timestamp is None
            if lives and other.key != kustomization.key and _same_target(other, kustomization):
                yield other

    async def _plan_peers(self, kustomization: Kustomization) -> None:
        """One round at a time: who comes second finds the plans of the first."""
        if next(self._late(kustomization), None) is None:
            return
        try:
            async with asyncio.timeout(PATIENCE):
                async with self._planning:
                    self._forget_those_gone()
                    await self._plan_all([*self._behind(kustomization)])
        except TimeoutError:
            behind = ", ".join(str(peer.key) for peer, _ in [*self._behind(kustomization)][:5])
            if behind:
                raise _pending(f"{behind} take long to build") from None
        self._require_hopeless(kustomization)

    def _forget_those_gone(self) -> None:
        gone = [key for key in self._broken if self._kustomizations.get(key) is None]
        for key in gone:
            del self._broken[key]

    async def _plan_all(self, behind: Iterable[tuple[Kustomization, Artifact]]) -> None:
        todo = iter(behind)

        async def work() -> None:
            for peer, artifact in todo:
                await self._plan_one(peer, artifact)

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_A_TIME):
                group.create_task(work())

    async def _plan_one(self, peer: Kustomization, artifact: Artifact) -> None:
        try:
            await self._planner.plan(peer, artifact)
            self._broken.pop(peer.key, None)
        except Unfinished as error:
            until = asyncio.get_running_loop().time() + _hope(peer).total_seconds()
            asked = (peer.metadata.generation, artifact.digest)
            self._broken[peer.key] = Broken(asked, until, str(error))

    def _require_hopeless(self, kustomization: Kustomization) -> None:
        """Raises PeersPending while a peer that cannot be built may still be repaired."""
        now = asyncio.get_running_loop().time()
        for peer, artifact in self._late(kustomization):
            broken = self._broken_of(peer, artifact)
            if broken and broken.until > now:
                raise _pending(f"Kustomization {peer.key} cannot be built: {broken.why}")

    def _behind(self, kustomization: Kustomization) -> Iterator[tuple[Kustomization, Artifact]]:
        """Peers without a plan of the newest revision that nobody has tried to plan yet."""
        for peer, artifact in self._late(kustomization):
            if self._broken_of(peer, artifact) is None:
                yield peer, artifact

    def _late(self, kustomization: Kustomization) -> Iterator[tuple[Kustomization, Artifact]]:
        for peer in self._peers(kustomization):
            artifact = self._artifact_of(peer)
            plan = self._planner.plan_of(peer.key)
            if artifact is not None and (plan is None or plan.tree != artifact.digest):
                yield peer, artifact

    def _peers(self, kustomization: Kustomization) -> Iterator[Kustomization]:
        for key in self._sources.referrers_of(kustomization):
            peer = self._kustomizations.get(key)
            if peer is None or key == kustomization.key or peer.spec.suspend:
                continue
            if peer.metadata.deletion_timestamp is None and _same_target(peer, kustomization):
                yield peer

    def _artifact_of(self, peer: Kustomization) -> Artifact | None:
        try:
            return self._sources.artifact_of(peer)
        except Unfinished:
            return None

    def _broken_of(self, peer: Kustomization, artifact: Artifact) -> Broken | None:
        broken = self._broken.get(peer.key)
        asked = (peer.metadata.generation, artifact.digest)
        return broken if broken and broken.asked == asked else None


def _same_target(one: Kustomization, other: Kustomization) -> bool:
    """An id means an object of one cluster only."""
    return _cluster_of(one) == _cluster_of(other)


def _cluster_of(kustomization: Kustomization) -> object:
    reference = kustomization.spec.kube_config
    return reference and (kustomization.metadata.namespace, reference)


def _hope(peer: Kustomization) -> timedelta:
    try:
        return min(retry_of(peer), HOPE_AT_MOST)
    except InvalidDurationError:
        return timedelta()


def _pending(why: str) -> PeersPending:
    return PeersPending(
        f"nothing is pruned yet, another Kustomization of the same source may have taken it over: "
        f"{why}",
        retry_after=LOOK_AGAIN,
    )
