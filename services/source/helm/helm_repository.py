"""Keep the index of one HelmRepository: downloaded, checked, and stored for the charts to read.

The revision is the digest of the bytes that the server sent; the artifact is a normalised copy of
them. A server that answers "not modified" costs one small request.
"""

import asyncio
import hashlib
from datetime import timedelta
from typing import Any, NamedTuple

from services.source.current_artifact import (
    as_status,
    current_artifact,
    event_metadata,
    forget,
    has_recovered,
    is_settled,
)
from services.source.endings import FetchFailed, FetchStalled, outdated, stored
from services.source.helm.downloads import Download, HelmDownloads, address_of, below
from services.source.helm.index import InvalidIndex, normalised
from services.source.storage import Owner, Storage
from shared.durations import InvalidDurationError, parse_duration
from shared.outcomes import Done
from shared.resources.meta import Artifact, NamespacedName
from shared.resources.source import HelmRepository
from shared.run import Run
from shared.unserved import UnsupportedField
from shared.verdict import jittered

MAX_INDEX = 50 * 1024 * 1024  # Flux's --helm-index-max-size
DEFAULT_INTERVAL = timedelta(minutes=1)
LATEST = "index.yaml"


class _Seen(NamedTuple):
    """The index as the server last sent it."""

    url: str
    etag: str
    revision: str


class _Upstream(NamedTuple):
    revision: str
    content: bytes  # empty when it is what we have


class HelmRepositoryReconciler:
    def __init__(self, storage: Storage, downloads: HelmDownloads) -> None:
        self._storage = storage
        self._downloads = downloads
        self._seen: dict[NamespacedName, _Seen] = {}

    async def reconcile(self, repository: HelmRepository, run: Run) -> Done:
        _refuse_oci(repository)
        artifact = await current_artifact(self._storage, repository, run)
        async with run.idle():
            upstream = await self._download(repository, artifact, run)
        if artifact and artifact.revision == upstream.revision:
            return await self._unchanged(repository, artifact, run)
        await _announce(upstream.revision, run, artifact_exists=artifact is not None)
        return await self._store(repository, upstream, run)

    async def finalize(self, repository: HelmRepository, run: Run) -> None:
        self._seen.pop(repository.key, None)
        await forget(self._storage, repository, run)

    async def _download(
        self, repository: HelmRepository, artifact: Artifact | None, run: Run
    ) -> _Upstream:
        url = below(address_of(repository)[0], "index.yaml")
        seen = self._seen.get(repository.key)
        known = artifact and seen and (seen.url, seen.revision) == (url, artifact.revision)
        headers = {"If-None-Match": seen.etag} if known and seen and seen.etag else {}
        fresh = run.requested or not is_settled(repository)
        wanted = Download(url, MAX_INDEX, headers)
        answer = await self._downloads.get(repository, wanted, fresh=fresh)
        if answer.status == 304 and artifact:
            return _Upstream(artifact.revision, b"")
        digest = await asyncio.to_thread(hashlib.sha256, answer.body)
        revision = f"sha256:{digest.hexdigest()}"
        self._seen[repository.key] = _Seen(url, answer.headers.get("ETag", ""), revision)
        return _Upstream(revision, answer.body)

    async def _unchanged(self, repository: HelmRepository, artifact: Artifact, run: Run) -> Done:
        status = as_status(artifact)
        if has_recovered(repository):
            run.event("info", "Succeeded", _message(artifact.revision), event_metadata(status))
        return await self._done(repository, status)

    async def _store(self, repository: HelmRepository, upstream: _Upstream, run: Run) -> Done:
        source = address_of(repository)[0]
        try:
            content = await asyncio.to_thread(normalised, upstream.content)
        except InvalidIndex as error:
            problem = f"failed to read the index of {source}: {error}"
            raise FetchFailed(problem, reason="IndexationFailed") from error
        owner, name = Owner.of(repository), _file_name(upstream.revision)
        file = await self._storage.write_bytes(owner, name, content)
        artifact = self._storage.artifact(file, upstream.revision)
        news = f"stored fetched index of size {_human(len(upstream.content))} from '{source}'"
        run.event("info", "NewArtifact", news, event_metadata(artifact))
        return await self._done(repository, artifact)

    async def _done(self, repository: HelmRepository, artifact: dict[str, Any]) -> Done:
        message = _message(artifact["revision"])
        name = _file_name(artifact["revision"])
        link = await self._storage.point(Owner.of(repository), LATEST, name)
        return Done(
            message=message,
            status={"artifact": artifact, "url": link},
            conditions=stored("Succeeded", message),
            retry_after=_pause(repository),
        )


def _refuse_oci(repository: HelmRepository) -> None:
    if repository.spec.type == "oci":
        raise UnsupportedField(
            "spec.type: charts from OCI registries are not served by this version of Penstock; "
            "use the repository's HTTP address"
        )
    if repository.spec.url.startswith("oci://"):
        raise FetchStalled(
            "spec.url: an oci:// URL needs spec.type oci, which is not served by this version "
            "of Penstock; use the repository's HTTP address",
            reason="URLInvalid",
        )


async def _announce(revision: str, run: Run, *, artifact_exists: bool) -> None:
    news = f"new index revision '{revision}'"
    await run.progress(
        f"building artifact: {news}",
        conditions=outdated("NewRevision", news, artifact_exists=artifact_exists),
    )


def _message(revision: str) -> str:
    return f"stored artifact: revision '{revision}'"


def _file_name(revision: str) -> str:
    return f"index-{revision.partition(':')[2]}.yaml"


def _pause(repository: HelmRepository) -> timedelta | None:
    """None leaves it to the interval; a repository without one is looked at each minute."""
    try:
        given = parse_duration(repository.spec.interval or "0")
    except InvalidDurationError as error:
        raise FetchStalled(f"spec.interval: {error}", reason="InvalidSpec") from error
    return None if given else jittered(DEFAULT_INTERVAL)


def _human(size: int) -> str:
    """Four digits and a decimal unit, as in `30.88kB`."""
    value, units = float(size), ["B", "kB", "MB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.4g}{units[0]}"
