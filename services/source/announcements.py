"""Tells the bus of each new artifact, once it stands in the API server and never before.

Whoever listens looks at the object: so the hint follows the status that we have written, as the
cache of the kind shows it.
"""

from collections.abc import Callable
from typing import Any

from shared.bus import Bus
from shared.cluster.watch_cache import WatchCache
from shared.messages import About, ArtifactReady
from shared.resources.meta import Artifact, Resource
from shared.subjects import ARTIFACTS

Source = Resource[Any, Any]


def announce_artifacts(
    cache: WatchCache[Any], bus: Bus, path_index: Callable[[Artifact], str]
) -> None:
    """`path_index` knows the digest of the index that was made with an artifact."""

    def changed(before: Source | None, after: Source | None) -> None:
        artifact: Artifact | None = after.status.artifact if after else None
        told: Artifact | None = before.status.artifact if before else None
        if after is None or artifact is None or _content(artifact) == _content(told):
            return
        body = ArtifactReady(
            revision=artifact.revision,
            digest=artifact.digest,
            url=artifact.url,
            size=artifact.size or 0,
            path_index=path_index(artifact),
        )
        bus.publish(ARTIFACTS, About(after.kind, *after.key), body)

    cache.on_change(changed)


def _content(artifact: Artifact | None) -> tuple[str, str] | None:
    return (artifact.revision, artifact.digest) if artifact else None
