"""Which objects of a bucket make the artifact, and the revision that this amounts to.

Only what will be downloaded is kept in memory, so rules decide page by page. Keys are strangers'
text: one that could not be a file's path is refused before anything is downloaded.
"""

import hashlib
import io
import os
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.source.bucket.objects import (
    Bounded,
    ObjectChanged,
    ObjectStore,
    StoredObject,
    StoreError,
)
from services.source.ignore import SOURCE_IGNORE, IgnoreRules
from shared.archive import ARTIFACT, MIB, Limits, is_clean

LARGEST_IGNORE = MIB
_REMEDY = "rename it, or leave it out with spec.ignore"


@dataclass(frozen=True)
class SourceIgnore:
    """The root's `.sourceignore`, as it was when its ETag was this."""

    etag: str = ""
    text: str = ""


@dataclass(frozen=True)
class Index:
    objects: Sequence[StoredObject]  # in the order of their encoded keys
    revision: str
    ignore: SourceIgnore


def index_of(
    store: ObjectStore,
    prefix: str,
    spec_ignore: str | None,
    known: SourceIgnore | None,
    limits: Limits = ARTIFACT,
) -> Index:
    """`known` is of the last run, if that went well: while it holds, one listing is all it takes.

    Raises StoreError; then nothing is known any more, for what is wrong may be the old rules.
    """
    shown = SOURCE_IGNORE.startswith(prefix)  # in the listing
    ignore = known if known and shown else _source_ignore(store)
    kept = _listed(store, _Kept(ignore, spec_ignore, limits))
    if shown and kept.ignore_etag != ignore.etag:
        ignore = _source_ignore(store)
        kept = _listed(store, _Kept(ignore, spec_ignore, limits))
        if kept.ignore_etag != ignore.etag:
            raise ObjectChanged(SOURCE_IGNORE)
    objects = kept.in_order()
    return Index(objects, revision_of(objects), ignore)


def revision_of(objects: Iterable[StoredObject]) -> str:
    digest = hashlib.sha256()
    for found in objects:
        digest.update(f"{found.key} {found.etag}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def _listed(store: ObjectStore, kept: "_Kept") -> "_Kept":
    page = store.page("")
    kept.take(page.objects)
    while page.following:
        page = store.page(page.following)
        kept.take(page.objects)
    return kept


class _Kept:
    """Objects that are not left out, within the limits of an artifact."""

    def __init__(self, ignore: SourceIgnore, spec_ignore: str | None, limits: Limits) -> None:
        self.ignore_etag = ""
        self._rules = IgnoreRules({"": ignore.text}, spec_ignore, implied=False)
        self._limits = limits
        self._objects: dict[bytes, StoredObject] = {}
        self._size = 0

    def take(self, objects: Iterable[StoredObject]) -> None:
        for found in objects:
            if found.key == SOURCE_IGNORE:
                self.ignore_etag = found.etag  # it says what goes in, and does not go in
            elif not found.key.endswith("/") and not self._rules.exclude(found.key):
                self._keep(found)

    def in_order(self) -> list[StoredObject]:
        for path, found in self._objects.items():
            for folder in _folders(path):
                if folder in self._objects:
                    other = self._objects[folder].key
                    raise StoreError(
                        f"object {other!r} would be a file and the folder of {found.key!r}; "
                        f"{_REMEDY}"
                    )
        return [self._objects[path] for path in sorted(self._objects)]

    def _keep(self, found: StoredObject) -> None:
        limits = self._limits
        path = _path_of(found.key)
        if path in self._objects:
            raise StoreError(f"object {found.key!r} is listed twice")
        self._objects[path] = found
        self._size += found.size
        if not 0 <= found.size <= limits.file:
            raise StoreError(f"object {found.key!r} has {found.size} bytes, {_at_most(limits)}")
        if self._size > limits.total:
            raise StoreError(f"the objects are too large together, {_at_most(limits)}")
        if len(self._objects) > limits.entries:
            raise StoreError(f"there are too many objects, {_at_most(limits)}")


def _at_most(limits: Limits) -> str:
    return (
        f"and an artifact has at most {limits.entries} files and {limits.total // MIB} MiB; "
        "choose with spec.prefix, or leave objects out with spec.ignore"
    )


def _path_of(key: str) -> bytes:
    try:
        path = os.fsencode(key)
    except UnicodeEncodeError:
        path = b""
    if not is_clean(path) or any(unicodedata.category(each) in ("Cc", "Cs") for each in key):
        raise StoreError(
            f"object {key[:200]!r} has a key that cannot be the path of a file; {_REMEDY}"
        )
    return path


def _folders(path: bytes) -> Iterable[bytes]:
    end = path.find(b"/")
    while end != -1:
        yield path[:end]
        end = path.find(b"/", end + 1)


def _source_ignore(store: ObjectStore) -> SourceIgnore:
    content = io.BytesIO()
    etag = store.read_latest(SOURCE_IGNORE, Bounded(content, LARGEST_IGNORE, SOURCE_IGNORE))
    if etag is None:
        return SourceIgnore()
    return SourceIgnore(etag, content.getvalue().decode(errors="replace"))
