"""From listed objects to an archive, a batch at a time: neither memory nor disk holds the bucket.

Objects are downloaded into nameless files: their keys never meet a file system.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from services.source.bucket.objects import Bounded, ObjectChanged, ObjectStore, StoredObject
from shared.archive import Limits, Packed, Packer
from shared.web.wire import Wire

BATCH_SIZE = 8 * 1024 * 1024
BATCH_COUNT = 64
IN_MEMORY = 1024 * 1024  # of one object; beyond that it is a file


async def pack_objects(
    wire: Wire, store: ObjectStore, objects: Sequence[StoredObject], into: BinaryIO, limits: Limits
) -> Packed:
    packer = Packer(into, limits)
    for batch in _batches(objects):
        with ExitStack() as files:
            contents = [files.enter_context(_nameless_file()) for _ in batch]
            await asyncio.gather(
                *(
                    wire.call(_download, store, found, content)
                    for found, content in zip(batch, contents, strict=True)
                )
            )
            await wire.call(_add_all, packer, batch, contents)
    return await wire.call(packer.finish)


def _nameless_file() -> BinaryIO:
    return cast("BinaryIO", SpooledTemporaryFile(IN_MEMORY))


def _download(store: ObjectStore, found: StoredObject, into: BinaryIO) -> None:
    store.read(found, Bounded(into, found.size, found.key))
    if into.tell() != found.size:
        raise ObjectChanged(found.key)
    into.seek(0)


def _add_all(packer: Packer, batch: Iterable[StoredObject], contents: Iterable[BinaryIO]) -> None:
    for found, content in zip(batch, contents, strict=True):
        packer.add_stream(found.key, found.size, content)


def _batches(objects: Iterable[StoredObject]) -> Iterator[list[StoredObject]]:
    batch: list[StoredObject] = []
    size = 0
    for found in objects:
        if batch and (size + found.size > BATCH_SIZE or len(batch) >= BATCH_COUNT):
            yield batch
            batch, size = [], 0
        batch.append(found)
        size += found.size
    if batch:
        yield batch
