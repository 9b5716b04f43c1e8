"""Keep the index of one HelmRepository: downloaded, checked, and stored for the charts to read.

The revision is the digest of the bytes that the server sent; the artifact is a normalised copy of
them. A server that answers "not modified" costs one small request. One of type oci is only an
address: nothing is kept of it, see `is_static`.
"""

import asyncio
import hashlib
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from services.source.current_artifact import (
    as_status,
    current_artifact,
    event_metadata,
    forget,
    has_recovered,
    is_settled,
)
from services.source.endings import FetchFailed, outdated, stored
from services.source.helm.downloads import Download, HelmDownloads, address_of, below
from services.source.helm.index import InvalidIndex
from services.source.helm.index_process import IndexReader
from services.source.helm.limits import HelmLimits
from services.source.helm.repositories import OCI
from services.source.helm.scratch import scratch_file
from services.source.storage import Owner, Storage
from services.source.timeouts import duration_of
from shared.outcomes import Done
from shared.pace import STEADY
from shared.resources.meta import Artifact, NamespacedName
from shared.resources.source import HelmRepository
from shared.run import Run

DEFAULT_INTERVAL = timedelta(minutes=1)
LATEST = "index.yaml"


class _Seen(NamedTuple):
    """The index as the server last sent it."""

    url: str
    revision: str
    condition: Mapping[str, str]  # headers that ask for another one only


class HelmRepositoryReconciler:
    def __init__(
        self, storage: Storage, downloads: HelmDownloads, limits: HelmLimits, scratch: Path
    ) -> None:
        """`scratch`: a folder for downloads, which are gone when they are read."""
        self._storage = storage
        self._downloads = downloads
        self._limits = limits
        self._scratch = scratch
        self._reader = IndexReader()
        self._seen: dict[NamespacedName, _Seen] = {}

    async def reconcile(self, repository: HelmRepository, run: Run) -> Done:
        address_of(repository)
        artifact = await current_artifact(self._storage, repository, run)
        with scratch_file(self._scratch) as raw:
            async with run.idle():
                revision = await self._download(repository, artifact, raw, run)
            if artifact and artifact.revision == revision:
                return await self._unchanged(repository, artifact, run)
            await _announce(revision, run, artifact_exists=artifact is not None)
            return await self._store(repository, revision, raw, run)

    async def finalize(self, repository: HelmRepository, run: Run) -> None:
        self._seen.pop(repository.key, None)
        await forget(self._storage, repository, run)

    async def _download(
        self, repository: HelmRepository, artifact: Artifact | None, raw: BinaryIO, run: Run
    ) -> str:
        """The revision that the server has now; the bytes are in the file if it is another one."""
        url = below(address_of(repository)[0], "index.yaml")
        seen = self._seen.get(repository.key)
        known = artifact and seen and (seen.url, seen.revision) == (url, artifact.revision)
        condition = seen.condition if known and seen else {}
        fresh = run.requested or not is_settled(repository)
        wanted = Download(url, self._limits.index, condition, raw)
        answer = await self._downloads.get(repository, wanted, fresh=fresh)
        if answer.status == 304 and artifact:
            return artifact.revision
        revision = await asyncio.to_thread(_digest, raw)
        self._seen[repository.key] = _Seen(url, revision, _unless_as(answer.headers))
        return revision

    async def _unchanged(self, repository: HelmRepository, artifact: Artifact, run: Run) -> Done:
        status = as_status(artifact)
        if has_recovered(repository):
            run.event("info", "Succeeded", _message(artifact.revision), event_metadata(status))
        return await self._done(repository, status)

    async def _store(
        self, repository: HelmRepository, revision: str, raw: BinaryIO, run: Run
    ) -> Done:
        source = address_of(repository)[0]
        size = raw.seek(0, os.SEEK_END)
        raw.seek(0)
        with scratch_file(self._scratch) as index:
            try:
                async with run.idle():
                    await self._reader.normalise(raw, index)
            except InvalidIndex as error:
                problem = f"failed to read the index of {source}: {error}"
                raise FetchFailed(problem, reason="IndexationFailed") from error
            owner, name = Owner.of(repository), _file_name(revision)
            file = await self._storage.write_file(owner, name, index)
        artifact = self._storage.artifact(file, revision)
        news = f"stored fetched index of size {_human(size)} from '{source}'"
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


def is_static(repository: HelmRepository) -> bool:
    """A registry has no index: its charts ask it themselves, and there is nothing to keep."""
    return repository.spec.type == OCI


def _digest(raw: BinaryIO) -> str:
    raw.flush()
    raw.seek(0)
    return f"sha256:{hashlib.file_digest(cast('Any', raw), 'sha256').hexdigest()}"


def _unless_as(headers: Mapping[str, str]) -> dict[str, str]:
    """The server's own marks of what it sent, as conditions of the next request."""
    marks = {"If-None-Match": "ETag", "If-Modified-Since": "Last-Modified"}
    return {ask: headers[mark] for ask, mark in marks.items() if headers.get(mark)}


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
    given = duration_of("interval", repository.spec.interval or "0")
    return None if given else STEADY.jittered(DEFAULT_INTERVAL)


def _human(size: int) -> str:
    """Four digits and a decimal unit, as in `30.88kB`."""
    value, units = float(size), ["B", "kB", "MB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.4g}{units[0]}"
