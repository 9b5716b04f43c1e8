"""Takes fields over from those who applied by hand before: people's tools, and our older selves.

What such a manager owns becomes ours, in one write to `managedFields` that changes nothing else;
the apply after it then removes whatever the source does not have. Without this, a field that
somebody added with kubectl would stay in the cluster for ever.
"""

from functools import reduce
from typing import Any

import msgspec

from shared.cluster.client import Cluster
from shared.cluster.fields import ManagedFields, entry_of, merged
from shared.cluster.live import Reader, metadata_of
from shared.cluster.normalize import LEGACY_ANNOTATIONS, LEGACY_LABELS
from shared.cluster.objects import Manifest, ref_of


async def take_over(cluster: Cluster, manifest: Manifest, reader: Reader) -> None:
    """`manifest` is the object as it is now; raises Conflict when it has changed since."""
    patch = takeover_patch(manifest, reader)
    await cluster.merge_patch(ref_of(manifest), {"metadata": patch}, manager=reader.manager)


def takeover_patch(manifest: Manifest, reader: Reader) -> dict[str, Any]:
    metadata = metadata_of(manifest)
    patch: dict[str, Any] = {"resourceVersion": metadata.resource_version}
    predecessors = reader.predecessors(metadata.managed_fields)
    if predecessors:
        patch["managedFields"] = _taken(metadata.managed_fields, predecessors, reader.manager)
    for field, legacy in (("annotations", LEGACY_ANNOTATIONS), ("labels", LEGACY_LABELS)):
        held = manifest["metadata"].get(field) or {}
        if removed := {name: None for name in legacy if name in held}:
            patch[field] = removed
    return patch


def _taken(
    entries: list[ManagedFields], predecessors: list[ManagedFields], manager: str
) -> list[dict[str, Any]]:
    ours = entry_of(entries, manager)
    sources = [ours, *predecessors] if ours else predecessors
    union = msgspec.structs.replace(
        sources[0],
        manager=manager,
        operation="Apply",
        fields_v1=reduce(merged, (each.fields_v1 for each in sources), {}),
    )
    others = [each for each in entries if each not in sources]
    return [{"fieldsType": "FieldsV1", **_json(each)} for each in (*others, union)]


def _json(entry: ManagedFields) -> dict[str, Any]:
    said: dict[str, Any] = msgspec.to_builtins(entry)
    return {name: value for name, value in said.items() if value != ""}
