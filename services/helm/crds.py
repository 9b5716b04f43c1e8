"""Definitions from a chart's `crds/` folder: applied before the release, never deleted.

They are cluster-wide and may hold everybody's data, so they are not part of the release: `Create`
adds those that are missing, `CreateReplace` also changes those that are there. Whatever else a
chart keeps in that folder would bypass the release's records, and is left out with a warning.
"""

from collections.abc import Sequence
from datetime import timedelta

from services.helm.manifests import with_metadata
from services.helm.names import FIELD_MANAGER, origin_labels
from services.helm.waiting import until_ended
from shared.clock import Now
from shared.cluster.client import Cluster
from shared.cluster.objects import Manifest, ObjectRef, ref_of
from shared.resources.meta import NamespacedName
from shared.run import Run

ESTABLISHED_WITHIN = timedelta(seconds=60)
_KIND = "CustomResourceDefinition"


class ChartDefinitions:
    """Of one release's chart. `policy` is Skip, Create or CreateReplace."""

    def __init__(self, cluster: Cluster, owner: NamespacedName, run: Run, now: Now) -> None:
        self._cluster = cluster
        self._owner = owner
        self._run = run
        self._now = now

    async def apply(self, objects: Sequence[Manifest], policy: str) -> bool:
        """Whether anything was sent: kinds may have been added or changed."""
        if policy == "Skip":
            return False
        definitions = self._only_definitions(objects)
        if policy == "Create":
            definitions = [each for each in definitions if await self._is_missing(each)]
        refs = [await self._apply(definition) for definition in definitions]
        for ref in refs:
            await until_ended(self._cluster, ref, ESTABLISHED_WITHIN, self._now)
        return bool(refs)

    def _only_definitions(self, objects: Sequence[Manifest]) -> list[Manifest]:
        for manifest in objects:
            if manifest.get("kind") != _KIND:
                name = (manifest.get("metadata") or {}).get("name")
                self._run.event(
                    "error",
                    "CRDsIgnored",
                    f"{manifest.get('kind')}/{name} in the chart's crds/ folder is no {_KIND} and "
                    "was not applied; move it to templates/",
                )
        return [manifest for manifest in objects if manifest.get("kind") == _KIND]

    async def _is_missing(self, definition: Manifest) -> bool:
        return await self._cluster.read(ref_of(definition)) is None

    async def _apply(self, definition: Manifest) -> ObjectRef:
        labelled = with_metadata(definition, labels=origin_labels(self._owner), annotations={})
        await self._cluster.apply(labelled, manager=FIELD_MANAGER)
        return ref_of(definition)
