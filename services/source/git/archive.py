"""From a commit in a mirror to an archive, straight from Git's objects: nothing is checked out.

So no attribute, filter, link or file name of the repository ever meets a file system. Regular files
go in; symbolic links and submodules stay out, as in Flux. The bytes depend on what is in it alone,
and only what the earlier artifact does not hold is read (see shards.py).
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, Protocol

from services.source.git.mirror import Mirror
from services.source.git.runner import GitError, GitProcess, GitRunner, GitTooLong
from services.source.git.shards import PackedFile, pack_shards
from services.source.ignore import SOURCE_IGNORE, IgnoreRules
from shared.archive import ARTIFACT, ArchiveError, Limits, Packed
from shared.artifact_file import growing

_REGULAR = frozenset({"100644", "100755", "100664"})
_FORMATS = {40: "sha1", 64: "sha256"}  # of Git's object ids, by their length
# Questions go out before the answers are read; more than a pipe holds would wait for each other.
_QUESTIONS = 500
CONCURRENT = 4  # each may hold a file of the largest size in memory, and a processor
MAX_IGNORE_FILE = 1024 * 1024
MAX_TREE = 64 * 1024 * 1024  # of `ls-tree` text: some half a million files


class TreeTooLarge(ArchiveError):
    """There is too much even to look at, whatever is wanted of it."""


class Extra(Protocol):
    """A file that comes from elsewhere than Git; `blob` is the id that it would have there."""

    @property
    def path(self) -> str: ...

    @property
    def mode(self) -> int: ...

    @property
    def blob(self) -> str: ...

    @property
    def size(self) -> int: ...

    def read(self) -> bytes: ...


class Tree(NamedTuple):
    """A commit, also of another repository whose objects the mirror sees, and where it goes."""

    commit: str
    prefix: str = ""  # with its slash at the end


@dataclass(frozen=True)
class Beside:
    """What an archive holds beside the commit's own files; with `wanted`, what it has of both.

    An extra takes the place of a file of the same name.
    """

    trees: Sequence[Tree] = ()
    wanted: Callable[[str], bool] | None = None
    extras: Sequence[Extra] = ()


@dataclass(frozen=True)
class Archived:
    packed: Packed
    subject: str  # the first line of the commit's message


class GitArchive:
    def __init__(
        self, git: GitRunner, limits: Limits = ARTIFACT, largest_tree: int = MAX_TREE
    ) -> None:
        self._git = git
        self._limits = limits
        self._largest_tree = largest_tree
        self._slots = asyncio.Semaphore(CONCURRENT)

    async def write(
        self,
        mirror: Mirror,
        commit: str,
        spec_ignore: str | None,
        into: BinaryIO,
        beside: Beside = Beside(),
    ) -> Archived:
        """Raises ArchiveError when there is too much, GitError when the mirror is broken."""
        async with self._slots:
            files = await self._all_files(mirror, commit, beside)
            async with self._objects(mirror, beside) as objects:
                return await self._write(objects, commit, spec_ignore, into, files)

    async def listing(self, mirror: Mirror, commit: str) -> bytes:
        """All that the commit's tree holds, as `ls-tree` tells it; raises TreeTooLarge."""
        question = ("ls-tree", "-r", "-z", "--long", "--full-tree", commit)
        async with self._git.started(*question, terms=mirror.terms()) as process:
            try:
                text = await process.read_all(self._largest_tree)
            except GitTooLong as error:
                problem = f"the list of its files is longer than {self._largest_tree} bytes"
                raise TreeTooLarge(problem) from error
            await process.succeeded()
        return text

    async def _write(
        self,
        objects: "_Objects",
        commit: str,
        spec_ignore: str | None,
        into: BinaryIO,
        files: list[PackedFile],
    ) -> Archived:
        subject = _subject(await objects.read(commit, MAX_IGNORE_FILE))
        rules = IgnoreRules(await self._source_ignores(objects, files), spec_ignore)
        wanted = await asyncio.to_thread(_wanted, files, rules)
        _require_room(wanted, self._limits)
        packed = await self._pack(objects, wanted, into)
        return Archived(packed, subject)

    async def _pack(
        self, objects: "_Objects", files: Sequence[PackedFile], into: BinaryIO
    ) -> Packed:
        artifact = growing(into)
        await pack_shards(files, artifact, objects.contents, self._limits)
        for file in files:
            artifact.note(file.path, f"{_FORMATS[len(file.content_id)]}:{file.content_id}")
        return Packed(artifact.size, artifact.digest)

    async def _all_files(self, mirror: Mirror, commit: str, beside: Beside) -> list[PackedFile]:
        files = await self._files(mirror, commit)
        for tree in beside.trees:
            below = await self._files(mirror, tree.commit)
            files += [file._replace(path=tree.prefix + file.path) for file in below]
            if len(files) > self._limits.entries:
                raise ArchiveError(f"more than {self._limits.entries} files")
        return await asyncio.to_thread(_laid_out, files, beside) if _is_more(beside) else files

    async def _files(self, mirror: Mirror, commit: str) -> list[PackedFile]:
        return await asyncio.to_thread(_parsed, await self.listing(mirror, commit))

    @asynccontextmanager
    async def _objects(self, mirror: Mirror, beside: Beside) -> AsyncIterator["_Objects"]:
        async with self._git.started("cat-file", "--batch", terms=mirror.terms()) as process:
            yield _Objects(process, {extra.blob: extra for extra in beside.extras})

    async def _source_ignores(
        self, objects: "_Objects", files: Iterable[PackedFile]
    ) -> Mapping[str, str]:
        texts = {}
        for file in files:
            folder, _, name = file.path.rpartition("/")
            if name == SOURCE_IGNORE:
                content = await objects.read(file.content_id, MAX_IGNORE_FILE)
                texts[folder] = content.decode(errors="replace")
        return texts


class _Objects:
    """Talks with `git cat-file --batch`; knows what is elsewhere."""

    def __init__(self, process: GitProcess, elsewhere: Mapping[str, Extra]) -> None:
        self._process = process
        self._elsewhere = elsewhere

    async def read(self, object_id: str, limit: int) -> bytes:
        if object_id in self._elsewhere:
            return await self._read_elsewhere(object_id, limit)
        await self.ask([object_id])
        return await self.answer(limit)

    async def contents(self, files: Sequence[PackedFile]) -> list[bytes]:
        """Of files that fit into memory together."""
        found = []
        for start in range(0, len(files), _QUESTIONS):
            some = files[start : start + _QUESTIONS]
            await self.ask(file.content_id for file in some if not self._has(file))
            found += [await self._content(file) for file in some]
        return found

    def _has(self, file: PackedFile) -> bool:
        return file.content_id in self._elsewhere

    async def _content(self, file: PackedFile) -> bytes:
        if self._has(file):
            return await self._read_elsewhere(file.content_id, file.size)
        return await self.answer(file.size)

    async def _read_elsewhere(self, object_id: str, limit: int) -> bytes:
        extra = self._elsewhere[object_id]
        if extra.size > limit:
            raise ArchiveError(f"{extra.path!r} is larger than {limit} bytes")
        return await asyncio.to_thread(extra.read)

    async def ask(self, object_ids: Iterable[str]) -> None:
        await self._process.write("".join(f"{each}\n" for each in object_ids).encode())

    async def answer(self, limit: int) -> bytes:
        try:
            header = (await self._process.output.readline()).decode(errors="replace").split()
            if len(header) != 3 or not header[2].isdigit():
                raise GitError(f"git cat-file: {' '.join(header) or 'no answer'}")
            size = int(header[2])
            if size > limit:
                raise ArchiveError(f"object {header[0]} is larger than {limit} bytes")
            content = await self._process.output.readexactly(size + 1)
        except (asyncio.IncompleteReadError, ValueError) as error:
            raise GitError("git cat-file stopped in the middle of an object") from error
        return content[:-1]


def _parsed(text: bytes) -> list[PackedFile]:
    """Git lists in the order of the encoded paths, which is the order that the archive needs."""
    files = []
    for line in text.split(b"\0"):
        attributes, tab, path = line.partition(b"\t")
        if not tab:
            continue
        mode, kind, blob, size = attributes.decode().split()
        if kind == "blob" and mode in _REGULAR:
            name = path.decode("utf-8", "surrogateescape")
            files.append(PackedFile(name, int(mode[-3:], 8), blob, int(size)))
    return files


def _is_more(beside: Beside) -> bool:
    return bool(beside.trees or beside.wanted or beside.extras)


def _laid_out(files: Iterable[PackedFile], beside: Beside) -> list[PackedFile]:
    """All of them in the order that the archive needs; no file is in the way of another."""
    wanted = beside.wanted
    by_path = {file.path: file for file in files if wanted is None or wanted(file.path)}
    for extra in beside.extras:
        by_path[extra.path] = PackedFile(extra.path, extra.mode, extra.blob, extra.size)
    for path in by_path if beside.extras else ():
        parts = path.split("/")
        above = ("/".join(parts[:depth]) for depth in range(1, len(parts)))
        if blocking := next((folder for folder in above if folder in by_path), None):
            raise ArchiveError(f"{blocking!r} is a file here and a directory there")
    return sorted(by_path.values(), key=lambda file: os.fsencode(file.path))


def _wanted(files: Iterable[PackedFile], rules: IgnoreRules) -> list[PackedFile]:
    return [file for file in files if not rules.exclude(file.path)]


def _require_room(files: Iterable[PackedFile], limits: Limits) -> None:
    """Before the first byte is read: Git knows the sizes."""
    total = sum(file.size for file in files)
    if total > limits.total:
        raise ArchiveError(
            f"the files are {total} bytes, more than the {limits.total} that an artifact may have"
        )


def _subject(commit: bytes) -> str:
    message = commit.partition(b"\n\n")[2].decode(errors="replace").strip()
    return message.splitlines()[0].strip() if message else ""
