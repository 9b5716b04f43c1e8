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
import re
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple
from weakref import WeakValueDictionary

from services.source.git.fetch_turns import FetchTurns
from services.source.git.login import access_to
from services.source.git.reference import Target
from services.source.git.remote import Remote
from services.source.git.remotes import scope_of
from services.source.git.runner import (
    MIB,
    GitError,
    GitRefused,
    GitRunner,
    GitTimeout,
    GitTooLarge,
    Terms,
)
from services.source.git.ssh_address import SAFE, SshAlgorithms
from services.source.turns import NoTurn, Turn, Turns
from shared.clock import Now, now
from shared.resources.source import GitRepository
from shared.web.reach import USUAL, Reach

log = logging.getLogger(__name__)

LOCAL_DEADLINE = timedelta(seconds=60)
FETCHES_UNTIL_GC = 100  # each leaves a handful of loose files
UNUSED_AFTER = timedelta(days=2)
_LOCK = "in-use"
_FULL_HISTORY = "--depth=2147483647"  # Git's number for "all of it", also for a shallow mirror
_OBJECT_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_GIVES_NO_IDS = re.compile(r"unadvertised object|not our ref")
_FINAL = (GitTimeout, GitRefused, GitTooLarge)  # no other way of asking helps
_EVERYTHING = ("+refs/heads/*:refs/penstock/heads/*", "+refs/tags/*:refs/penstock/tags/*")


@dataclass(frozen=True)
class Place:
    """Whose mirror: objects of other tenants, or with other credentials, have their own."""

    url: str
    scope: str  # namespace, Secrets and identity; empty for one that everybody may read
    object_format: str = "sha1"
    full_history: bool = False

    @classmethod
    def of(cls, repository: GitRepository, target: Target) -> "Place":
        return cls(
            repository.spec.url,
            scope_of(repository),
            "sha256" if len(target.commit) == 64 else "sha1",
            full_history=target.branch is not None,
        )

    @property
    def folder_name(self) -> str:
        said = "\n".join((self.url, self.scope, self.object_format, str(self.full_history)))
        return hashlib.sha256(said.encode("utf-8", "surrogateescape")).hexdigest()[:40]


class GitObject(NamedTuple):
    id: str
    kind: str
    content: bytes


class Mirrors:
    def __init__(
        self,
        folder: Path,
        git: GitRunner,
        now: Now = now,
        ssh: SshAlgorithms = SAFE,
        reach: Reach = USUAL,
    ) -> None:
        self._folder = folder
        self._now = now
        self.git = git
        self.ssh = ssh
        self.reach = reach
        self.turns = FetchTurns()
        self.fetched: dict[Place, dict[str, str]] = {}  # ids by what was asked for
        self._users: WeakValueDictionary[Place, Turns] = WeakValueDictionary()
        self._fetches: dict[Place, int] = {}

    @asynccontextmanager
    async def opened(self, place: Place, deadline: timedelta) -> AsyncIterator["Mirror"]:
        """To itself for as long as the context lasts; the deadline is for waiting and fetching."""
        async with self._turn(place, deadline) as turn:
            path = self._folder / place.folder_name
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _locked(path) as descriptor:
                os.utime(path)
                yield Mirror(path, place, Holding(descriptor, turn), self)
                await self._sometimes_collect(place, path, descriptor)

    @asynccontextmanager
    async def _turn(self, place: Place, deadline: timedelta) -> AsyncIterator[Turn]:
        users = self._users.setdefault(place, Turns(1, "another fetch from it"))
        async with AsyncExitStack() as stack:
            try:
                turn = await stack.enter_async_context(users.turn(deadline))
            except NoTurn as error:
                raise GitTimeout(f"had to wait: {error}") from error
            yield turn

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


class Holding(NamedTuple):
    """By which a mirror is somebody's: the lock on its folder, and how long fetching may take."""

    lock: int
    turn: Turn


class Mirror:
    """Use it inside `Mirrors.opened` only."""

    def __init__(self, path: Path, place: Place, holding: Holding, shared: "Mirrors") -> None:
        self.path = path
        self.place = place
        self._lock, self._turn = holding
        self._git = shared.git
        self._ssh = shared.ssh
        self._reach = shared.reach
        self._turns = shared.turns
        self._fetched = shared.fetched.setdefault(place, {})
        self._seen: tuple[Path, ...] = ()

    def terms(self, deadline: timedelta = LOCAL_DEADLINE) -> Terms:
        return Terms(
            folder=self.path, deadline=deadline, holds=(self._lock,), alternates=self._seen
        )

    def see(self, other: "Mirror") -> None:
        """From now on this mirror's commands find the other's objects, too; keep both open."""
        self._seen = (*self._seen, other.path)

    async def fetch(self, remote: Remote, target: Target) -> str:
        """Bring the target here; the commit that its reference turned out to be."""
        name, wanted = target.fetched, target.object_id or target.commit
        if self._fetched.get(name) == wanted and (self.path / "HEAD").exists():
            return target.commit  # another object of the same repository was faster
        async with self._turns.turn(remote.url, self._turn.left) as turn:
            try:
                await self._fetch_or_heal(remote, name, turn)
            except BaseException:
                self._clear()  # half a pack may be large, and nobody may ask again
                raise
        commit = await self._commit_at(name)
        self._fetched[name] = wanted if commit == target.commit else commit
        return commit

    async def object_at(self, name: str) -> GitObject:
        """What the fetched reference (or the id) leads to directly: a commit, or a tag of one."""
        object_id = await self._id_of(_here(name))
        said = await self._git.run("cat-file", "-t", object_id, terms=self.terms())
        kind = said.decode().strip()
        content = await self._git.run("cat-file", kind, object_id, terms=self.terms())
        whole = f"{kind} {len(content)}\0".encode() + content
        digest = hashlib.new(self.place.object_format, whole, usedforsecurity=False)
        if digest.hexdigest() != object_id:  # git itself does not look when it reads
            raise GitError(f"object {object_id} in the mirror is damaged")
        return GitObject(object_id, kind, content)

    async def directories(self, commit: str, asked: Sequence[str]) -> list[str]:
        """Those of these paths that are directories, or submodules, in the commit's tree."""
        question = ("ls-tree", "-d", "-z", "--full-tree", "--name-only", commit, "--")
        clean = [path for path in asked if ".." not in path.split("/")]
        if not clean:
            return []
        found = (await self._git.run(*question, *clean, terms=self.terms())).split(b"\0")
        return [path for path in clean if os.fsencode(path) in found]

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
                _remove(path)

    def discard_after(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> bool:
        """For an exit stack: a mirror that cannot give what was fetched is broken."""
        if isinstance(error, GitError):
            self.discard()
        return False

    async def _fetch_or_heal(self, remote: Remote, name: str, turn: Turn) -> None:
        is_new = False
        try:
            is_new = await self._prepare()
            await self._fetch(remote, name, turn)
        except _FINAL:
            raise
        except GitError:
            if is_new or await self._is_healthy():
                raise
            log.warning("mirror made anew", extra={"url": self.place.url})
            self.discard()
            await self._prepare()
            await self._fetch(remote, name, turn)

    async def _prepare(self) -> bool:
        """Whether there was nothing here."""
        self._clear()
        if (self.path / "HEAD").exists():
            return False
        form = f"--object-format={self.place.object_format}"
        await self._git.run(
            *("init", "--quiet", "--bare", "--template=", form, "."), terms=self.terms()
        )
        return True

    def _clear(self) -> None:
        for debris in list(_debris(self.path)):
            _remove(debris)

    async def _fetch(self, remote: Remote, name: str, turn: Turn) -> None:
        depth = _FULL_HISTORY if self.place.full_history else "--depth=1"
        try:
            await self._fetch_refs(remote, depth, [f"+{name}:{_local_name(name)}"], turn.left)
        except _FINAL:
            raise
        except GitError as error:
            if not (_OBJECT_ID.fullmatch(name) and _GIVES_NO_IDS.search(str(error))):
                raise
            # It may still be in the history of one of the server's references.
            await self._fetch_refs(remote, _FULL_HISTORY, _EVERYTHING, turn.left)

    async def _fetch_refs(
        self, remote: Remote, depth: str, refspecs: Sequence[str], deadline: timedelta
    ) -> None:
        async with access_to(remote, deadline, self._ssh, self._reach) as access:
            terms = Terms(
                folder=self.path,
                deadline=deadline,
                rest_of=self._turn.time,
                configuration=access.configuration,
                holds=(self._lock, *access.holds),
            )
            fetching = self._git.run(
                *("fetch", "--quiet", "--no-tags", "--no-auto-maintenance", "--force", depth),
                *("--no-write-fetch-head", "--no-recurse-submodules", "--", access.url),
                *refspecs,
                terms=terms,
            )
            try:
                await fetching
            except GitError as error:
                self._require_room(error)
                raise

    def _require_room(self, error: GitError) -> None:
        """The kernel ends who writes more; git does not tell of that."""
        most = self._git.bounds.file
        if any(half.is_file() and half.stat().st_size >= most for half in _debris(self.path)):
            raise GitTooLarge(f"it has more than {most // MIB} MiB to fetch at once") from error

    async def _commit_at(self, name: str) -> str:
        try:
            return await self._id_of(f"{_here(name)}^{{commit}}")
        except GitError as error:
            raise GitError(f"{name} is no commit, or is not in the repository") from error

    async def _id_of(self, name: str) -> str:
        question = ("rev-parse", "--verify", "--quiet", "--end-of-options", name)
        return (await self._git.run(*question, terms=self.terms())).decode().strip()

    async def _is_healthy(self) -> bool:
        try:
            await self._git.run(
                *("fsck", "--connectivity-only", "--no-dangling", "--no-progress"),
                terms=self.terms(),
            )
        except GitError:
            return False
        return True


def _here(name: str) -> str:
    """How we call what was asked of the server: an id is the same everywhere."""
    return name if _OBJECT_ID.fullmatch(name) else _local_name(name)


def _local_name(name: str) -> str:
    """A name of ours for what the server calls so: no name of theirs can collide with another."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
    return f"refs/penstock/{digest[:40]}"


def _debris(path: Path) -> Iterator[Path]:
    """What a git leaves behind that was killed while it made a mirror, fetched, or collected."""
    for pattern in ("*.lock", "refs/**/*.lock", "objects/**/*.lock", "gc.pid", "packed-refs.new"):
        yield from path.glob(pattern)
    for pattern in ("objects/**/tmp_*", "objects/pack/.tmp-*", "objects/pack/*.keep"):
        yield from path.glob(pattern)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


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
