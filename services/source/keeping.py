"""The controllers of the source kinds, and what looks after the files that they leave."""

import asyncio
from datetime import timedelta
from typing import Any, NamedTuple

from services.source.bucket.wiring import bucket_controller
from services.source.generator.wiring import generator_controller
from services.source.git.mirror import Mirrors
from services.source.git.wiring import git_controller, mirrors_of
from services.source.helm.wiring import helm_controllers
from services.source.means import Caches, Doors, Means
from services.source.oci.wiring import oci_controller
from services.source.patrol import Patrol
from services.source.storage import Owner
from shared.controller import Controller
from shared.resources.meta import NamespacedName
from shared.resources.source import (
    ArtifactGenerator,
    Bucket,
    ExternalArtifact,
    GitRepository,
    OCIRepository,
)

SWEEP = timedelta(hours=1)


class Keeping(NamedTuple):
    """Controllers by kind."""

    controllers: dict[str, Controller[Any]]
    mirrors: Mirrors
    patrol: Patrol

    async def run(self) -> None:
        """For ever; cancel to stop."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.patrol.run())
            for controller in self.controllers.values():
                group.create_task(controller.run())
            while True:
                await self.mirrors.sweep()
                await asyncio.sleep(SWEEP.total_seconds())


def controllers_of(means: Means, caches: Caches) -> Keeping:
    doors, mirrors = Doors.of(means), mirrors_of(means)
    controllers = {
        GitRepository.kind: git_controller(means, caches, doors, mirrors),
        **helm_controllers(means, caches, doors),
        OCIRepository.kind: oci_controller(means, caches, doors),
        Bucket.kind: bucket_controller(means, caches, doors),
        ArtifactGenerator.kind: generator_controller(means, caches),
    }
    return Keeping(controllers, mirrors, _patrol(means, caches, controllers))


def _patrol(means: Means, caches: Caches, controllers: dict[str, Controller[Any]]) -> Patrol:
    by_folder = {kind.lower(): controller for kind, controller in controllers.items()}
    made = ExternalArtifact.kind.lower()

    def damaged(owner: Owner) -> None:
        kind, key = owner.kind, NamespacedName(owner.namespace, owner.name)
        if kind == made:
            kind, key = ArtifactGenerator.kind.lower(), _maker(caches.external.get(key), key)
        if controller := by_folder.get(kind):
            controller.look_at(key)

    means.storage.damaged = damaged
    return Patrol(means.storage, caches.of_artifacts(), (*by_folder, made))


def _maker(made: ExternalArtifact | None, key: NamespacedName) -> NamespacedName:
    """Of files in our storage: the generator that the object names, which is in its namespace."""
    maker = made.spec.source_ref if made else None
    return NamespacedName(key.namespace, maker.name if maker else key.name)
