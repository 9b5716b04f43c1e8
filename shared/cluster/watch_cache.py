"""What the API server holds of one kind, kept current by list and watch.

Construct with a collection path and a decoder, run it as an async context manager. Readers see
whole objects, oldest news at most one event behind; `on_change` tells of each difference, also of
those found by a fresh list after a gap. The watch is resumed where it broke; when the server has
forgotten that place (410) everything is listed again and what vanished meanwhile is told as
deleted. A connection that is silent for longer than bookmarks allow is taken for dead.
"""

import asyncio
import logging
import math
import random
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
import orjson

from shared.cluster.client import Cluster
from shared.cluster.discovery import ResourceType
from shared.cluster.errors import ApiError, Gone, Unreachable, api_error
from shared.cluster.objects import Gvk, Manifest
from shared.resources.meta import NamespacedName, Resource, UndecodableError

T = TypeVar("T")
R = TypeVar("R", bound=Resource[Any, Any])
Change = Callable[[T | None, T | None], None]  # (before, after); after None: it is gone

log = logging.getLogger(__name__)

METADATA_ONLY = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1,application/json"
# On a watch where nothing happens the server sends a bookmark every 60 to 75 seconds.
SILENCE_LIMIT = 90.0
WATCH_SECONDS = (240, 480)  # a watch ends on the server's side after a random time between these
FIRST_DELAY, LAST_DELAY = 0.2, 5.0  # of the pauses before the next try, doubled each time
STEADY = 1.0  # a watch that stood for so long is resumed at once
LINE_LIMIT = 16 * 2**20  # etcd holds 1.5 MiB an object; managedFields and JSON can swell it
PAGE = 500


class _Version(msgspec.Struct, rename="camel"):
    resource_version: str


class _Versioned(msgspec.Struct):
    """Any object of a watch; a bookmark has nothing but its version."""

    metadata: _Version


class _Page(msgspec.Struct):
    metadata: dict[str, Any]
    items: list[msgspec.Raw] = []


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


@dataclass(frozen=True)
class Selection:
    """Which objects: a namespace, label and field selectors; empty means all of them."""

    namespace: str = ""
    labels: str = ""
    fields: str = ""

    def query(self) -> list[tuple[str, str]]:
        chosen = (("labelSelector", self.labels), ("fieldSelector", self.fields))
        return [(name, value) for name, value in chosen if value]


class WatchCache(Generic[T]):
    """Use `watch_kind`, `watch_metadata` or `watch_manifests` to make one.

    `decode` reads one object (raising UndecodableError for that one alone), `locate` says where a
    decoded object is and which resourceVersion it has.
    """

    def __init__(
        self,
        cluster: Cluster,
        collection: str,
        decode: Callable[[msgspec.Raw], T],
        locate: Callable[[T], tuple[NamespacedName, str]],
        *,
        selection: Selection = Selection(),
        metadata_only: bool = False,
    ) -> None:
        self._cluster = cluster
        self._path = collection
        self._decode = decode
        self._locate = locate
        self._selection = selection
        self._accept = METADATA_ONLY if metadata_only else "application/json"
        self._objects: dict[NamespacedName, T] = {}
        self._versions: dict[NamespacedName, int] = {}
        self._listeners: list[Change[T]] = []
        self._undecodable: list[Callable[[UndecodableError], None]] = []
        self._synced = asyncio.Event()
        self._resume_at = ""
        self._standing_since = math.inf

    def get(self, key: NamespacedName) -> T | None:
        return self._objects.get(key)

    def values(self) -> Iterable[T]:
        return self._objects.values()

    def items(self) -> Iterable[tuple[NamespacedName, T]]:
        return self._objects.items()

    def __len__(self) -> int:
        return len(self._objects)

    def on_change(self, listener: Change[T]) -> None:
        """Called for every later difference, from the watching task: it must not block or raise."""
        self._listeners.append(listener)

    def on_undecodable(self, listener: Callable[[UndecodableError], None]) -> None:
        """Called for a stored object that breaks its schema; it is not in the cache."""
        self._undecodable.append(listener)

    async def synced(self) -> None:
        """Returns once the first list is in."""
        await self._synced.wait()

    @property
    def is_synced(self) -> bool:
        return self._synced.is_set()

    def observe(self, value: T) -> None:
        """Take in the answer to a write of ours ahead of the watch; old news is ignored.

        Only for objects that are here: one that the watch has seen deleted must not come back.
        """
        key, version = self._locate(value)
        if key in self._objects:
            self._store(key, int(version), value)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["WatchCache[T]"]:
        async with asyncio.TaskGroup() as group:
            follower = group.create_task(self._follow())
            try:
                yield self
            finally:
                follower.cancel()

    async def _follow(self) -> None:
        clock = asyncio.get_running_loop().time
        refused, ended = _growing_delays(), _growing_delays()
        while True:
            delays = refused
            self._standing_since = math.inf
            try:
                if not self._resume_at:
                    await self._list()
                await self._watch()
                # A server that has just come up ends watches while it learns its CRDs: that must
                # not cost what the outage before had grown to.
                delays = ended
            except Gone:
                self._resume_at = ""
            except ApiError as error:
                log.warning("watch interrupted", extra={"path": self._path, "error": str(error)})
            if clock() - self._standing_since > STEADY:
                refused, ended = _growing_delays(), _growing_delays()
            else:  # also when a proxy ends every watch as soon as it has begun
                await asyncio.sleep(next(delays))

    async def _list(self) -> None:
        listed: set[NamespacedName | None] = set()
        query = [*self._selection.query(), ("limit", str(PAGE))]
        marker = ""
        while True:
            page_query = [*query, ("continue", marker)] if marker else query
            body = await self._cluster.request(
                "GET", self._path + _encode(page_query), accept=self._accept
            )
            page = msgspec.json.decode(body, type=_Page)
            listed.update(self._take(raw) for raw in page.items)
            marker = page.metadata.get("continue") or ""
            if not marker:
                break
        for key in [key for key in self._objects if key not in listed]:
            self._remove(key)
        self._resume_at = page.metadata["resourceVersion"]
        self._synced.set()

    async def _watch(self) -> None:
        seconds = random.randint(*WATCH_SECONDS)  # noqa: S311  (spreads load, guards nothing)
        query = [
            *self._selection.query(),
            ("watch", "1"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", self._resume_at),
            ("timeoutSeconds", str(seconds)),
        ]
        try:
            async with self._cluster.open(
                "GET", self._path + _encode(query), None, {"Accept": self._accept}, deadline=None
            ) as answer:
                if answer.status != 200:
                    raise api_error(answer.status, await answer.read(), what=f"watch {self._path}")
                self._standing_since = asyncio.get_running_loop().time()
                async for line in _lines(answer.content):
                    self._handle(msgspec.json.decode(line, type=_Event))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unreachable(f"watch {self._path}: {error or type(error).__name__}") from error

    def _handle(self, event: _Event) -> None:
        match event.type:
            case "ADDED" | "MODIFIED":
                self._take(event.object)
            case "DELETED":
                self._drop(event.object)
            case "ERROR":
                code = int(orjson.loads(memoryview(event.object)).get("code") or 500)
                raise api_error(code, bytes(event.object), what=f"watch {self._path}")
        # A BOOKMARK has no object: it only says how far we are.
        self._resume_at = msgspec.json.decode(
            event.object, type=_Versioned
        ).metadata.resource_version

    def _take(self, raw: msgspec.Raw) -> NamespacedName | None:
        try:
            value = self._decode(raw)
        except UndecodableError as error:
            return self._report(error)
        key, version = self._locate(value)
        self._store(key, int(version), value)
        return key

    def _drop(self, raw: msgspec.Raw) -> None:
        try:
            key, _ = self._locate(self._decode(raw))
        except UndecodableError as error:
            if error.metadata is None:
                return
            key = NamespacedName(error.metadata.namespace, error.metadata.name)
        self._remove(key)

    def _report(self, error: UndecodableError) -> NamespacedName | None:
        log.error("a stored object breaks its schema", extra={"error": str(error)})
        for listener in self._undecodable:
            listener(error)
        if error.metadata is None:
            return None
        # What was readable before is out of date, and must not be worked on.
        key = NamespacedName(error.metadata.namespace, error.metadata.name)
        self._remove(key)
        return key

    def _store(self, key: NamespacedName, version: int, value: T) -> None:
        if self._versions.get(key, -1) >= version:
            return
        before = self._objects.get(key)
        self._objects[key] = value
        self._versions[key] = version
        self._tell(before, value)

    def _remove(self, key: NamespacedName) -> None:
        before = self._objects.pop(key, None)
        self._versions.pop(key, None)
        if before is not None:
            self._tell(before, None)

    def _tell(self, before: T | None, after: T | None) -> None:
        for listener in self._listeners:
            listener(before, after)


def watch_kind(
    cluster: Cluster, model: type[R], namespace: str = "", labels: str = ""
) -> WatchCache[R]:
    """All objects of a kind of ours, in one namespace or in all, with some labels or any."""
    where = f"/namespaces/{namespace}" if namespace else ""
    return WatchCache(
        cluster,
        f"/apis/{model.api_version}{where}/{model.plural}",
        model.from_json,
        lambda resource: (resource.key, resource.metadata.resource_version),
        selection=Selection(namespace, labels),
    )


def watch_manifests(
    cluster: Cluster, kind: ResourceType, selection: Selection, *, metadata_only: bool = False
) -> WatchCache[Manifest]:
    """Whole foreign objects, with apiVersion and kind filled in."""
    return WatchCache(
        cluster,
        kind.collection(selection.namespace),
        lambda raw: _manifest(kind.gvk, raw),
        _locate_manifest,
        selection=selection,
        metadata_only=metadata_only,
    )


def watch_metadata(
    cluster: Cluster, kind: ResourceType, selection: Selection
) -> WatchCache[Manifest]:
    """Only the metadata of foreign objects: a fraction of the bytes."""
    return watch_manifests(cluster, kind, selection, metadata_only=True)


def _manifest(gvk: Gvk, raw: msgspec.Raw) -> Manifest:
    # Items of a list come without apiVersion and kind; metadata-only ones with the wrong ones.
    return {**orjson.loads(memoryview(raw)), "apiVersion": gvk.api_version, "kind": gvk.kind}


def _locate_manifest(manifest: Manifest) -> tuple[NamespacedName, str]:
    metadata = manifest["metadata"]
    key = NamespacedName(metadata.get("namespace", ""), metadata["name"])
    return key, metadata["resourceVersion"]


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Raises TimeoutError when the connection is silent, ValueError for an endless line."""
    rest = b""
    chunks = content.iter_any()
    while True:
        async with asyncio.timeout(SILENCE_LIMIT):
            chunk = await anext(chunks, b"")
        if not chunk:
            return
        *lines, rest = (rest + chunk).split(b"\n") if rest else chunk.split(b"\n")
        if len(rest) > LINE_LIMIT:
            raise ValueError("a watch event is longer than any object may be")
        for line in lines:
            yield line


def _encode(query: Iterable[tuple[str, str]]) -> str:
    return "?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in query)


def _growing_delays() -> Iterator[float]:
    delay = FIRST_DELAY
    while True:
        yield delay * random.uniform(0.8, 1.2)  # noqa: S311  (spreads load, guards nothing)
        delay = min(delay * 2, LAST_DELAY)
