"""Google's and Azure's object stores as far as their libraries ask them, checking who asks."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape

from aiohttp import web

PAGE = 2  # so that two objects more are a page more


@dataclass
class Stored:
    content: bytes
    number: int  # grows with each write, as a generation does

    @property
    def etag(self) -> str:
        return f"etag-{self.number}"


@dataclass
class FakeBucket:
    name: str = "shop"
    token: str = ""  # the one that is let in
    objects: dict[str, Stored] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)  # "METHOD /path?query"
    before_read: Callable[[str], Any] = lambda key: None
    _written: int = 0

    def put(self, key: str, content: str) -> None:
        self._written += 1
        self.objects[key] = Stored(content.encode(), self._written)

    def page(self, prefix: str, start: str) -> tuple[list[tuple[str, Stored]], str]:
        """And where the next page begins."""
        found = sorted((k, v) for k, v in self.objects.items() if k.startswith(prefix))
        found = [each for each in found if each[0] >= start]
        return found[:PAGE], found[PAGE][0] if len(found) > PAGE else ""

    def read(self, key: str) -> Stored | None:
        self.before_read(key)
        return self.objects.get(key)


class FakeGcs(FakeBucket):
    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(f"{request.method} {request.path_qs}")
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"error": {"code": 401, "message": "who?"}}, status=401)
        path = request.raw_path.partition("?")[0].removeprefix("/download")
        folder, _, key = path.partition("/o/")
        if folder.removesuffix("/o") != f"/storage/v1/b/{self.name}":
            return _not_found("The specified bucket does not exist.")
        return self._object(request, unquote(key)) if key else self._list(request)

    def _list(self, request: web.Request) -> web.Response:
        query = request.query
        found, following = self.page(query.get("prefix", ""), query.get("pageToken", ""))
        items = [
            {"name": k, "etag": v.etag, "size": str(len(v.content)), "generation": str(v.number)}
            for k, v in found
        ]
        return web.json_response({"items": items} | _if_set(nextPageToken=following))

    def _object(self, request: web.Request, key: str) -> web.Response:
        found = self.read(key)
        wanted = request.query.get("generation")
        if found is None or (wanted and wanted != str(found.number)):
            return _not_found(f"No such object: {self.name}/{key}")
        if request.query.get("alt") == "media":
            digest = base64.b64encode(hashlib.md5(found.content).digest()).decode()
            return web.Response(body=found.content, headers={"X-Goog-Hash": f"md5={digest}"})
        return web.json_response({"name": key, "etag": found.etag, "generation": str(found.number)})


def _not_found(message: str) -> web.Response:
    return web.json_response({"error": {"code": 404, "message": message}}, status=404)


def _if_set(**values: str) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


@dataclass
class FakeBlobs(FakeBucket):
    """`key` (of the account `shopaccount`) and `sas` are other ways to be let in."""

    key: str = ""
    sas: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(f"{request.method} {request.path_qs}")
        if not self._may(request):
            return _azure_error(403, "AuthenticationFailed", "Server failed to authenticate.")
        path = unquote(request.raw_path.partition("?")[0])
        if request.host.startswith("shopaccount."):
            path = f"/shopaccount{path}"
        parts = path.split("/", 3)
        _, account, container, *rest = parts
        if account != "shopaccount" or container != self.name:
            return _azure_error(404, "ContainerNotFound", "The specified container is not there.")
        return self._blob(request, rest[0]) if rest else self._list(request)

    def _may(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "")
        if self.token and given == f"Bearer {self.token}":
            return True
        if self.sas and parse_qsl(self.sas)[-1] in parse_qsl(request.query_string):
            return True
        expected = f"SharedKey shopaccount:{_shared_key(request, self.key)}"
        return bool(self.key) and hmac.compare_digest(given, expected)

    def _list(self, request: web.Request) -> web.Response:
        query = request.query
        found, following = self.page(query.get("prefix", ""), query.get("marker", ""))
        blobs = "".join(
            f"<Blob><Name>{escape(k)}</Name><Properties><Etag>{v.etag}</Etag>"
            f"<Content-Length>{len(v.content)}</Content-Length><BlobType>BlockBlob</BlobType>"
            "</Properties></Blob>"
            for k, v in found
        )
        text = (
            f'<?xml version="1.0"?><EnumerationResults ContainerName="{self.name}"><Blobs>{blobs}'
            f"</Blobs><NextMarker>{escape(following)}</NextMarker></EnumerationResults>"
        )
        return web.Response(text=text, content_type="application/xml")

    def _blob(self, request: web.Request, key: str) -> web.Response:
        found = self.read(key)
        if found is None:
            return _azure_error(404, "BlobNotFound", "The specified blob does not exist.")
        wanted = request.headers.get("If-Match")
        if wanted and wanted.strip('"') != found.etag:
            return _azure_error(412, "ConditionNotMet", "The condition is not met.")
        return _ranged(request, found)


def _ranged(request: web.Request, found: Stored) -> web.Response:
    size = len(found.content)
    headers = {"ETag": f'"{found.etag}"', "x-ms-blob-type": "BlockBlob"}
    if "x-ms-range" not in request.headers:
        return web.Response(body=found.content, headers=headers)
    if not size:
        return web.Response(status=416, headers=headers | {"x-ms-error-code": "InvalidRange"})
    start, _, end = request.headers["x-ms-range"].removeprefix("bytes=").partition("-")
    piece = found.content[int(start) : int(end) + 1]
    headers["Content-Range"] = f"bytes {start}-{int(start) + len(piece) - 1}/{size}"
    return web.Response(status=206, body=piece, headers=headers)


def _azure_error(status: int, code: str, message: str) -> web.Response:
    text = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    headers = {"x-ms-error-code": code}
    return web.Response(status=status, text=text, headers=headers, content_type="application/xml")


_SIGNED = (
    *("Content-Encoding", "Content-Language", "Content-Length", "Content-MD5", "Content-Type"),
    *("Date", "If-Modified-Since", "If-Match", "If-None-Match", "If-Unmodified-Since", "Range"),
)


def _shared_key(request: web.Request, key: str) -> str:
    """The signature that the storage service's documentation describes."""
    given = [request.headers.get(name, "") for name in _SIGNED]
    ours = sorted((k.lower(), v) for k, v in request.headers.items() if k.lower()[:5] == "x-ms-")
    resource = "/shopaccount" + request.raw_path.partition("?")[0]
    query = "".join(f"\n{k}:{v}" for k, v in sorted(request.query.items()))
    lines = [request.method, *given, *(f"{name}:{value}" for name, value in ours)]
    text = "\n".join([*lines, resource + query])
    digest = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()
