"""A tar.gz of which only what changed is packed anew.

The files are divided into shards, each shard becomes one gzip member, and a member that the earlier
artifact of the same source holds already is copied from there. Where a shard ends depends on paths
and sizes alone, and near the change alone: so the same files give the same bytes, whatever there
was to copy from, and one changed file costs one shard.
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, NamedTuple

from shared import gzip_members, tar_blocks
from shared.archive import Limits, TarWriter
from shared.artifact_file import Growing
from shared.gzip_members import Place

# Content and files of a shard, on average. Smaller ones pack worse, larger ones cost a change more.
USUAL_SIZE, USUAL_FILES = 256 * 1024, 256
LARGEST, MOST_FILES = 4 * USUAL_SIZE, 4 * USUAL_FILES  # a larger file has its own shard


class PackedFile(NamedTuple):
    """One file to pack; the same `content_id` is the same content."""

    path: str
    mode: int
    content_id: str
    size: int


Read = Callable[[Sequence[PackedFile]], Awaitable[list[bytes]]]


class _Shard(NamedTuple):
    files: list[PackedFile]
    folders: tuple[bytes, ...]  # that were open where it begins
    key: bytes


async def pack_shards(
    files: Sequence[PackedFile],
    into: Growing,
    read: Read,
    limits: Limits,
) -> None:
    """`read` answers the contents of a few files. They come in ascending order of their path."""
    shards = await asyncio.to_thread(_planned, files, limits)
    with _opened(into.earlier) as source:
        packing = _Packing(source, into, limits)
        await asyncio.to_thread(packing.look)
        left = iter(shards)
        while (missing := await asyncio.to_thread(packing.copy, left)) is not None:
            await asyncio.to_thread(packing.pack, missing, await read(missing.files))
        await asyncio.to_thread(packing.end)


def shards_of(files: Iterable[PackedFile]) -> Iterator[list[PackedFile]]:
    shard: list[PackedFile] = []
    size = 0
    for file in files:
        if shard and (size + file.size > LARGEST or len(shard) >= MOST_FILES):
            yield shard
            shard, size = [], 0
        shard.append(file)
        size += file.size
        if _ends(file):
            yield shard
            shard, size = [], 0
    if shard:
        yield shard


def _ends(file: PackedFile) -> bool:
    """Decided by the file alone, so that two similar lists soon have their ends in common again."""
    drawn = int.from_bytes(blake2b(os.fsencode(file.path), digest_size=4).digest()) / 2**32
    return drawn < max(file.size / USUAL_SIZE, 1 / USUAL_FILES)


def _planned(files: Sequence[PackedFile], limits: Limits) -> list[_Shard]:
    """Every path and size is checked here, also of what will be copied."""
    walked = TarWriter(limits)
    planned = []
    for shard in shards_of(files):
        folders = walked.folders
        for file in shard:
            walked.enter(os.fsencode(file.path), file.size)
        planned.append(_Shard(shard, folders, _key(shard, folders)))
    return planned


def _key(files: Sequence[PackedFile], folders: tuple[bytes, ...]) -> bytes:
    told = [
        f"{bool(file.mode & 0o111)} {file.size} {file.content_id} {file.path}" for file in files
    ]
    return gzip_members.key_of((*folders, b"", *map(os.fsencode, told)))


class _Packing:
    """Into one file; the methods block."""

    def __init__(self, earlier: BinaryIO | None, into: Growing, limits: Limits) -> None:
        self._earlier = earlier
        self._into = into
        self._limits = limits
        self._known: dict[bytes, Place] = {}

    def look(self) -> None:
        """What the earlier artifact has to offer; one that cannot be read has nothing."""
        with contextlib.suppress(OSError):
            self._known = gzip_members.members_in(self._earlier) if self._earlier else {}

    def copy(self, shards: Iterator[_Shard]) -> _Shard | None:
        """As many as are there, up to the first that has to be packed, which is the answer."""
        for shard in shards:
            packed = self._copied(shard.key)
            if packed is None:
                return shard
            self._into.write(packed)
        return None

    def pack(self, shard: _Shard, contents: list[bytes]) -> None:
        tar = TarWriter(self._limits, shard.folders)
        blocks: list[bytes] = []
        for file, content in zip(shard.files, contents, strict=True):
            blocks += tar.file(file.path, file.mode, content)
        self._into.write(gzip_members.member(shard.key, blocks))

    def end(self) -> None:
        key = gzip_members.key_of((b"end",))
        self._into.write(gzip_members.member(key, [tar_blocks.END]))

    def _copied(self, key: bytes) -> bytes | None:
        place = self._known.get(key)
        if place is None or self._earlier is None:
            return None
        try:
            return gzip_members.copied(self._earlier, key, place)
        except OSError:
            return None


@contextlib.contextmanager
def _opened(path: Path | None) -> Iterator[BinaryIO | None]:
    try:
        file = path.open("rb") if path else None
    except OSError:
        file = None
    with file or contextlib.nullcontext():
        yield file
