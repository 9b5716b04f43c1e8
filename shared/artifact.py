"""The consumer's side of an artifact: what `status.artifact` names, verified, on the local disk.

A byte that does not match the digest never leaves this module. Each digest is downloaded once, also
when a hundred objects ask for it together, and what nobody asked for lately makes room.
"""

import asyncio
import logging
import os
import shutil
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, Self
from urllib.parse import urlsplit, urlunsplit
from weakref import WeakValueDictionary

import aiohttp

from shared.digests import Hasher, InvalidDigest, algorithm_of, hasher
from shared.line import BusError
from shared.object_store import ObjectStore
from shared.outcomes import Failed, Waiting
from shared.redaction import redact
from shared.resources.meta import Artifact

log = logging.getLogger(__name__)

MAX_PACKED = 256 * 1024 * 1024  # above what our own sources pack; a stranger's may be larger
MAX_CACHED_BYTES = 1024 * 1024 * 1024
MAX_CACHED_COUNT = 200
ATTEMPT = timedelta(seconds=60)
RETRY_DELAYS = (0.2, 1.0, 3.0)  # a restart of the file server; longer is the controller's backoff
LONGEST_DELAY = 30.0


class ArtifactMissing(Waiting):
    """The server does not have it (any more): its source is about to name another one."""

    reason = "ArtifactFailed"


class ArtifactFailed(Failed):
    reason = "ArtifactFailed"


class ArtifactCache:
    """An async context manager; the folder is its own, and empty at the start."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        folder: Path,
        *,
        objects: ObjectStore | None = None,
        max_bytes: int = MAX_CACHED_BYTES,
        max_count: int = MAX_CACHED_COUNT,
        retries: int | None = None,
    ) -> None:
        """`objects` has copies, for when the source is away."""
        self._session = session
        self._retries = retries
        self._objects = objects
        self._folder = folder
        self._max_bytes = max_bytes
        self._max_count = max_count
        self._sizes: OrderedDict[str, int] = OrderedDict()  # by digest, oldest use first
        self._downloads: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def __aenter__(self) -> Self:
        # What a former process left may be half a file, and is cheap to have again.
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(mode=0o700, parents=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    async def fetch(self, artifact: Artifact) -> Path:
        """Read it before the next await: a later artifact may push it out."""
        lock = self._downloads.setdefault(artifact.digest, asyncio.Lock())
        async with lock:
            path = self._folder / _file_name(artifact)
            if artifact.digest not in self._sizes:
                await self._fetch(artifact, path)
                self._sizes[artifact.digest] = path.stat().st_size
            self._sizes.move_to_end(artifact.digest)
            self._make_room()
            return path

    async def _fetch(self, artifact: Artifact, path: Path) -> None:
        try:
            await fetch(self._session, artifact, path, self._retries)
        except (ArtifactFailed, ArtifactMissing):
            if self._objects is None or not await _copy(self._objects, artifact, path):
                raise

    def _make_room(self) -> None:
        """The one used last always stays, however large."""
        while len(self._sizes) > 1 and (
            sum(self._sizes.values()) > self._max_bytes or len(self._sizes) > self._max_count
        ):
            digest, _ = self._sizes.popitem(last=False)
            (self._folder / digest.replace(":", "-")).unlink(missing_ok=True)


def delays(retries: int) -> Iterator[float]:
    """Short at first, for a restart of the file server; then for one that is not well."""
    for retry in range(retries):
        later = min(5.0 * 2.0 ** (retry - len(RETRY_DELAYS)), LONGEST_DELAY)
        yield RETRY_DELAYS[retry] if retry < len(RETRY_DELAYS) else later


async def fetch(
    session: aiohttp.ClientSession, artifact: Artifact, into: Path, retries: int | None = None
) -> Path:
    """Download to this file, with a few retries; the file is there whole and verified, or not."""
    _file_name(artifact)
    for delay in (*delays(len(RETRY_DELAYS) if retries is None else retries), None):
        try:
            await _download(session, artifact, into)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if delay is None or not _is_passing(error):
                problem = redact(str(error) or type(error).__name__)
                raise ArtifactFailed(f"failed to download {artifact.url}: {problem}") from error
            await asyncio.sleep(delay)
        else:
            break
    return into


def local_url(url: str, environment: Mapping[str, str] = os.environ) -> str:
    """For controllers that run outside the cluster: its host is not known by name there."""
    parts = urlsplit(url)
    watcher = (parts.hostname or "").startswith("source-watcher")
    variable = "SOURCE_WATCHER_LOCALHOST" if watcher else "SOURCE_CONTROLLER_LOCALHOST"
    host = environment.get(variable, "")
    return urlunsplit(parts._replace(netloc=host)) if host else url


def _is_passing(error: Exception) -> bool:
    """Worth another attempt: the server was away, or not well."""
    return not isinstance(error, aiohttp.ClientResponseError) or error.status >= 500


async def _download(session: aiohttp.ClientSession, artifact: Artifact, into: Path) -> None:
    # A redirect could lead a stranger's request out of the cluster, and no source sends one.
    async with session.get(
        local_url(artifact.url),
        allow_redirects=False,
        headers={"Accept-Encoding": "identity"},
        timeout=aiohttp.ClientTimeout(total=ATTEMPT.total_seconds()),
    ) as answer:
        if answer.status == 404:
            raise ArtifactMissing(f"artifact not found at {artifact.url}")
        if answer.status != 200:
            raise aiohttp.ClientResponseError(
                answer.request_info, (), status=answer.status, message=answer.reason or ""
            )
        await _save_verified(answer.content.iter_chunked(256 * 1024), artifact, into)


async def _copy(objects: ObjectStore, artifact: Artifact, into: Path) -> bool:
    """From the object store, under the same digest; whether it was there."""
    try:
        async with asyncio.timeout(ATTEMPT.total_seconds()):
            blob = await objects.find(artifact.digest)
            if blob is None:
                return False
            await _save_verified(objects.read(blob), artifact, into)
    except (BusError, ArtifactFailed, OSError, TimeoutError) as error:
        log.info("not in the object store", extra={"url": artifact.url, "error": str(error)})
        return False
    return True


async def _save_verified(content: AsyncIterator[bytes], artifact: Artifact, into: Path) -> None:
    """The file gets its name after its bytes were found to be right."""
    partial = into.with_name(f"{into.name}.partial")
    try:
        with _create(partial) as file:
            await _verify(content, artifact, file)
        partial.replace(into)
    finally:
        partial.unlink(missing_ok=True)


async def _verify(content: AsyncIterator[bytes], artifact: Artifact, file: BinaryIO) -> None:
    algorithm = _algorithm_of(artifact)
    digest, size = _hasher(algorithm), 0
    limit = MAX_PACKED if artifact.size is None else min(artifact.size, MAX_PACKED)
    async for chunk in content:
        size += len(chunk)
        if size > limit:
            raise ArtifactFailed(f"{artifact.url} is larger than {limit} bytes")
        digest.update(chunk)
        file.write(chunk)
    found = f"{algorithm}:{digest.hexdigest()}"
    if found != artifact.digest:
        raise ArtifactFailed(
            f"failed to verify {artifact.url}: digest {found} of {size} bytes is not the "
            f"{artifact.digest} that the source announces"
        )


def _create(path: Path) -> BinaryIO:
    return open(path, "wb", opener=lambda name, flags: os.open(name, flags, mode=0o600))


def _file_name(artifact: Artifact) -> str:
    """Also the check that the digest is one: raises ArtifactFailed."""
    _algorithm_of(artifact)
    return artifact.digest.replace(":", "-")


def _algorithm_of(artifact: Artifact) -> str:
    try:
        return algorithm_of(artifact.digest)
    except InvalidDigest as error:
        raise ArtifactFailed(str(error)) from error


def _hasher(algorithm: str) -> Hasher:
    try:
        return hasher(algorithm)
    except InvalidDigest as error:
        raise ArtifactFailed(str(error)) from error
