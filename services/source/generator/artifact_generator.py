"""Keep the ExternalArtifacts of one ArtifactGenerator at what its sources have.

Read `reconcile` first. While the spec, the sources' artifacts and what was made of them are as they
were, it costs no request. Otherwise all artifacts are put together first, then what will be owned
is written down, then files are stored, objects applied, and orphans removed: whatever dies in
between is finished or removed by the next run. An artifact whose contents came out the same is
neither packed nor applied nor told of again.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from services.source.current_artifact import has_recovered
from services.source.generator.building import build
from services.source.generator.built_files import Built, BuiltFiles
from services.source.generator.endings import ValidationFailed
from services.source.generator.external_artifacts import ExternalArtifacts, storage_owner
from services.source.generator.inventory import as_status, entry_of, with_claims
from services.source.generator.lent_revisions import metadata_of, revision_of
from services.source.generator.outputs import Output, is_name, require_valid
from services.source.generator.source_files import Downloads, SourceFiles
from services.source.generator.sources import Found, SourceRef, Sources, sources_digest
from services.source.generator.tree import Tree
from services.source.generator.workbench import Workbench
from services.source.storage import Storage, StoredFile
from shared.conditions import READY, find
from shared.outcomes import Done
from shared.resources.meta import NamespacedName
from shared.resources.source import ArtifactGenerator, ExternalArtifact
from shared.resources.source.artifact_generator import GeneratedArtifact
from shared.run import Run
from shared.status import conditions_of

BUILDS = 2  # each may have a gigabyte on its workbench


@dataclass(frozen=True)
class GeneratorTools:
    sources: Sources
    source_files: SourceFiles
    built_files: BuiltFiles
    externals: ExternalArtifacts
    benches: Path


class _Valid(NamedTuple):
    spec: tuple[str, int]
    aliases: frozenset[str]


class _Published(NamedTuple):
    entry: GeneratedArtifact
    is_new: bool


class ArtifactGeneratorReconciler:
    def __init__(self, storage: Storage, tools: GeneratorTools) -> None:
        self._storage = storage
        self._tools = tools
        self._builds = asyncio.Semaphore(BUILDS)
        self._valid: dict[NamespacedName, _Valid] = {}

    async def reconcile(self, generator: ArtifactGenerator, run: Run) -> Done:
        aliases = await self._aliases(generator)
        sources = self._tools.sources.artifacts_of(generator)
        if await self._is_current(generator, sources, run):
            return await self._unchanged(generator)
        async with run.idle():
            files = await self._made(generator, {each: sources[each] for each in aliases}, run)
            published = await self._publish(generator, sources, files)
            orphans = await self._withdraw(generator, keep={output.name for output, _ in files})
        return await self._done(generator, sources, published, bool(orphans), run)

    async def finalize(self, generator: ArtifactGenerator, run: Run) -> None:
        self._valid.pop(generator.key, None)
        await self._withdraw(generator, keep=set())

    async def _aliases(self, generator: ArtifactGenerator) -> frozenset[str]:
        """Of the sources that are used. The spec of a generation is judged once."""
        spec = (generator.metadata.uid, generator.metadata.generation)
        known = self._valid.get(generator.key)
        if known is None or known.spec != spec:
            aliases = await asyncio.to_thread(require_valid, generator)
            known = self._valid[generator.key] = _Valid(spec, aliases)
        return known.aliases

    async def _is_current(
        self, generator: ArtifactGenerator, sources: Mapping[str, Found], run: Run
    ) -> bool:
        status = generator.status
        if not (
            _is_settled(generator)
            and status.observed_sources_digest == sources_digest(sources)
            and status.inventory
            and (generator.spec.path_pattern or _is_complete(generator))
        ):
            return False
        for entry in status.inventory:
            if not await self._is_there(generator, entry, run):
                return False
        return True

    async def _is_there(
        self, generator: ArtifactGenerator, entry: GeneratedArtifact, run: Run
    ) -> bool:
        """Object and file, as they were left."""
        key = NamespacedName(generator.metadata.namespace, entry.name)
        external = self._tools.externals.get(key)
        artifact = external.status.artifact if external else None
        path = "/".join((*storage_owner(key), entry.filename))
        if artifact is None or (artifact.digest, artifact.path, artifact.url) != (
            *(entry.digest, path),
            self._storage.url(path),
        ):
            return False
        if await self._tools.built_files.is_whole(key, artifact):
            return True
        problem = f"artifact {path} is gone, or no longer matches digest {entry.digest}"
        run.event("error", "ArtifactVerificationFailed", problem)
        return False

    async def _made(
        self, generator: ArtifactGenerator, sources: Mapping[str, Found], run: Run
    ) -> list[tuple[Output, StoredFile]]:
        """All outputs as files, of the sources that are used."""
        async with (
            self._tools.source_files.downloaded(sources.values()) as downloads,
            self._builds,
        ):
            with Workbench(self._tools.benches) as bench:
                trees = await self._trees(sources, downloads, bench)
                built = await asyncio.to_thread(build, generator, trees, bench)
                self._require_room(generator, sources, built)
                await self._claim(generator, built, run)
                return await self._store(generator, built)

    async def _trees(
        self, sources: Mapping[str, Found], downloads: Downloads, bench: Workbench
    ) -> dict[str, Tree]:
        """One at a time: a source that two aliases stand for is unpacked once."""
        trees: dict[SourceRef, Tree] = {}
        for _, source in sorted(sources.items()):
            if source.ref not in trees:
                trees[source.ref] = await self._tools.source_files.tree(source, downloads, bench)
        return {alias: trees[source.ref] for alias, source in sources.items()}

    def _require_room(
        self, generator: ArtifactGenerator, sources: Mapping[str, Found], built: list[Built]
    ) -> None:
        names = [each.output.name for each in built]
        self._tools.externals.require_free(generator, names)
        for alias, (ref, _) in sources.items():
            mine = ref.key.namespace == generator.metadata.namespace
            if mine and ref.kind == ExternalArtifact.kind and ref.key.name in names:
                raise ValidationFailed(f"spec.sources: @{alias} is one of the artifacts to be made")

    async def _claim(self, generator: ArtifactGenerator, built: list[Built], run: Run) -> None:
        """On record before there is a file: what a dead run leaves belongs to somebody."""
        namespace = generator.metadata.namespace
        names = {each.output.name for each in built}
        if names <= {entry.name for entry in generator.status.inventory} and all(
            self._tools.built_files.is_known(each, namespace) for each in built
        ):
            return  # nothing came out differently
        claims = with_claims(generator, names)
        await run.progress("building artifacts", status={"inventory": claims})

    async def _store(
        self, generator: ArtifactGenerator, built: list[Built]
    ) -> list[tuple[Output, StoredFile]]:
        namespace = generator.metadata.namespace
        return [
            (each.output, await self._tools.built_files.store(each, namespace)) for each in built
        ]

    async def _publish(
        self,
        generator: ArtifactGenerator,
        sources: Mapping[str, Found],
        files: Iterable[tuple[Output, StoredFile]],
    ) -> list[_Published]:
        published = []
        for output, file in files:
            artifact = self._storage.artifact(file, revision_of(output, file, sources))
            artifact |= metadata_of(output, sources)
            is_new = await self._tools.externals.publish(generator, output, artifact)
            entry = entry_of(generator, output.name, file)
            published.append(_Published(entry, is_new))
        return published

    async def _withdraw(self, generator: ArtifactGenerator, keep: set[str]) -> set[str]:
        """Also what no inventory knows, but names this generator as its source."""
        known = {entry.name for entry in generator.status.inventory if is_name(entry.name)}
        orphans = (known | self._tools.externals.owned_by(generator)) - keep
        for name in sorted(orphans):
            await self._tools.externals.withdraw(generator, name)
        return orphans

    async def _done(
        self,
        generator: ArtifactGenerator,
        sources: Mapping[str, Found],
        published: list[_Published],
        orphans: bool,
        run: Run,
    ) -> Done:
        inventory = [each.entry for each in published]
        if orphans or has_recovered(generator) or any(each.is_new for each in published):
            lines = sorted(f"{each.namespace}/{each.name} ({each.digest})" for each in inventory)
            run.event("info", "Succeeded", "\n".join(["external artifacts reconciled:", *lines]))
        await self._collect(generator, inventory)
        status = {
            "inventory": as_status(inventory),
            "observedSourcesDigest": sources_digest(sources),
        }
        return Done(message=_message(len(inventory)), status=status)

    async def _unchanged(self, generator: ArtifactGenerator) -> Done:
        await self._collect(generator, generator.status.inventory)
        return Done(message=_message(len(generator.status.inventory)))

    async def _collect(
        self, generator: ArtifactGenerator, inventory: Iterable[GeneratedArtifact]
    ) -> None:
        for entry in inventory:
            owner = storage_owner(NamespacedName(generator.metadata.namespace, entry.name))
            await self._storage.collect(owner, keep=entry.filename)


def _is_settled(generator: ArtifactGenerator) -> bool:
    """The last run ended well, for this very spec; only the condition says which spec it saw."""
    ready = find(conditions_of(generator), READY)
    seen = ready is not None and ready.observed_generation == generator.metadata.generation
    return seen and ready is not None and ready.status == "True"


def _is_complete(generator: ArtifactGenerator) -> bool:
    return len(generator.status.inventory) == len(generator.spec.artifacts)


def _message(count: int) -> str:
    return f"reconciliation succeeded, generated {count} artifact(s)"
