"""Keep the artifact of one OCIRepository at what its reference means in the registry.

Read `reconcile` first. With nothing new it costs one HEAD request to the registry and none to
Kubernetes. What is new is verified, if the spec asks for it, before a byte of it is stored.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from services.source.current_artifact import (
    as_status,
    current_artifact,
    event_metadata,
    forget,
    has_recovered,
    is_settled,
)
from services.source.endings import FetchStalled, outdated, stored
from services.source.oci.address import SCHEME, InvalidAddress, Repository
from services.source.oci.layers import Layers, choose
from services.source.oci.manifest import Descriptor, Manifest
from services.source.oci.reference import PULL_FAILED, Target, failed, resolve
from services.source.oci.registry import Registry, RegistryError
from services.source.oci.verifying import (
    SOURCE_VERIFIED,
    RepositoryReader,
    Verification,
    Verifier,
    verified_mark,
)
from services.source.oci.visits import RegistryVisits, Visit
from services.source.storage import Owner, Storage, StoredFile
from services.source.timeouts import timeout_of
from shared.conditions import is_true
from shared.outcomes import Done, Marks
from shared.redaction import redact
from shared.resources.meta import Artifact
from shared.resources.source import OCIRepository
from shared.run import Run
from shared.status import conditions_of

LATEST = "latest.tar.gz"
ORIGIN = "org.opencontainers.image"
COPY = "copy"
LONGEST_ORIGIN = 300


@dataclass(frozen=True)
class OciTools:
    """What fetching needs; all of it is shared by all repositories."""

    visits: RegistryVisits
    registry: Registry
    layers: Layers
    verifier: Verifier


class _Upstream(NamedTuple):
    repository: Repository
    target: Target


class OCIRepositoryReconciler:
    def __init__(self, storage: Storage, oci: OciTools) -> None:
        self._storage = storage
        self._oci = oci

    async def reconcile(self, source: OCIRepository, run: Run) -> Done:
        visit = _visit(source)
        artifact = await current_artifact(self._storage, source, run)
        # Idle: servers have bounds of their own, and one that hangs must not hold a slot.
        async with run.idle():
            upstream = await self._look(source, visit, artifact, run)
            news = _noted(source, artifact, upstream.target, run)
            verified = await self._verified(source, upstream, artifact, run)
        if artifact and _is_up_to_date(source, artifact, upstream.target):
            return await self._unchanged(source, artifact, verified, run)
        if news:
            await run.progress(news)
        async with run.idle():
            built = await self._build(source, upstream)
        return await self._done(source, built, verified, run)

    async def finalize(self, source: OCIRepository, run: Run) -> None:
        await forget(self._storage, source, run)

    async def _look(
        self, source: OCIRepository, visit: Visit, artifact: Artifact | None, run: Run
    ) -> _Upstream:
        if artifact and _is_pinned_to(artifact, source) and not _is_fresh(source, run):
            pinned = Descriptor(digest=artifact.revision, size=0)
            return _Upstream(visit.repository, Target("", pinned))

        async def look(repository: Repository) -> _Upstream:
            return _Upstream(repository, await resolve(source, repository, self._oci.registry))

        try:
            return await self._oci.visits.ask(visit, look, fresh=_is_fresh(source, run))
        except RegistryError as error:
            what = f"failed to look at {source.spec.url}"
            raise failed(error, what, PULL_FAILED) from error

    async def _verified(
        self, source: OCIRepository, upstream: _Upstream, artifact: Artifact | None, run: Run
    ) -> Marks:
        """What SourceVerified is to say; raises NotVerified."""
        asked = source.spec.verify
        if asked is None:
            return {SOURCE_VERIFIED: None}
        revision = upstream.target.revision
        if _stays_verified(source, artifact, revision):
            return {}
        await self._oci.verifier.verified(
            Verification(
                owner=source.key,
                asked=asked,
                artifact=await self._described(upstream),
                reader=RepositoryReader(upstream.repository, self._oci.registry),
                fresh=_is_fresh(source, run),
            )
        )
        marks = verified_mark(revision)
        run.note(conditions=marks)
        return marks

    async def _described(self, upstream: _Upstream) -> Descriptor:
        """By its own bytes: signatures are about size and media type, too."""
        manifest = await self._pulled(upstream)
        return Descriptor(
            media_type=manifest.media_type, digest=manifest.digest, size=len(manifest.raw)
        )

    async def _pulled(self, upstream: _Upstream) -> Manifest:
        try:
            return await self._oci.registry.manifest(upstream.repository, upstream.target.digest)
        except RegistryError as error:
            raise failed(error, "failed to pull the manifest", PULL_FAILED) from error

    async def _build(self, source: OCIRepository, upstream: _Upstream) -> dict[str, Any]:
        """The artifact, as status holds it."""
        digest = upstream.target.digest
        try:
            manifest = await self._oci.registry.image(upstream.repository, digest)
        except RegistryError as error:
            raise failed(error, "failed to pull the manifest", PULL_FAILED) from error
        file = await self._store(source, upstream.repository, manifest, f"{digest}.tar.gz")
        artifact = self._storage.artifact(file, upstream.target.revision)
        return {**artifact, "metadata": dict(manifest.annotations)}

    async def _store(
        self, source: OCIRepository, repository: Repository, manifest: Manifest, name: str
    ) -> StoredFile:
        selector, owner = source.spec.layer_selector, Owner.of(source)
        layer = choose(manifest, selector)
        if selector and selector.operation == COPY:
            return await self._oci.layers.copy(repository, layer, owner, name)
        ignore = source.spec.ignore
        return await self._oci.layers.extract(repository, layer, owner, name, ignore)

    async def _unchanged(
        self, source: OCIRepository, artifact: Artifact, verified: Marks, run: Run
    ) -> Done:
        status = as_status(artifact)
        if has_recovered(source):
            run.event("info", "Succeeded", _news(source, status), event_metadata(status))
        return await self._ending(source, status, verified)

    async def _done(
        self, source: OCIRepository, artifact: dict[str, Any], verified: Marks, run: Run
    ) -> Done:
        run.event("info", "NewArtifact", _news(source, artifact), event_metadata(artifact))
        return await self._ending(source, artifact, verified)

    async def _ending(
        self, source: OCIRepository, artifact: dict[str, Any], verified: Marks
    ) -> Done:
        name = artifact["path"].rpartition("/")[2]
        link = await self._storage.point(Owner.of(source), LATEST, name)
        message = f"stored artifact for digest '{artifact['revision']}'"
        selector = source.spec.layer_selector
        return Done(
            message=message,
            status={
                "artifact": artifact,
                "url": link,
                "observedIgnore": source.spec.ignore,
                "observedLayerSelector": msgspec.to_builtins(selector) if selector else None,
            },
            conditions={**stored("Succeeded", message), **verified},
        )


def _visit(source: OCIRepository) -> Visit:
    """Raises FetchStalled."""
    spec = source.spec
    try:
        repository = Repository.parse(spec.url)
    except InvalidAddress as error:
        raise FetchStalled(f"spec.url: {redact(str(error))}", reason="URLInvalid") from error
    return Visit(
        repository=repository,
        namespace=source.metadata.namespace,
        deadline=timeout_of(source),
        provider=spec.provider,
        login=spec.secret_ref.name if spec.secret_ref else None,
        service_account=spec.service_account_name,
        certificates=spec.cert_secret_ref.name if spec.cert_secret_ref else None,
        proxy=spec.proxy_secret_ref.name if spec.proxy_secret_ref else None,
        insecure=spec.insecure,
    )


def _is_fresh(source: OCIRepository, run: Run) -> bool:
    return run.requested or not is_settled(source)


def _is_pinned_to(artifact: Artifact, source: OCIRepository) -> bool:
    """A digest cannot come to mean something else, so there is nothing to ask."""
    reference = source.spec.ref
    pinned = reference is not None and reference.digest == artifact.revision
    unsigned = source.spec.verify is None
    return pinned and (unsigned or _stays_verified(source, artifact, artifact.revision))


def _stays_verified(source: OCIRepository, artifact: Artifact | None, revision: str) -> bool:
    return (
        artifact is not None
        and artifact.revision == revision
        and source.status.observed_generation == source.metadata.generation
        and is_true(conditions_of(source), SOURCE_VERIFIED)
    )


def _is_up_to_date(source: OCIRepository, artifact: Artifact, target: Target) -> bool:
    return (
        artifact.revision == target.revision
        and source.status.observed_ignore == source.spec.ignore
        and source.status.observed_layer_selector == source.spec.layer_selector
    )


def _noted(source: OCIRepository, artifact: Artifact | None, target: Target, run: Run) -> str:
    """What is going to be built; empty when only what to take of the artifact has changed."""
    if artifact is None:
        return "building artifact"
    if artifact.revision == target.revision:
        return ""
    reference = source.spec.url.removeprefix(SCHEME).rstrip("/") + target.suffix
    news = f"new revision '{target.revision}' for '{reference}'"
    run.note(conditions=outdated("NewRevision", news, artifact_exists=True))
    return f"building artifact: {news}"


def _news(source: OCIRepository, artifact: dict[str, Any]) -> str:
    said = artifact.get("metadata") or {}
    text = f"stored artifact with revision '{artifact['revision']}' from '{source.spec.url}'"
    if origin := said.get(f"{ORIGIN}.source"):
        text += f", origin source '{_short(origin)}'"
    if revision := said.get(f"{ORIGIN}.revision"):
        text += f", origin revision '{_short(revision)}'"
    return text


def _short(annotation: str) -> str:
    """Whoever pushes writes it, and it goes to people's chats."""
    return " ".join(annotation.split())[:LONGEST_ORIGIN]
