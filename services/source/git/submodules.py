"""Submodules, recursively: each at the commit that the tree above it names.

Each has a mirror of its own below its parent repository's: nobody else opens it, so runs that hold
several mirrors never wait for each other in a circle. What `.gitmodules` says is hostile; depth and
number are bounded, and so is the time of all of them together.
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import NamedTuple

from services.source.git.archive import GitArchive, Tree
from services.source.git.gitmodules import (
    GITMODULES,
    MAX_SIZE,
    Submodule,
    SubmoduleError,
    address_of,
    submodules_in,
)
from services.source.git.mirror import Mirror, Mirrors, Place
from services.source.git.reference import Target
from services.source.git.refs import RefsError
from services.source.git.remote import Remote
from services.source.git.runner import GitError, GitTooLarge
from services.source.git.sparse import SparseCheckout
from services.source.git.upstream import GitUpstreams
from shared.credentials import without_userinfo

MAX_DEPTH = 10
MAX_COUNT = 100


class _Parent(NamedTuple):
    """A commit in whose tree submodules may be."""

    mirror: Mirror
    commit: str
    remote: Remote
    prefix: str = ""
    depth: int = 0


class _Links(NamedTuple):
    """What a tree says of its submodules: their commits by path, and `.gitmodules`."""

    commits: dict[str, str]
    gitmodules: str | None
    size: int


@dataclass
class Gathering:
    """One run's, below the mirror `top`: mirrors stay open until the stack closes."""

    stack: AsyncExitStack
    top: Mirror
    sparse: SparseCheckout
    deadline: timedelta
    mirrors: dict[Place, Mirror] = field(default_factory=dict)
    trees: list[Tree] = field(default_factory=list)

    def discard(self) -> None:
        """All that was fetched."""
        for mirror in (self.top, *self.mirrors.values()):
            mirror.discard()


class Submodules:
    def __init__(self, mirrors: Mirrors, upstreams: GitUpstreams, archive: GitArchive) -> None:
        self._git = mirrors.git
        self._archive = archive
        self._mirrors = mirrors
        self._upstreams = upstreams

    async def gather(self, commit: str, remote: Remote, gathering: Gathering) -> list[Tree]:
        """Fetches them all; `top` sees their objects afterwards. Raises SubmoduleError.

        What is a tree too large to look at raises TreeTooLarge.
        """
        waiting = [_Parent(gathering.top, commit, remote)]
        while waiting:
            waiting += await self._children(waiting.pop(0), gathering)
        return gathering.trees

    async def _children(self, parent: _Parent, gathering: Gathering) -> list[_Parent]:
        links = await self._links(parent)
        wanted = {
            path: commit
            for path, commit in links.commits.items()
            if gathering.sparse.reaches(parent.prefix + path)
        }
        if not wanted:
            return []
        if parent.depth == MAX_DEPTH:
            raise SubmoduleError(f"submodules nest deeper than {MAX_DEPTH} levels")
        described = await self._described(parent, links)
        children = []
        for path, commit in wanted.items():
            if path not in described or not described[path].url:
                raise SubmoduleError(f"submodule {parent.prefix + path!r} is not in {GITMODULES}")
            children.append(await self._fetched(parent, described[path], commit, gathering))
        return children

    async def _fetched(
        self, parent: _Parent, module: Submodule, commit: str, gathering: Gathering
    ) -> _Parent:
        if len(gathering.trees) == MAX_COUNT:
            raise SubmoduleError(f"there are more than {MAX_COUNT} submodules")
        full_path = parent.prefix + module.path
        url = address_of(module, parent.remote.url)
        try:
            remote = await self._upstreams.beside(parent.remote, url, gathering.deadline)
            mirror = await self._opened(remote, commit, gathering)
            await mirror.fetch(remote, Target(commit, commit, ""))
        except GitTooLarge as error:
            raise GitTooLarge(f"submodule {full_path!r}: {error}") from error
        except (RefsError, GitError, ValueError) as error:
            raise SubmoduleError(f"submodule {full_path!r}: {error}") from error
        gathering.trees.append(Tree(commit, f"{full_path}/"))
        # Its own relative addresses start from where it is said to be, not from where it was found.
        lasting = replace(remote, url=without_userinfo(url)[0])
        return _Parent(mirror, commit, lasting, f"{full_path}/", parent.depth + 1)

    async def _opened(self, remote: Remote, commit: str, gathering: Gathering) -> Mirror:
        place = Place(
            remote.url,
            f"submodule\n{gathering.top.place.folder_name}",
            "sha256" if len(commit) == 64 else "sha1",
        )
        if place not in gathering.mirrors:
            opening = self._mirrors.opened(place, gathering.deadline)
            mirror = await gathering.stack.enter_async_context(opening)
            gathering.stack.push(mirror.discard_after)
            gathering.mirrors[place] = mirror
            gathering.top.see(mirror)
        return gathering.mirrors[place]

    async def _links(self, parent: _Parent) -> _Links:
        listing = await self._archive.listing(parent.mirror, parent.commit)
        return await asyncio.to_thread(_parsed, listing)

    async def _described(self, parent: _Parent, links: _Links) -> dict[str, Submodule]:
        if links.gitmodules is None:
            return {}
        if links.size > MAX_SIZE:
            raise SubmoduleError(f"{parent.prefix}{GITMODULES} is larger than {MAX_SIZE} bytes")
        asked = ("config", "--blob", links.gitmodules, "--null", "--no-includes", "--list")
        try:
            said = await self._git.run(*asked, terms=parent.mirror.terms())
        except GitError as error:
            raise SubmoduleError(f"{parent.prefix}{GITMODULES} cannot be read: {error}") from error
        return submodules_in(said)


def _parsed(text: bytes) -> _Links:
    commits: dict[str, str] = {}
    gitmodules, size = None, 0
    for line in text.split(b"\0"):
        attributes, _, path = line.partition(b"\t")
        name = path.decode("utf-8", "surrogateescape")
        if line.startswith(b"160000 "):
            commits[name] = attributes.split()[2].decode()
        elif name == GITMODULES and line.startswith(b"100"):
            _, _, blob, said = attributes.decode().split()
            gitmodules, size = blob, int(said)
    return _Links(commits, gitmodules, size)
