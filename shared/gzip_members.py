"""A gzip file of many members, each of which says what it was made of.

gzip allows both: members follow one another, and a header may carry an extra field, which every
reader passes over. Ours holds the key of the member's content, its packed length and a checksum of
its packed bytes. So the members of one archive can be found again, and copied into the next one
instead of being packed again; nothing beside the archive itself has to be kept for that.

    1f8b 08 04 | 4 x 0 | 00 ff | "PS", 24: key (16), length (4), crc32 (4) | deflate | trailer
"""

import struct
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import BinaryIO, NamedTuple

from shared import gzip_codec

KEY = 16  # bytes
_HEADER = struct.Struct("<10sH2sH16sII")
_START = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff"
_TRAILER = struct.Struct("<II")
_FEED = 256 * 1024  # what deflate is given at a time is part of what comes out
# The salt of all keys: another packer gives other bytes for the same content.
_PACKER = f"1 {gzip_codec.NAME}".encode()


class Place(NamedTuple):
    """Where the packed bytes of a member are in a file, without its header."""

    offset: int
    length: int
    checksum: int


def key_of(parts: Iterable[bytes]) -> bytes:
    """Of what decides on a member's bytes."""
    made = blake2b(_PACKER, digest_size=KEY)
    for part in parts:
        made.update(b"%d:" % len(part))
        made.update(part)
    return made.digest()


def member(key: bytes, pieces: Iterable[bytes]) -> bytes:
    raw = gzip_codec.raw_compressor()
    packed, checksum, size = [], 0, 0
    for piece in _in_equal_pieces(pieces):
        packed.append(raw.compress(piece))
        checksum = gzip_codec.crc32(piece, checksum)
        size += len(piece)
    trailer = _TRAILER.pack(checksum, size & 0xFFFFFFFF)
    return _with_header(key, b"".join((*packed, raw.flush(), trailer)))


def members_in(file: BinaryIO) -> dict[bytes, Place]:
    """Those that can be made out, up to the first thing that is none of ours."""
    return dict(_members(file))


def copied(file: BinaryIO, key: bytes, place: Place) -> bytes | None:
    """The whole member; None when its bytes are no longer what they were."""
    file.seek(place.offset)
    packed = file.read(place.length)
    if len(packed) != place.length or gzip_codec.crc32(packed) != place.checksum:
        return None
    return _with_header(key, packed)


def _in_equal_pieces(pieces: Iterable[bytes]) -> Iterator[bytes]:
    pending = bytearray()
    for piece in pieces:
        view = memoryview(piece)
        while view:
            room = _FEED - len(pending)
            pending += view[:room]
            view = view[room:]
            if len(pending) == _FEED:
                yield bytes(pending)
                pending.clear()
    yield bytes(pending)


def _members(file: BinaryIO) -> Iterator[tuple[bytes, Place]]:
    end = file.seek(0, 2)
    at = 0
    while at + _HEADER.size <= end:
        file.seek(at)
        head = file.read(_HEADER.size)
        _, _, _, _, key, length, checksum = _HEADER.unpack(head)
        if head != _header(key, length, checksum):
            return
        yield key, Place(at + _HEADER.size, length, checksum)
        at += _HEADER.size + length


def _with_header(key: bytes, packed: bytes) -> bytes:
    return _header(key, len(packed), gzip_codec.crc32(packed)) + packed


def _header(key: bytes, length: int, checksum: int) -> bytes:
    inner = KEY + 8
    return _HEADER.pack(_START, inner + 4, b"PS", inner, key, length, checksum)
