"""What a chart may ask about its cluster: `.Capabilities` of Helm's templates."""

import asyncio

from shared.cluster.client import Cluster
from shared.engine_messages import Capabilities

# Charts ask whether a CRD is there; one that somebody installed must be seen soon, not at once.
KEPT_SECONDS = 30.0


class KnownCapabilities:
    """Of one cluster, kept for a while: three requests each time they are read."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: Capabilities | None = None
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def read(self) -> Capabilities:
        async with self._reading:
            now = asyncio.get_running_loop().time()
            if self._known is None or self._read_at + KEPT_SECONDS < now:
                self._cluster.discovery.forget()
                version = await self._cluster.version()
                versions = await self._cluster.discovery.api_versions()
                self._known = Capabilities(
                    kube_version=version["gitVersion"], api_versions=tuple(sorted(versions))
                )
                self._read_at = now
            return self._known

    def forget(self) -> None:
        """Something that defines kinds was changed by us."""
        self._known = None
