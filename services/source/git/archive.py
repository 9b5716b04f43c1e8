"""From a commit in a mirror to an archive, straight from Git's objects: nothing is checked out.

So no attribute, filter, link or file name of the repository ever meets a file system. Regular files
go in; symbolic links and submodules stay out, as in Flux. The bytes depend on the tree alone.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, Protocol

from services.source.git.mirror import Mirror
from services.source.git.runner import GitError, GitProcess, GitRunner
from services.source.ignore import SOURCE_IGNORE, IgnoreRules
from shared.archive import ARTIFACT, ArchiveError, Entry, Limits, Packed, Packer

_REGULAR = frozenset({"100644", "100755", "100664"})
_BATCH = 1024 * 1024  # of content handed to the packing thread at a time
CONCURRENT = 4  # each may hold a file of the largest size in memory, and a processor
MAX_IGNORE_FILE = 1024 * 1024
MAX_TREE = 64 * 1024 * 1024  # of `ls-tree` text: some half a million files


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


class _File(NamedTuple):
    path: str
    mode: int
    blob: str
    size: int


@dataclass(frozen=True)
class Archived:
    packed: Packed
    subject: str  # the first line of the commit's message


class GitArchive:
    def __init__(self, git: GitRunner, limits: Limits = ARTIFACT) -> None:
        self._git = git
        self._limits = limits
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

    async def _write(
        self,
        objects: "_Objects",
        commit: str,
        spec_ignore: str | None,
        into: BinaryIO,
        files: list[_File],
    ) -> Archived:
        subject = _subject(await objects.read(commit, MAX_IGNORE_FILE))
        rules = IgnoreRules(await self._source_ignores(objects, files), spec_ignore)
        wanted = await asyncio.to_thread(_wanted, files, rules)
        _require_room(wanted, self._limits)
        packed = await _pack(objects, wanted, Packer(into, self._limits))
        return Archived(packed, subject)

    async def _all_files(self, mirror: Mirror, commit: str, beside: Beside) -> list[_File]:
        files = await self._files(mirror, commit)
        for tree in beside.trees:
            below = await self._files(mirror, tree.commit)
            files += [file._replace(path=tree.prefix + file.path) for file in below]
            if len(files) > self._limits.entries:
                raise ArchiveError(f"more than {self._limits.entries} files")
        return await asyncio.to_thread(_laid_out, files, beside) if _is_more(beside) else files

    async def _files(self, mirror: Mirror, commit: str) -> list[_File]:
        listing = ("ls-tree", "-r", "-z", "--long", "--full-tree", commit)
        async with self._git.started(*listing, terms=mirror.terms()) as process:
            text = await process.read_all(MAX_TREE)
            await process.succeeded()
        return await asyncio.to_thread(_parsed, text)

    @asynccontextmanager
    async def _objects(self, mirror: Mirror, beside: Beside) -> AsyncIterator["_Objects"]:
        async with self._git.started("cat-file", "--batch", terms=mirror.terms()) as process:
            yield _Objects(process, {extra.blob: extra for extra in beside.extras})

    async def _source_ignores(
        self, objects: "_Objects", files: Iterable[_File]
    ) -> Mapping[str, str]:
        texts = {}
        for file in files:
            folder, _, name = file.path.rpartition("/")
            if name == SOURCE_IGNORE:
                content = await objects.read(file.blob, MAX_IGNORE_FILE)
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

    async def contents(self, files: Sequence[_File]) -> list[bytes]:
        """Of files that fit into one question each, and into memory together."""
        await self.ask(file.blob for file in files if file.blob not in self._elsewhere)
        return [await self._content(file) for file in files]

    async def _content(self, file: _File) -> bytes:
        if file.blob in self._elsewhere:
            return await self._read_elsewhere(file.blob, file.size)
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


async def _pack(objects: _Objects, files: list[_File], packer: Packer) -> Packed:
    """Contents are asked for and packed a batch at a time: memory stays bounded."""
    for batch in _batches(files):
        contents = await objects.contents(batch)
        entries = [
            Entry(file.path, file.mode, content)
            for file, content in zip(batch, contents, strict=True)
        ]
        await asyncio.to_thread(_add_all, packer, entries)
    return await asyncio.to_thread(packer.finish)


def _add_all(packer: Packer, entries: Iterable[Entry]) -> None:
    for entry in entries:
        packer.add(entry)


def _batches(files: Iterable[_File]) -> Iterable[list[_File]]:
    batch: list[_File] = []
    size = 0
    for file in files:
        if batch and (size + file.size > _BATCH or len(batch) >= _QUESTIONS):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size
    if batch:
        yield batch


# Questions go out before the answers are read; more than a pipe holds would wait for each other.
_QUESTIONS = 500


def _parsed(text: bytes) -> list[_File]:
    """Git lists in the order of the encoded paths, which is the order that the archive needs."""
    files = []
    for line in text.split(b"\0"):
        attributes, tab, path = line.partition(b"\t")
        if not tab:
            continue
        mode, kind, blob, size = attributes.decode().split()
        if kind == "blob" and mode in _REGULAR:
            name = path.decode("utf-8", "surrogateescape")
            files.append(_File(name, int(mode[-3:], 8), blob, int(size)))
    return files


def _is_more(beside: Beside) -> bool:
    return bool(beside.trees or beside.wanted or beside.extras)


def _laid_out(files: Iterable[_File], beside: Beside) -> list[_File]:
    """All of them in the order that the archive needs; no file is in the way of another."""
    wanted = beside.wanted
    by_path = {file.path: file for file in files if wanted is None or wanted(file.path)}
    for extra in beside.extras:
        by_path[extra.path] = _File(extra.path, extra.mode, extra.blob, extra.size)
    for path in by_path if beside.extras else ():
        parts = path.split("/")
        above = ("/".join(parts[:depth]) for depth in range(1, len(parts)))
        if blocking := next((folder for folder in above if folder in by_path), None):
            raise ArchiveError(f"{blocking!r} is a file here and a directory there")
    return sorted(by_path.values(), key=lambda file: os.fsencode(file.path))


def _wanted(files: Iterable[_File], rules: IgnoreRules) -> list[_File]:
    return [file for file in files if not rules.exclude(file.path)]


def _require_room(files: Iterable[_File], limits: Limits) -> None:
    """Before the first byte is read: Git knows the sizes."""
    total = sum(file.size for file in files)
    if total > limits.total:
        raise ArchiveError(
            f"the files are {total} bytes, more than the {limits.total} that an artifact may have"
        )


def _subject(commit: bytes) -> str:
    message = commit.partition(b"\n\n")[2].decode(errors="replace").strip()
    return message.splitlines()[0].strip() if message else ""
