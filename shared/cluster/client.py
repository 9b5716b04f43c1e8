"""One thin client on aiohttp with raw JSON: a request costs a fraction of a millisecond.

Reads answer None for what is not there; refusals are `shared.cluster.errors`. Requests that are
safe to repeat are repeated a few times while the server is away or asks for patience; longer
outages are the caller's to wait out with its own backoff.
"""

import asyncio
import copy
import io
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import orjson

from shared.cluster.connection import Connection
from shared.cluster.discovery import ACCEPT as DISCOVERY
from shared.cluster.discovery import Discovery, ResourceType
from shared.cluster.errors import (
    ApiError,
    NotFound,
    TooManyRequests,
    Unauthorized,
    Unreachable,
    api_error,
)
from shared.cluster.objects import Gvk, Manifest, ObjectRef, ref_of
from shared.metrics import API_REQUESTS
from shared.resources.meta import NamespacedName, Resource

R = TypeVar("R", bound=Resource[Any, Any])

MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"  # JSON is YAML; the server knows no other name for it
REQUEST_TIMEOUT = timedelta(seconds=30)
# Three more tries bridge a restarting server's first second; the queue's backoff bridges the rest.
RETRY_DELAYS = (0.1, 0.3, 0.8)
PATIENCE_LIMIT = timedelta(seconds=10)  # of a Retry-After that we sit out instead of giving back
# The server's own defence against load is priority and fairness; this only bounds our sockets.
CONNECTIONS = 64
ONE_PIECE = 2**20


class Cluster:
    """The API server, as one identity sees it; see `as_service_account`."""

    def __init__(self, connection: Connection, session: aiohttp.ClientSession, agent: str) -> None:
        self.connection = connection
        self.session = session
        self._agent = agent
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._speaking_as: dict[str, str] = {}  # headers
        self._others: dict[tuple[str, str], Cluster] = {}
        self.discovery = Discovery(self._discover)

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, kubeconfig: Path | None = None, agent: str = "penstock"
    ) -> AsyncIterator["Cluster"]:
        """From a kubeconfig file, or from inside a pod when None."""
        connection = await Connection.load(kubeconfig)
        connector = aiohttp.TCPConnector(limit=0, ssl=connection.ssl, keepalive_timeout=60)
        async with aiohttp.ClientSession(
            connector=connector, auto_decompress=True, read_bufsize=2**20
        ) as session:
            yield cls(connection, session, agent)

    def as_service_account(self, namespace: str, name: str) -> "Cluster":
        """The same connection, speaking as a ServiceAccount: its rights, not ours.

        The same object each time, so that what is kept per identity (watches) is found again.
        """
        other = self._others.get((namespace, name))
        if other is None:
            other = self._others[namespace, name] = copy.copy(self)
            user = f"system:serviceaccount:{namespace}:{name}"
            other._speaking_as = {"Impersonate-User": user}
        return other

    # Typed kinds of ours

    async def get(self, model: type[R], key: NamespacedName) -> R | None:
        """Raises UndecodableError for an object that breaks its schema."""
        try:
            body = await self.request("GET", _path_of(model, key))
        except NotFound:
            return None
        return model.from_json(body)

    async def patch_status(
        self, model: type[R], key: NamespacedName, patch: Manifest, *, manager: str
    ) -> R:
        """Merge-patch the status subresource; raises NotFound when the object is gone."""
        path = f"{_path_of(model, key)}/status?fieldManager={quote(manager)}"
        body = await self.request("PATCH", path, patch, content_type=MERGE_PATCH)
        return model.from_json(body)

    async def patch_object(
        self, model: type[R], key: NamespacedName, patch: Manifest, *, manager: str
    ) -> R:
        path = f"{_path_of(model, key)}?fieldManager={quote(manager)}"
        body = await self.request("PATCH", path, patch, content_type=MERGE_PATCH)
        return model.from_json(body)

    # Objects of any kind

    async def resource_of(self, gvk: Gvk) -> ResourceType:
        return await self.discovery.resource_of(gvk)

    async def preferred(self, group: str, kind: str) -> ResourceType:
        """The kind in the version that the API server prefers; raises UnknownKind."""
        return await self.discovery.preferred(group, kind)

    async def read(self, ref: ObjectRef) -> Manifest | None:
        try:
            return await self._json("GET", await self._path(ref))
        except NotFound:
            return None

    async def list(
        self, gvk: Gvk, namespace: str = "", labels: str = "", fields: str = ""
    ) -> list[Manifest]:
        """All objects of a kind, page by page; items carry apiVersion and kind."""
        kind = await self.resource_of(gvk)
        query = {"labelSelector": labels, "fieldSelector": fields, "limit": "500"}
        items: list[Manifest] = []
        while True:
            page = await self._json("GET", kind.collection(namespace) + _query(query))
            items += (
                {"apiVersion": gvk.api_version, "kind": gvk.kind, **item} for item in page["items"]
            )
            query["continue"] = page["metadata"].get("continue", "")
            if not query["continue"]:
                return items

    async def create(self, manifest: Manifest) -> Manifest:
        ref = ref_of(manifest)
        kind = await self.resource_of(ref.gvk)
        path = kind.collection(quote(ref.namespace))
        return await self._json("POST", path, manifest, repeatable=False)

    async def apply(
        self, manifest: Manifest, *, manager: str, force: bool = True, dry_run: bool = False
    ) -> Manifest:
        """Server-side apply; answers the object as it now is."""
        query = {
            "fieldManager": manager,
            "force": "true" if force else "false",
            "fieldValidation": "Strict",
            "dryRun": "All" if dry_run else "",
        }
        path = await self._path(ref_of(manifest)) + _query(query)
        return await self._json("PATCH", path, manifest, content_type=APPLY_PATCH)

    async def apply_encoded(
        self, ref: ObjectRef, body: bytes, *, manager: str, dry_run: bool = False
    ) -> Manifest:
        """The same, with force, for a manifest that is JSON already."""
        query = {
            "fieldManager": manager,
            "force": "true",
            "fieldValidation": "Strict",
            "dryRun": "All" if dry_run else "",
        }
        path = await self._path(ref) + _query(query)
        return await self._json("PATCH", path, orjson.Fragment(body), content_type=APPLY_PATCH)

    async def merge_patch(
        self, ref: ObjectRef, patch: Manifest, *, subresource: str = "", manager: str = ""
    ) -> Manifest:
        path = await self._path(ref, subresource) + _query({"fieldManager": manager})
        return await self._json("PATCH", path, patch, content_type=MERGE_PATCH)

    async def json_patch(
        self, ref: ObjectRef, operations: Sequence[Manifest], *, manager: str = ""
    ) -> Manifest:
        path = await self._path(ref) + _query({"fieldManager": manager})
        return await self._json(
            "PATCH", path, operations, content_type="application/json-patch+json", repeatable=False
        )

    async def replace(self, manifest: Manifest, *, manager: str = "") -> Manifest:
        """PUT: answers Conflict when `metadata.resourceVersion` is set and no longer current."""
        path = await self._path(ref_of(manifest)) + _query({"fieldManager": manager})
        return await self._json("PUT", path, manifest)

    async def delete(
        self, ref: ObjectRef, *, uid: str | None = None, propagation: str = "Background"
    ) -> bool:
        """False when it was not there. With `uid`, only that very object (Conflict otherwise)."""
        options: Manifest = {"propagationPolicy": propagation}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        try:
            await self.request("DELETE", await self._path(ref), options)
        except NotFound:
            return False
        return True

    async def version(self) -> Manifest:
        return await self._json("GET", "/version")

    # Requests

    async def _path(self, ref: ObjectRef, subresource: str = "") -> str:
        kind = await self.resource_of(ref.gvk)
        path = kind.path(quote(ref.namespace), quote(ref.name))
        return f"{path}/{subresource}" if subresource else path

    async def _discover(self, path: str) -> Any:
        return orjson.loads(await self.request("GET", path, accept=DISCOVERY))

    async def _json(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        repeatable: bool = True,
    ) -> Manifest:
        answer = await self.request(
            method, path, body, content_type=content_type, repeatable=repeatable
        )
        parsed: Manifest = orjson.loads(answer)
        return parsed

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
        repeatable: bool = True,
    ) -> bytes:
        """The body of a 2xx answer; raises an ApiError for every other."""
        headers = {"Accept": accept, "Content-Type": content_type}
        payload = None if body is None else orjson.dumps(body)
        delays = iter(RETRY_DELAYS)
        while True:
            try:
                return await self._once(method, path, payload, headers)
            except Unauthorized:
                delay = next(delays, None)
                if delay is None:
                    raise
                await self.connection.reload()
            except (Unreachable, TooManyRequests) as error:
                delay = _patience(error, delays, repeatable=repeatable)
                if delay is None:
                    raise
            await asyncio.sleep(delay)

    async def _once(
        self, method: str, path: str, payload: bytes | None, headers: dict[str, str]
    ) -> bytes:
        what = f"{method} {path.partition('?')[0]}"
        try:
            async with self._slots, self.open(method, path, payload, headers) as answer:
                content = await answer.read()
                status, patience = answer.status, answer.headers.get("Retry-After", "")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            API_REQUESTS.labels(method, "0").inc()
            raise Unreachable(
                f"{what}: the API server does not answer: {error or type(error).__name__}"
            ) from error
        API_REQUESTS.labels(method, str(status)).inc()
        if status >= 300:
            raise api_error(status, content, what=what, retry_after=patience)
        return content

    @asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        payload: bytes | None,
        headers: dict[str, str],
        deadline: timedelta | None = REQUEST_TIMEOUT,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer whose body is still to be read; foreign exceptions pass (see `watch_cache`)."""
        authorization = await self.connection.authorization()
        sent = {"User-Agent": self._agent, **headers, **self._speaking_as}
        if authorization:
            sent["Authorization"] = authorization
        limit = aiohttp.ClientTimeout(total=deadline.total_seconds() if deadline else None)
        async with self.session.request(
            method,
            self.connection.host + path,
            data=_body(payload),
            headers=sent,
            timeout=limit,
            allow_redirects=False,
        ) as answer:
            yield answer


def _body(payload: bytes | None) -> bytes | io.BytesIO | None:
    """Large ones are sent piece by piece, so that others get their turn."""
    return io.BytesIO(payload) if payload and len(payload) > ONE_PIECE else payload


def _path_of(model: type[Resource[Any, Any]], key: NamespacedName) -> str:
    namespace, name = quote(key.namespace), quote(key.name)
    return f"/apis/{model.api_version}/namespaces/{namespace}/{model.plural}/{name}"


def _query(parameters: Mapping[str, str]) -> str:
    said = [f"{name}={quote(value, safe='')}" for name, value in parameters.items() if value]
    return "?" + "&".join(said) if said else ""


def _patience(error: ApiError, delays: Iterator[float], *, repeatable: bool) -> float | None:
    """Seconds to wait before the same request again; None when it must not be sent again."""
    refused_unseen = isinstance(error, TooManyRequests)  # the server did nothing with it
    if not (repeatable or refused_unseen):
        return None
    delay = next(delays, None)
    if delay is None or error.retry_after is None:
        return delay
    return error.retry_after.total_seconds() if error.retry_after <= PATIENCE_LIMIT else None
