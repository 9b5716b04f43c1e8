"""What one Kustomization wants in the cluster, and what that was made of."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from services.kustomize.post_build import substituted
from shared.cluster.inventory import Inventory
from shared.cluster.objects import Manifest
from shared.cluster.order import in_order
from shared.cluster.ownership import KUSTOMIZE_GROUP, Ownership
from shared.cluster.wanted import NotAnObject, Wanted, all_wanted
from shared.engine_messages import Built
from shared.outcomes import Failed
from shared.resources.kustomize import Kustomization
from shared.resources.transforms import CommonMetadata

OWNERSHIP = Ownership(KUSTOMIZE_GROUP)
# Reading more text than this would hold up everybody else on the event loop.
OFF_LOOP_ABOVE = 100_000


DigestOf: TypeAlias = Callable[[list[Manifest]], Awaitable[str]]


@dataclass(frozen=True)
class Values:
    """What is put in for variables; without `strict`, nothing where a variable is not set."""

    variables: Mapping[str, str] | None
    strict: bool = True


@dataclass(frozen=True)
class Plan:
    """`digest` is of the objects before owner labels and common metadata; the history shows it."""

    tree: str
    inputs: bytes
    trace: tuple[str, ...]
    trace_digest: str
    digest: str
    wanted: tuple[Wanted, ...]
    inventory: Inventory


async def made_of(
    built: Built,
    tree: str,
    inputs: bytes,
    kustomization: Kustomization,
    values: Values,
    digest_of: DigestOf,
) -> Plan:
    """Raises PostBuildFailed, or NotAnObject with the reason of a failed build."""
    manifests = await _with(values, built)
    is_changed = any(each.text is not None for each in built.objects)
    try:
        wanted = all_wanted(
            _finished(manifests, kustomization.spec.common_metadata), OWNERSHIP, kustomization.key
        )
    except NotAnObject as error:
        raise Failed(str(error), reason="BuildFailed") from error
    ordered = in_order(wanted)
    return Plan(
        tree=tree,
        inputs=inputs,
        trace=built.trace,
        trace_digest=built.trace_digest,
        digest=await digest_of(manifests) if is_changed else built.digest,
        wanted=tuple(ordered),
        inventory=Inventory.of(each.ref for each in ordered),
    )


async def _with(values: Values, built: Built) -> list[Manifest]:
    text_length = sum(len(each.text or "") for each in built.objects)
    variables = values.variables or {}
    if text_length > OFF_LOOP_ABOVE:
        return await asyncio.to_thread(substituted, built.objects, variables, strict=values.strict)
    return substituted(built.objects, variables, strict=values.strict)


def _finished(manifests: Iterable[Manifest], common: CommonMetadata | None) -> Iterator[Manifest]:
    for manifest in _expanded(manifests):
        _refuse_encrypted(manifest)
        yield _with_metadata(manifest, common) if common else manifest


def _expanded(manifests: Iterable[Manifest]) -> Iterator[Manifest]:
    for manifest in manifests:
        if manifest.get("apiVersion") == "v1" and manifest.get("kind") == "List":
            yield from manifest.get("items") or ()
        else:
            yield manifest


def _refuse_encrypted(manifest: Manifest) -> None:
    if manifest.get("kind") == "Secret" and "sops" in manifest:
        name = (manifest.get("metadata") or {}).get("name", "")
        raise NotAnObject(
            f"Secret/{name} is SOPS encrypted, and cannot be applied as it is; configuring "
            f"decryption is not served by this version"
        )


def _with_metadata(manifest: Manifest, common: CommonMetadata) -> Manifest:
    metadata: dict[str, Any] = dict(manifest.get("metadata") or {})
    for field, added in (("labels", common.labels), ("annotations", common.annotations)):
        if added:
            metadata[field] = {**(metadata.get(field) or {}), **added}
    return {**manifest, "metadata": metadata}
