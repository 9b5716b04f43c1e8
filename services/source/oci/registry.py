"""The client of OCI registries: everything read is bounded, and verified against its digest.

Shared by OCIRepository, charts in registries, and signatures:

    repository = Repository.parse("oci://ghcr.io/team/app", access)     services.source.oci.address
    registry = Registry(web)                                            one for the whole service

    await registry.resolve(repository, "1.0.0")       Descriptor: digest, media type, size
    await registry.manifest(repository, "sha256:…")   Manifest of this digest or tag; `raw` verified
    await registry.image(repository, "sha256:…")      the same; of an index, the manifest in it
    await registry.blob(repository, layer, limit)     bytes, of digest and size as `layer` says
    await registry.download(repository, layer, file, limit)    the same, to anything with `write`
    await registry.tags(repository)                   every tag, in the registry's order
    await registry.referrers(repository, digest, artifact_type)   Descriptors of what refers to it

A reference is a tag or a digest. `resolve` repeats what the registry says, so read what it names
by that digest. Every method raises RegistryError alone: `refused` (401, 403: the login is wrong or
missing), `missing` (404), `retry_after` (the registry asked for a pause, and gets it). The
deadline of `repository.access` bounds each call as a whole.
"""

import hashlib
import io
import re
from collections.abc import AsyncIterator, Mapping
from urllib.parse import quote, urljoin

import msgspec

from services.source.oci.address import Access, Repository, is_digest, is_tag
from services.source.oci.manifest import (
    ACCEPTED,
    MAX_DESCRIPTORS,
    MAX_MANIFEST,
    OCI_INDEX,
    Descriptor,
    InvalidManifest,
    Manifest,
    parsed,
)
from services.source.oci.transport import (
    Question,
    RegistryError,
    RegistryTransport,
    within,
)
from shared.clock import Now, now
from shared.web.client import Answer, WebClient, Writable

__all__ = ["Access", "Descriptor", "Manifest", "Registry", "RegistryError", "Repository"]

MAX_PAGE = 8 * 1024 * 1024
MAX_PAGES = 200
MAX_TAGS = 100_000
PAGE = 1000
_DIGEST = "Docker-Content-Digest"
_NEXT = re.compile(r'<([^<>]*)>\s*;[^,]*\brel="?next"?')
# What a registry may answer to HEAD that knows only GET.
_NO_HEAD = frozenset({400, 404, 405, 406, 415, 501})
# What a registry answers that has never heard of referrers.
_NO_REFERRERS = frozenset({400, 404, 405, 406, 501})


class _Tags(msgspec.Struct):
    tags: list[str] | None = None


class Registry:
    def __init__(self, web: WebClient, now: Now = now) -> None:
        self._transport = RegistryTransport(web, now)

    async def resolve(self, repository: Repository, reference: str) -> Descriptor:
        path = _manifest_path(reference)
        question = Question(path=path, limit=0, accept=ACCEPTED, method="HEAD")
        async with within(repository):
            try:
                answer = await self._transport.ask(repository, question)
            except RegistryError as error:
                if error.status not in _NO_HEAD:
                    raise
            else:
                digest = answer.headers.get(_DIGEST, "")
                if is_digest(digest):
                    _require_same(reference, digest, repository)
                    return _described(answer.headers, digest)
            manifest = await self.manifest(repository, reference)
        return Descriptor(
            media_type=manifest.media_type, digest=manifest.digest, size=len(manifest.raw)
        )

    async def manifest(self, repository: Repository, reference: str) -> Manifest:
        question = Question(path=_manifest_path(reference), limit=MAX_MANIFEST, accept=ACCEPTED)
        async with within(repository):
            answer = await self._transport.ask(repository, question)
        claimed = answer.headers.get(_DIGEST, "")
        expected = reference if is_digest(reference) else claimed
        digest = _digest_of(answer.body, expected)
        if expected and digest != expected:
            raise RegistryError(
                f"{repository}: manifest {reference} has digest {digest}, not {expected[:200]}"
            )
        try:
            return parsed(answer.body, answer.headers.get("Content-Type", ""), digest)
        except InvalidManifest as error:
            raise RegistryError(f"{repository}: {reference}: {error}") from error

    async def image(self, repository: Repository, reference: str) -> Manifest:
        """Of an index: the manifest for linux/amd64, else the first; artifacts have no platform."""
        async with within(repository):
            manifest = await self.manifest(repository, reference)
            if not manifest.is_index:
                return manifest
            if not manifest.manifests:
                raise RegistryError(f"{repository}: the index {manifest.digest} is empty")
            inner = await self.manifest(repository, _chosen(manifest).digest)
        if inner.is_index:
            raise RegistryError(f"{repository}: {manifest.digest} is an index of indexes")
        return inner

    async def blob(self, repository: Repository, blob: Descriptor, limit: int) -> bytes:
        pieces = io.BytesIO()
        await self.download(repository, blob, pieces, limit)
        return pieces.getvalue()

    async def download(
        self, repository: Repository, blob: Descriptor, into: Writable, limit: int
    ) -> None:
        """What was written before a RegistryError is not to be used."""
        if not is_digest(blob.digest):
            raise RegistryError(f"{repository}: {blob.digest[:100]!r} is not a digest")
        if blob.size > limit:
            raise RegistryError(
                f"{repository}: {blob.digest} has {blob.size} bytes, more than the {limit} allowed"
            )
        verified = _Verified(into, blob)
        question = Question(path=f"blobs/{blob.digest}", limit=blob.size, into=verified)
        async with within(repository):
            await self._transport.ask(repository, question)
        if (problem := verified.problem) is not None:
            raise RegistryError(f"{repository}: {problem}")

    async def tags(self, repository: Repository) -> list[str]:
        found: list[str] = []
        async with within(repository):
            async for answer in self._pages(repository, f"tags/list?n={PAGE}"):
                found += filter(is_tag, _tags(repository, answer))
                if len(found) > MAX_TAGS:
                    raise RegistryError(f"{repository} has more than {MAX_TAGS} tags")
        return found

    async def referrers(
        self, repository: Repository, digest: str, artifact_type: str = ""
    ) -> list[Descriptor]:
        """By the registry's own list, or by the index under the tag that older ones keep it in."""
        if not is_digest(digest):
            raise RegistryError(f"{repository}: {digest[:100]!r} is not a digest")
        async with within(repository):
            try:
                found = await self._listed_referrers(repository, digest, artifact_type)
            except InvalidManifest:
                found = await self._tagged_referrers(repository, digest)
            except RegistryError as error:
                if error.status not in _NO_REFERRERS:
                    raise
                found = await self._tagged_referrers(repository, digest)
        return [each for each in found if artifact_type in ("", each.artifact_type)]

    async def _listed_referrers(
        self, repository: Repository, digest: str, artifact_type: str
    ) -> list[Descriptor]:
        wanted = f"?artifactType={quote(artifact_type, safe='')}" if artifact_type else ""
        found: list[Descriptor] = []
        async for answer in self._pages(repository, f"referrers/{digest}{wanted}", OCI_INDEX):
            found += _index(answer, digest).manifests
            if len(found) > MAX_DESCRIPTORS:
                raise RegistryError(f"{repository}: too many objects refer to {digest}")
        return found

    async def _tagged_referrers(self, repository: Repository, digest: str) -> list[Descriptor]:
        try:
            index = await self.manifest(repository, digest.replace(":", "-"))
        except RegistryError as error:
            if error.missing:
                return []
            raise
        return list(index.manifests)

    async def _pages(
        self, repository: Repository, path: str, accept: str = ""
    ) -> AsyncIterator[Answer]:
        seen: set[str] = set()
        while path:
            if path in seen or len(seen) >= MAX_PAGES:
                raise RegistryError(f"{repository}: a list of more than {MAX_PAGES} pages")
            seen.add(path)
            answer = await self._transport.ask(
                repository, Question(path=path, limit=MAX_PAGE, accept=accept)
            )
            yield answer
            following = _NEXT.search(answer.headers.get("Link", ""))
            path = urljoin(answer.url, following[1]) if following else ""


class _Verified:
    """Passes bytes on, and knows in the end whether they were the right ones."""

    def __init__(self, into: Writable, expected: Descriptor) -> None:
        self._into = into
        self._expected = expected
        self._hash = hashlib.new(expected.digest.partition(":")[0])
        self._size = 0

    def write(self, piece: bytes, /) -> object:
        self._hash.update(piece)
        self._size += len(piece)
        return self._into.write(piece)

    @property
    def problem(self) -> str | None:
        algorithm, _, expected = self._expected.digest.partition(":")
        found = self._hash.hexdigest()
        if (found, self._size) == (expected, self._expected.size):
            return None
        return (
            f"blob {self._expected.digest} of {self._expected.size} bytes came as "
            f"{self._size} bytes with digest {algorithm}:{found}"
        )


def _manifest_path(reference: str) -> str:
    if not is_digest(reference) and not is_tag(reference):
        raise RegistryError(f"{reference[:200]!r} is neither a tag nor a digest")
    return f"manifests/{reference}"


def _require_same(reference: str, digest: str, repository: Repository) -> None:
    if is_digest(reference) and reference != digest:
        raise RegistryError(f"{repository}: asked for {reference}, the registry names {digest}")


def _described(headers: Mapping[str, str], digest: str) -> Descriptor:
    size = headers.get("Content-Length", "")
    return Descriptor(
        media_type=headers.get("Content-Type", "").partition(";")[0].strip(),
        digest=digest,
        size=int(size) if size.isascii() and size.isdigit() else 0,
    )


def _digest_of(content: bytes, like: str) -> str:
    algorithm = like.partition(":")[0] if is_digest(like) else "sha256"
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def _chosen(index: Manifest) -> Descriptor:
    for each in index.manifests:
        if each.platform and (each.platform.os, each.platform.architecture) == ("linux", "amd64"):
            return each
    return index.manifests[0]


def _index(answer: Answer, digest: str) -> Manifest:
    manifest = parsed(answer.body, answer.headers.get("Content-Type", ""), digest)
    if not manifest.is_index:
        raise InvalidManifest("not an index")
    return manifest


def _tags(repository: Repository, answer: Answer) -> list[str]:
    try:
        return msgspec.json.decode(answer.body, type=_Tags).tags or []
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RegistryError(f"{repository}: not a list of tags: {error}") from error
