from typing import Any

import orjson

from shared.cluster.fields import ManagedFields, digest, merged, paths
from shared.cluster.live import Reader, metadata_of
from shared.cluster.objects import Manifest
from shared.cluster.ownership import KUSTOMIZE_GROUP, Controls, Ownership
from shared.cluster.takeover import takeover_patch
from shared.resources.meta import NamespacedName

READER = Reader(Ownership(KUSTOMIZE_GROUP), "kustomize-controller")
IMAGE = {
    "f:spec": {
        "f:replicas": {},
        "f:containers": {'k:{"name":"web"}': {".": {}, "f:image": {}}},
        "f:finalizers": {'v:"hold"': {}},
    }
}


def test_the_order_of_keys_does_not_matter() -> None:
    assert digest({"a": 1, "b": 2}) == digest(orjson.loads('{"b": 2, "a": 1}'))
    assert digest({"a": 1}) != digest({"a": 2})


def test_fields_are_told_as_people_write_them() -> None:
    assert paths(ManagedFields(fields_v1=IMAGE)) == [
        "spec.replicas",
        "spec.containers[name=web].image",
        'spec.finalizers["hold"]',
    ]
    assert len(paths(ManagedFields(fields_v1=IMAGE), limit=1)) == 1


def test_merging_is_a_union() -> None:
    left: dict[str, Any] = {"f:a": {"f:x": {}}, "f:b": {}}

    assert merged(left, {"f:a": {"f:y": {}}}) == {"f:a": {"f:x": {}, "f:y": {}}, "f:b": {}}


def entry(manager: str, fields: Any, operation: str = "Apply", **more: str) -> dict[str, Any]:
    return {
        "manager": manager,
        "operation": operation,
        "apiVersion": "v1",
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
        **more,
    }


def an_object(*entries: dict[str, Any], **annotations: str) -> Manifest:
    metadata = {
        "name": "web",
        "namespace": "shop",
        "resourceVersion": "7",
        "annotations": annotations,
        "managedFields": list(entries),
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def test_what_hands_had_becomes_ours_and_the_rest_stays() -> None:
    theirs = entry("injector", {"f:theirs": {}}, "Update")
    status = entry("kubectl-x", {"f:status": {}}, "Update", subresource="status")
    manifest = an_object(
        entry("kustomize-controller", {"f:a": {}}),
        entry("kubectl-client-side-apply", {"f:b": {}}, "Update"),
        entry("before-first-apply", {"f:c": {}}, "Update"),
        theirs,
        status,
    )

    patch = takeover_patch(manifest, READER)

    assert patch["resourceVersion"] == "7"
    by_manager = {each["manager"]: each for each in patch["managedFields"]}
    assert set(by_manager) == {"kustomize-controller", "injector", "kubectl-x"}
    assert by_manager["kustomize-controller"]["operation"] == "Apply"
    assert by_manager["kustomize-controller"]["fieldsV1"] == {"f:a": {}, "f:b": {}, "f:c": {}}
    assert by_manager["injector"] == theirs
    assert by_manager["kubectl-x"] == status


def test_marks_of_older_tools_are_taken_off() -> None:
    manifest = an_object(**{"kustomize.toolkit.fluxcd.io/checksum": "1", "kept": "1"})

    patch = takeover_patch(manifest, READER)

    assert patch["annotations"] == {"kustomize.toolkit.fluxcd.io/checksum": None}
    assert "managedFields" not in patch


def test_owner_author_and_control_keys_are_read_from_metadata() -> None:
    labels = {f"{KUSTOMIZE_GROUP}/name": "apps", f"{KUSTOMIZE_GROUP}/namespace": "shop"}
    manifest = an_object(
        entry("kustomize-controller", {"f:a": {}}),
        entry("kubelet", {"f:status": {}}, "Update", subresource="status"),
        entry("kubectl-edit", {"f:data": {"f:key": {}}}, "Update"),
        **{f"{KUSTOMIZE_GROUP}/SSA": "ignored key", f"{KUSTOMIZE_GROUP}/ssa": "MERGE"},
    )
    manifest["metadata"]["labels"] = labels | {f"{KUSTOMIZE_GROUP}/prune": "Disabled"}

    live = READER.live(metadata_of(manifest))

    assert live.owner == NamespacedName("shop", "apps")
    assert str(live.author) == "kubectl-edit (data.key)"
    assert live.controls == Controls(ssa="merge", kept=True)
    assert live.predecessors == {"kubectl-edit"}
