"""A bare copy of each remote repository: a new commit costs what changed, not what there is.

A mirror is a cache: when it does not work it is thrown away and made again. One is shared by all
objects with the same URL and the same Secret, and by nobody else. While any git process works in
it, also one that a crashed controller left behind, its lock is held; lock files found without that
are debris of a killed git, and removed.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from services.source.git.login import access_to
from services.source.git.reference import Target
from services.source.git.remote import Remote
from services.source.git.runner import GitError, GitRefused, GitRunner, GitTimeout, Terms
from services.source.git.ssh_address import SAFE, SshAlgorithms
from shared.clock import Now, now

log = logging.getLogger(__name__)

LOCAL_DEADLINE = timedelta(seconds=60)
FETCHES_UNTIL_GC = 100  # each leaves a handful of loose files
UNUSED_AFTER = timedelta(days=2)
CONCURRENT_FETCHES = 16  # a process each
CONCURRENT_AT_ONE_SERVER = 8  # one that hangs must not use up all of them
_LOCK = "in-use"
_FULL_HISTORY = "--depth=2147483647"  # Git's number for "all of it", also for a shallow mirror


@dataclass(frozen=True)
class Place:
    """Whose mirror: objects of other tenants, or with other credentials, have their own."""

    url: str
    scope: str  # namespace, Secrets and identity; empty for one that everybody may read
    object_format: str = "sha1"
    full_history: bool = False

    @property
    def folder_name(self) -> str:
        said = "\n".join((self.url, self.scope, self.object_format, str(self.full_history)))
        return hashlib.sha256(said.encode("utf-8", "surrogateescape")).hexdigest()[:40]


class Mirrors:
    def __init__(
        self,
        folder: Path,
        git: GitRunner,
        now: Now = now,
        ssh: SshAlgorithms = SAFE,
    ) -> None:
        self._folder = folder
        self._now = now
        self.git = git
        self.ssh = ssh
        self._slots = asyncio.Semaphore(CONCURRENT_FETCHES)
        self._slots_at: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self.fetched: dict[Place, dict[str, str]] = {}  # commits by what was asked for
        self._locks: WeakValueDictionary[Place, asyncio.Lock] = WeakValueDictionary()
        self._fetches: dict[Place, int] = {}

    @asynccontextmanager
    async def opened(self, place: Place) -> AsyncIterator["Mirror"]:
        """To itself for as long as the context lasts."""
        lock = self._locks.setdefault(place, asyncio.Lock())
        async with lock:
            path = self._folder / place.folder_name
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _locked(path) as descriptor:
                os.utime(path)
                yield Mirror(path, place, descriptor, self)
                await self._sometimes_collect(place, path, descriptor)

    @asynccontextmanager
    async def slot(self, remote: Remote) -> AsyncIterator[None]:
        server = urlsplit(remote.url).netloc
        at_server = self._slots_at.setdefault(server, asyncio.Semaphore(CONCURRENT_AT_ONE_SERVER))
        async with at_server, self._slots:
            yield

    async def sweep(self) -> None:
        """Remove what nobody opened for long: their objects are gone, or have other URLs."""
        await asyncio.to_thread(self._sweep)

    def _sweep(self) -> None:
        if not self._folder.is_dir():
            return
        too_old = (self._now() - UNUSED_AFTER).timestamp()
        for path in self._folder.iterdir():
            if path.stat().st_mtime < too_old:
                with contextlib.suppress(GitError), _locked(path):
                    shutil.rmtree(path, ignore_errors=True)

    async def _sometimes_collect(self, place: Place, path: Path, descriptor: int) -> None:
        self._fetches[place] = self._fetches.get(place, 0) + 1
        if self._fetches[place] % FETCHES_UNTIL_GC:
            return
        terms = Terms(folder=path, deadline=LOCAL_DEADLINE, holds=(descriptor,))
        try:
            await self.git.run("gc", "--quiet", "--prune=now", terms=terms)
        except GitError as error:
            log.warning("mirror not collected", extra={"url": place.url, "error": str(error)})


class Mirror:
    """Use it inside `Mirrors.opened` only."""

    def __init__(self, path: Path, place: Place, lock: int, shared: "Mirrors") -> None:
        self.path = path
        self._place = place
        self._lock = lock
        self._git = shared.git
        self._ssh = shared.ssh
        self._slot = shared.slot
        self._fetched = shared.fetched.setdefault(place, {})

    def terms(self, deadline: timedelta = LOCAL_DEADLINE) -> Terms:
        return Terms(folder=self.path, deadline=deadline, holds=(self._lock,))

    async def fetch(self, remote: Remote, target: Target, deadline: timedelta) -> str:
        """Bring the target here; the commit that its reference turned out to be."""
        name = target.fetched
        if self._fetched.get(name) == target.commit:
            return target.commit  # another object of the same repository was faster
        async with self._slot(remote):
            await self._fetch_or_heal(remote, name, deadline)
        commit = await self._commit_at(_local_name(name))
        self._fetched[name] = commit
        return commit

    async def holds(self, commit: str, name: str) -> bool:
        """Whether the commit is in the history of the reference that was fetched."""
        question = ("merge-base", "--is-ancestor", commit, _local_name(name))
        try:
            await self._git.run(*question, terms=self.terms())
        except GitError:
            return False
        return True

    def discard(self) -> None:
        """It is broken: the next fetch begins anew."""
        self._fetched.clear()
        for path in self.path.iterdir():
            if path.name != _LOCK:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    async def _fetch_or_heal(self, remote: Remote, name: str, deadline: timedelta) -> None:
        try:
            await self._prepare()
            await self._fetch(remote, name, deadline)
        except (GitTimeout, GitRefused):
            raise
        except GitError:
            if await self._is_healthy():
                raise
            log.warning("mirror made anew", extra={"url": self._place.url})
            self.discard()
            await self._prepare()
            await self._fetch(remote, name, deadline)

    async def _prepare(self) -> None:
        for debris in _debris(self.path):
            debris.unlink(missing_ok=True)
        if not (self.path / "HEAD").exists():
            form = f"--object-format={self._place.object_format}"
            await self._git.run(
                *("init", "--quiet", "--bare", "--template=", form, "."), terms=self.terms()
            )

    async def _fetch(self, remote: Remote, name: str, deadline: timedelta) -> None:
        depth = _FULL_HISTORY if self._place.full_history else "--depth=1"
        async with access_to(remote, deadline, self._ssh) as access:
            terms = Terms(
                folder=self.path,
                deadline=deadline,
                configuration=access.configuration,
                holds=(self._lock, *access.holds),
            )
            await self._git.run(
                *("fetch", "--quiet", "--no-tags", "--no-auto-maintenance", "--force", depth),
                *("--no-write-fetch-head", "--no-recurse-submodules", "--", access.url),
                f"+{name}:{_local_name(name)}",
                terms=terms,
            )

    async def _commit_at(self, name: str) -> str:
        found = await self._git.run(
            *("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"),
            terms=self.terms(),
        )
        return found.decode().strip()

    async def _is_healthy(self) -> bool:
        try:
            await self._git.run(
                *("fsck", "--connectivity-only", "--no-dangling", "--no-progress"),
                terms=self.terms(),
            )
        except GitError:
            return False
        return True


def _local_name(name: str) -> str:
    """A name of ours for what the server calls so: no name of theirs can collide with another."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
    return f"refs/penstock/{digest[:40]}"


def _debris(path: Path) -> Iterator[Path]:
    yield from path.glob("*.lock")
    yield from path.glob("refs/**/*.lock")
    yield from path.glob("objects/**/tmp_*")


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    try:
        descriptor = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise GitError(f"the mirror's folder cannot be used: {error.strerror}") from error
    try:
        _lock(descriptor)
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise GitError("a git process of an earlier run is still at work here") from error
