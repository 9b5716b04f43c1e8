"""What every object store can do for us, and how it says no.

The stores of `s3_store`, `gcs_store` and `blob_store` block: they are called in threads of a
`Wire`, which ends what they wait for.
"""

from collections.abc import Sequence
from typing import BinaryIO, NamedTuple, Protocol


class StoreError(Exception):
    """The store, or what is in it, is not as it should be; the message is for the user."""

    def __init__(self, message: str, *, refuses_us: bool = False) -> None:
        super().__init__(message)
        self.refuses_us = refuses_us


class ObjectChanged(StoreError):
    """It is no longer what was listed: somebody writes to the bucket at this moment."""

    def __init__(self, key: str) -> None:
        super().__init__(f"object {key!r} changed while the bucket was read")


class StoredObject(NamedTuple):
    key: str
    etag: str  # as the store spells it, without quotation marks
    size: int
    version: str = ""  # what some stores need to give back this very content


class Page(NamedTuple):
    objects: Sequence[StoredObject]
    following: str = ""  # asks for the next page; empty after the last one


class ObjectStore(Protocol):
    def page(self, token: str) -> Page:
        """Of the objects that begin with the prefix; "" asks for the first page."""

    def read(self, found: StoredObject, into: "Bounded") -> None:
        """The content that was listed; raises ObjectChanged when it is gone."""

    def read_latest(self, key: str, into: "Bounded") -> str | None:
        """Whatever is there now, and its ETag; None when nothing is."""


class Bounded:
    """A file that takes no more than it should, however long a store goes on."""

    def __init__(self, file: BinaryIO, limit: int, key: str) -> None:
        self._file = file
        self._left = limit
        self._problem = f"object {key!r} is larger than {limit} bytes"

    def write(self, piece: bytes) -> int:
        self._left -= len(piece)
        if self._left < 0:
            raise StoreError(self._problem)
        return self._file.write(piece)

    def flush(self) -> None:
        self._file.flush()

    def seekable(self) -> bool:
        return False
