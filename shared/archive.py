"""The one door to tar.gz: what is packed is reproducible, what is unpacked is harmless.

`Packer` writes regular files, in order, without owners or times: the same content gives the same
bytes. `unpack` reads a stranger's archive in memory and never touches a file system: links, devices
and names that lead out of the archive do not come through, and every quantity has a limit.
"""

import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, Protocol

from shared import gzip_codec, tar_blocks
from shared.artifact_file import growing
from shared.digests import digest_of, hasher
from shared.tar_blocks import Header

MIB = 1024 * 1024
_BATCH = 256 * 1024
_PAX_LIMIT = 64 * 1024  # a path of 4096 bytes needs 5 KiB; the rest is somebody's experiment
_PATH_LIMIT = 4096  # PATH_MAX: what no Linux tool could have created is not a path
_SEGMENT_LIMIT = 255  # NAME_MAX
_DEPTH_LIMIT = 100  # consumers walk paths; a tree that a team wrote has ten levels


class ArchiveError(Exception):
    """The archive is broken, or larger than we are willing to hold; the message says which."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    total: int
    file: int
    entries: int


# Flux unpacks 100 MiB at most; a repository beyond that leaves files out with ignore rules.
# Directories count as well: a hundred thousand files fit in, were each in a folder of its own.
ARTIFACT = Limits(total=100 * MIB, file=100 * MIB, entries=200_000)
# Flux's --helm-chart-file-max-size; a chart's packed size is fenced where it is downloaded.
CHART = Limits(total=100 * MIB, file=5 * MIB, entries=10_000)


class Entry(NamedTuple):
    """One regular file; `path` is relative and clean, `mode` matters only for its exec bits."""

    path: str
    mode: int
    content: bytes


class Packed(NamedTuple):
    size: int
    digest: str


class TarWriter:
    """The blocks of an archive, file by file; where they go is the caller's business.

    Files come in ascending order of their encoded path (as Git lists them): the order is part of
    the digest, and it makes a path that comes twice visible without remembering them all.
    """

    def __init__(self, limits: Limits = ARTIFACT, folders: tuple[bytes, ...] = ()) -> None:
        """`folders` are those that are open already, when others wrote the blocks before."""
        self.folders = folders
        self._budget = _Budget(limits)
        self._last = b""

    def file(self, path: str, mode: int, content: bytes) -> tuple[bytes, ...]:
        encoded = os.fsencode(path)
        folders = self.enter(encoded, len(content))
        mode = 0o700 if mode & 0o111 else 0o600
        header = tar_blocks.encode(encoded, mode, len(content), tar_blocks.REGULAR)
        return (folders, header, content, bytes(tar_blocks.padding(len(content))))

    def enter(self, path: bytes, size: int) -> bytes:
        """Checks that the file may come next. A directory comes before the first file in it."""
        _require_clean(path)
        if path <= self._last:
            raise ArchiveError(f"{os.fsdecode(path)!r} is not in ascending order, or comes twice")
        self._last = path
        self._budget.spend(path, size)
        parent = path.rpartition(b"/")[0]
        if (self.folders[-1] if self.folders else b"") == parent:
            return b""
        parts = parent.split(b"/") if parent else []
        before, self.folders = (
            self.folders,
            tuple(b"/".join(parts[: depth + 1]) for depth in range(len(parts))),
        )
        return b"".join(self._folder(folder) for folder in self.folders if folder not in before)

    def _folder(self, path: bytes) -> bytes:
        self._budget.spend(path, 0)
        return tar_blocks.encode(path + b"/", 0o750, 0, tar_blocks.DIRECTORY)


class Packer:
    """Writes entries as they come, so that an archive larger than memory can be made.

    Of an ArtifactFile it makes the path index on the way.
    """

    def __init__(self, into: BinaryIO, limits: Limits = ARTIFACT) -> None:
        self._into = growing(into)
        self._tar = TarWriter(limits)
        self._gzip = gzip_codec.compressor()
        self._pending = bytearray()

    def add(self, entry: Entry) -> None:
        self._write(*self._tar.file(*entry))
        self._into.note(entry.path, digest_of(entry.content))

    def add_stream(self, path: str, size: int, content: BinaryIO) -> None:
        """A file that nobody wants whole in memory; it has exactly `size` bytes."""
        encoded, hashed = os.fsencode(path), hasher("sha256")
        folders = self._tar.enter(encoded, size)
        self._write(folders, tar_blocks.encode(encoded, 0o600, size, tar_blocks.REGULAR))
        left = size
        while left and (piece := content.read(min(_BATCH, left))):
            hashed.update(piece)
            self._write(piece)
            left -= len(piece)
        if left or content.read(1):
            raise ArchiveError(f"{path!r} does not have the {size} bytes that were announced")
        self._write(bytes(tar_blocks.padding(size)))
        self._into.note(path, f"sha256:{hashed.hexdigest()}")

    def finish(self) -> Packed:
        self._write(tar_blocks.END)
        self._into.write(self._gzip.compress(bytes(self._pending)) + self._gzip.flush())
        return Packed(self._into.size, self._into.digest)

    def _write(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._pending += piece
        if len(self._pending) >= _BATCH:
            self._into.write(self._gzip.compress(bytes(self._pending)))
            self._pending.clear()


def pack(entries: Iterable[Entry], into: BinaryIO, limits: Limits = ARTIFACT) -> Packed:
    packer = Packer(into, limits)
    for entry in entries:
        packer.add(entry)
    return packer.finish()


def unpack(
    source: bytes | BinaryIO, limits: Limits = ARTIFACT, *, strict: bool = False
) -> Iterator[Entry]:
    """The regular files of a tar.gz, in its order.

    Links and devices are left out, or refused when `strict`; so are names that are not UTF-8:
    nothing written in YAML can mean them. A name that leads out of the archive is always refused.
    """
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with gzip_codec.reader(stream) as tar:
            yield from _files(_Reader(tar, _Budget(limits)), strict=strict)
    except tar_blocks.MalformedBlock as error:
        raise ArchiveError(f"not a tar archive: {error}") from error
    except gzip_codec.BROKEN as error:
        raise ArchiveError(f"not a complete gzip file: {error}") from error


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Budget:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._total = 0
        self._entries = 0

    def spend(self, path: bytes, size: int) -> None:
        limits = self._limits
        self._total += size
        self._entries += 1
        if size > limits.file:
            raise ArchiveError(f"{os.fsdecode(path)!r} is larger than {_mib(limits.file)}")
        if self._total > limits.total:
            raise ArchiveError(f"the files are larger than {_mib(limits.total)} together")
        if self._entries > limits.entries:
            raise ArchiveError(f"more than {limits.entries} files and directories")


class _Reader:
    def __init__(self, tar: _Readable, budget: _Budget) -> None:
        self._tar = tar
        self._budget = budget
        self._begun = False

    def header(self) -> Header | None:
        block = self._tar.read(tar_blocks.BLOCK)
        if not block and self._begun:
            return None  # some writers leave the end mark out, and Go does not miss it
        self._begun = True
        return tar_blocks.decode(self._whole(block, tar_blocks.BLOCK))

    def content(self, header: Header) -> bytes:
        """Takes the size from the budget before a byte of it is read."""
        self._budget.spend(header.name, header.size)
        size = header.size + tar_blocks.padding(header.size)
        return self._whole(self._tar.read(size), size)[: header.size]

    def _whole(self, piece: bytes, size: int) -> bytes:
        if len(piece) < size:
            raise ArchiveError("the archive ends too early")
        return piece


def _files(reader: _Reader, *, strict: bool) -> Iterator[Entry]:
    overrides: dict[bytes, bytes] = {}
    while (header := reader.header()) is not None:
        if header.kind in _PROLOGUE:
            overrides |= _prologue(header, reader)
            continue
        header = _overridden(header, overrides)
        sparse = any(key.startswith(b"GNU.sparse") for key in overrides)
        overrides = {}
        content = reader.content(header)
        path = _clean(header.name)
        if header.kind == tar_blocks.DIRECTORY or header.name.endswith(b"/"):
            continue
        _require_clean(path)
        if header.kind in _FILES and not sparse and _is_utf8(path):
            yield Entry(path.decode(), header.mode & 0o777, content)
        elif strict:
            raise ArchiveError(f"{os.fsdecode(path)!r} is not a regular file with a UTF-8 name")


_FILES = {tar_blocks.REGULAR, tar_blocks.OLD_REGULAR, tar_blocks.CONTIGUOUS}
_PROLOGUE = {
    tar_blocks.PAX,
    tar_blocks.PAX_GLOBAL,
    tar_blocks.GNU_NAME,
    tar_blocks.GNU_LINK,
}


def _prologue(header: Header, reader: _Reader) -> dict[bytes, bytes]:
    """What a member says about the one that follows it."""
    if header.size > _PAX_LIMIT:
        raise ArchiveError(f"an extended header is larger than {_PAX_LIMIT} bytes")
    content = reader.content(header)
    match header.kind:
        case tar_blocks.PAX:
            return tar_blocks.pax_records(content)
        case tar_blocks.GNU_NAME:
            return {b"path": content.rstrip(b"\0")}
        case _:  # defaults for all members, or the target of a link: neither names a file
            return {}


def _overridden(header: Header, overrides: dict[bytes, bytes]) -> Header:
    size = overrides.get(b"size", b"%d" % header.size)
    if not size.isdigit() or len(size) > 20:
        raise ArchiveError("a PAX record with a size that is not a number")
    return header._replace(name=overrides.get(b"path", header.name), size=int(size))


def _clean(name: bytes) -> bytes:
    """The name without the `./` that tar puts before it; the root itself may have none."""
    path = name.removeprefix(b"./").rstrip(b"/")
    if path not in (b"", b"."):
        _require_clean(path)
    return path


def is_clean(path: bytes) -> bool:
    """Relative, inside, and short enough for a file system."""
    parts = path.split(b"/")
    return not (
        any(part in (b"", b".", b"..") or len(part) > _SEGMENT_LIMIT for part in parts)
        or b"\0" in path
        or len(path) > _PATH_LIMIT
        or len(parts) > _DEPTH_LIMIT
    )


def _require_clean(path: bytes) -> None:
    if not is_clean(path):
        shown = os.fsdecode(path[:200])
        raise ArchiveError(f"{shown!r} is not a path inside the archive")


def _is_utf8(path: bytes) -> bool:
    try:
        path.decode()
    except UnicodeDecodeError:
        return False
    return True


def _mib(size: int) -> str:
    return f"{size // MIB} MiB"
