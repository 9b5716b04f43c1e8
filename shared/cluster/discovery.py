"""Which kinds the API server serves, and where.

Two requests (aggregated discovery) read everything; the answer is kept until somebody asks for a
kind that is not in it, such as one whose CRD has just been applied. A group whose server is broken
is missing from the answer and holds nobody else up.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, NamedTuple

from shared.cluster.errors import UnknownKind
from shared.cluster.objects import Gvk

ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
# A kind that was not there a moment ago is not asked for again before this many seconds.
_PATIENCE = 0.5


class ResourceType(NamedTuple):
    """A served kind: `plural` and `namespaced` make its path."""

    gvk: Gvk
    plural: str
    namespaced: bool
    verbs: frozenset[str]

    def collection(self, namespace: str = "") -> str:
        api_version = self.gvk.api_version
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        if self.namespaced and namespace:
            return f"{root}/namespaces/{namespace}/{self.plural}"
        return f"{root}/{self.plural}"

    def path(self, namespace: str, name: str) -> str:
        return f"{self.collection(namespace)}/{name}"


class Discovery:
    """Construct with the function that answers a GET with parsed JSON."""

    def __init__(self, fetch: Callable[[str], Awaitable[Any]]) -> None:
        self._fetch = fetch
        self._kinds: dict[Gvk, ResourceType] = {}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def resource_of(self, gvk: Gvk) -> ResourceType:
        """Raises UnknownKind when the API server does not serve the kind."""
        found = self._kinds.get(gvk)
        if found is None:
            await self._read_again()
            found = self._kinds.get(gvk)
        if found is None:
            raise UnknownKind(
                f"no matches for kind {gvk.kind} in {gvk.api_version}: install its "
                f"CustomResourceDefinition, or correct apiVersion and kind"
            )
        return found

    async def preferred(self, group: str, kind: str) -> ResourceType:
        """The kind in the version that the API server names first; raises UnknownKind."""
        if self.version_of(group, kind) is None:
            await self._read_again()
        found = self.version_of(group, kind)
        if found is None:
            raise UnknownKind(f"no kind {kind} in group '{group}' is served by this cluster")
        return self._kinds[found]

    async def api_versions(self) -> frozenset[str]:
        """Every served `group/version` and `group/version/Kind`, as Helm's capabilities want."""
        if not self._kinds:
            await self._read_again()
        groups = {gvk.api_version for gvk in self._kinds}
        return frozenset(groups | {f"{gvk.api_version}/{gvk.kind}" for gvk in self._kinds})

    def version_of(self, group: str, kind: str) -> Gvk | None:
        """A served version of the kind, as far as we have read."""
        return next((gvk for gvk in self._kinds if (gvk.group, gvk.kind) == (group, kind)), None)

    def forget(self) -> None:
        """What we know may be wrong: a CRD was changed or deleted."""
        self._kinds = {}
        self._read_at = float("-inf")

    async def _read_again(self) -> None:
        asked_at = asyncio.get_running_loop().time()
        async with self._reading:
            if self._read_at + _PATIENCE > asked_at:
                return
            core, groups = await asyncio.gather(self._fetch("/api"), self._fetch("/apis"))
            self._kinds = {kind.gvk: kind for kind in (*_kinds(core), *_kinds(groups))}
            self._read_at = asyncio.get_running_loop().time()


def _kinds(discovered: Any) -> Iterator[ResourceType]:
    for group in discovered.get("items", ()):
        group_name = group.get("metadata", {}).get("name", "")
        for version in group.get("versions", ()):
            api_version = f"{group_name}/{version['version']}" if group_name else version["version"]
            yield from _served(api_version, version.get("resources") or ())


def _served(api_version: str, resources: Iterable[Any]) -> Iterator[ResourceType]:
    for resource in resources:
        kind = (resource.get("responseKind") or {}).get("kind")
        if kind:
            yield ResourceType(
                gvk=Gvk(api_version, kind),
                plural=resource["resource"],
                namespaced=resource["scope"] == "Namespaced",
                verbs=frozenset(resource.get("verbs") or ()),
            )
