"""A JetStream object store: named blobs in pieces, in the layout that all NATS clients know.

    $O.<bucket>.C.<id>        the pieces of one blob, in order
    $O.<bucket>.M.<name>      what it is: its id, size and digest, and what its writer says of it

The description comes last, so a blob is there whole or not at all; pieces without a description are
an upload that broke off. No more than one piece is in memory at a time. Reading needs no consumer:
pieces are asked for one by one, so who reads slowly holds up nobody.
"""

import base64
import hashlib
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import msgspec

from shared.line import BusError, Frame, Line
from shared.streams import API, Refused, answer_of, ask
from shared.subjects import Bucket

PIECE = 128 * 1024
MAXIMUM_EXCEEDED = 10077  # JetStream's number for "the bucket is full"
_NOT_FOUND = "404"


class Missing(BusError):
    """There is no such blob, or not all of it."""


class Blob(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    nuid: str
    size: int = 0
    chunks: int = 0
    digest: str = ""
    deleted: bool = False
    metadata: dict[str, str] = msgspec.field(default_factory=dict)


class ObjectStore:
    """Every method raises BusError."""

    def __init__(self, line: Line, bucket: Bucket) -> None:
        self._line = line
        self._bucket = bucket
        self._pieces, self._descriptions = (each.removesuffix(">") for each in bucket.subjects)

    @property
    def is_connected(self) -> bool:
        return self._line.is_connected

    async def connected(self) -> None:
        await self._line.connected()

    async def ensure(self, max_bytes: int) -> None:
        """The bucket is there and of this size. A full one takes no more, and loses nothing."""
        wanted: dict[str, Any] = {
            "name": self._bucket.stream,
            "subjects": list(self._bucket.subjects),
            "storage": "file",
            "retention": "limits",
            "discard": "new",
            "allow_rollup_hdrs": True,
            "allow_direct": True,
            "max_bytes": max_bytes,
        }
        try:
            await ask(self._line, f"STREAM.CREATE.{self._bucket.stream}", wanted)
        except Refused:
            await ask(self._line, f"STREAM.UPDATE.{self._bucket.stream}", wanted)

    async def names(self) -> set[str]:
        """Of all blobs that are there whole."""
        subjects = await self._subjects(f"{self._descriptions}>")
        return {_decoded(subject.removeprefix(self._descriptions)) for subject in subjects}

    async def find(self, name: str) -> Blob | None:
        verb = f"DIRECT.GET.{self._bucket.stream}.{self._descriptions}{_encoded(name)}"
        frame = await self._line.request(f"{API}.{verb}", b"")
        if frame.headers.get("Status") == _NOT_FOUND:
            return None
        try:
            blob = msgspec.json.decode(_body(frame, verb), type=Blob)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Missing(f"{name}: an unreadable description: {error}") from error
        return None if blob.deleted else blob

    async def put(self, name: str, pieces: Iterable[bytes], metadata: Mapping[str, str]) -> None:
        """What came before under the name is gone; a piece has PIECE bytes at most.

        An upload that breaks off leaves its pieces `loose`.
        """
        before = await self.find(name)
        nuid, size, chunks, digest = uuid.uuid4().hex, 0, 0, hashlib.sha256()
        try:
            for piece in pieces:
                await self._publish(f"{self._pieces}{nuid}", piece)
                digest.update(piece)
                size, chunks = size + len(piece), chunks + 1
        except Refused:
            await self._purge(f"{self._pieces}{nuid}")
            raise
        told = {
            "name": name,
            "bucket": self._bucket.name,
            "nuid": nuid,
            "size": size,
            "chunks": chunks,
            "digest": f"SHA-256={base64.urlsafe_b64encode(digest.digest()).decode()}",
            "metadata": dict(metadata),
            "options": {"max_chunk_size": PIECE},
        }
        subject = f"{self._descriptions}{_encoded(name)}"
        await self._publish(subject, msgspec.json.encode(told), {"Nats-Rollup": "sub"})
        if before is not None:
            await self._purge(f"{self._pieces}{before.nuid}")

    async def read(self, blob: Blob) -> AsyncIterator[bytes]:
        """Its pieces; raises Missing when they end too early. The digest is the caller's matter."""
        subject, sequence, size = f"{self._pieces}{blob.nuid}", 1, 0
        while size < blob.size:
            question = {"next_by_subj": subject, "seq": sequence}
            frame = await self._line.request(
                f"{API}.DIRECT.GET.{self._bucket.stream}", msgspec.json.encode(question)
            )
            piece = _body(frame, blob.name)
            sequence = int(frame.headers.get("Nats-Sequence", "0")) + 1
            size += len(piece)
            if size > blob.size or not piece or sequence == 1:
                raise Missing(f"{blob.name}: not the pieces that were described")
            yield piece

    async def remove(self, name: str) -> None:
        """The description first: nobody is promised what is going."""
        blob = await self.find(name)
        await self._purge(f"{self._descriptions}{_encoded(name)}")
        if blob is not None:
            await self._purge(f"{self._pieces}{blob.nuid}")

    async def loose(self) -> set[str]:
        """Ids of pieces, without those of the blobs that are there."""
        ids = {
            subject.removeprefix(self._pieces)
            for subject in await self._subjects(f"{self._pieces}>")
        }
        for name in await self.names() if ids else ():
            if (blob := await self.find(name)) is not None:
                ids.discard(blob.nuid)
        return ids

    async def drop(self, nuid: str) -> None:
        """Pieces that are loose."""
        await self._purge(f"{self._pieces}{nuid}")

    async def _publish(
        self, subject: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        answer_of(await self._line.request(subject, body, headers), subject)

    async def _purge(self, subject: str) -> None:
        await ask(self._line, f"STREAM.PURGE.{self._bucket.stream}", {"filter": subject})

    async def _subjects(self, pattern: str) -> set[str]:
        found: set[str] = set()
        while True:
            question = {"subjects_filter": pattern, "offset": len(found)}
            info = await ask(self._line, f"STREAM.INFO.{self._bucket.stream}", question)
            page = info["state"].get("subjects") or {}
            found |= page.keys()
            if not page or len(found) >= info.get("total", 0):
                return found


def _body(frame: Frame, what: str) -> bytes:
    status = frame.headers.get("Status")
    if status is not None:
        raise Missing(f"{what}: {status} {frame.headers.get('Description', '')}")
    return frame.body


def _encoded(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _decoded(text: str) -> str:
    """A name that nobody of us has written is as good as any other: it is only compared."""
    try:
        return base64.urlsafe_b64decode(text.encode()).decode()
    except ValueError:
        return text
