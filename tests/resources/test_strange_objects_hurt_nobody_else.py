"""Stored objects may be older or newer than we are, or damaged: each is read, or refused alone."""

from typing import Any

import msgspec
import pytest

from shared.resources.helm import HelmRelease
from shared.resources.kustomize import Kustomization
from shared.resources.meta import NamespacedName, UndecodableError
from shared.resources.notification import Alert, Receiver
from shared.resources.registry import KINDS, AnyResource, kind_of

SPEC = {"sourceRef": {"kind": "GitRepository", "name": "shop"}, "interval": "1m", "prune": True}
METADATA = {"name": "shop", "namespace": "team-a", "uid": "u-1", "generation": 3}
DEEP = b'{"metadata": {"name": "shop"}, "spec": {"values": ' + b'{"a":' * 5000 + b"1" + b"}" * 5002


def kustomization(**parts: Any) -> bytes:
    return msgspec.json.encode({"metadata": METADATA, "spec": SPEC, **parts})


def test_an_object_reads_as_it_was_written() -> None:
    shop = Kustomization.from_json(kustomization())
    assert shop.key == NamespacedName("team-a", "shop")
    assert str(shop.key) == "team-a/shop"
    assert shop.metadata.generation == 3
    assert shop.spec.source_ref.name == "shop"
    assert shop.status.observed_generation == -1


@pytest.mark.parametrize(
    "parts",
    [
        {"spec": {**SPEC, "patches": None, "images": None, "postBuild": None, "path": None}},
        {"spec": {**SPEC, "patches": [None], "postBuild": {"substitute": None}}},
        {"metadata": {**METADATA, "labels": None, "finalizers": None, "annotations": None}},
        {"metadata": {**METADATA, "annotations": {"a": None}}},
        {"status": {"conditions": None, "history": None, "inventory": {"entries": None}}},
        {"status": {"observedGeneration": None}},
        {"status": None},
    ],
)
def test_null_means_absent(parts: dict[str, Any]) -> None:
    shop = Kustomization.from_json(kustomization(**parts))
    assert shop.spec.patches == ()
    assert shop.status.conditions == ()
    assert shop.metadata.annotations == {}


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        (Alert, {"providerRef": {"name": "chat"}, "eventSources": None}),
        (Receiver, {"type": "generic", "resources": None}),
    ],
)
def test_a_list_that_the_schema_wants_may_be_null_in_an_old_object(
    kind: type[AnyResource], spec: dict[str, Any]
) -> None:
    read = kind.from_object({"metadata": METADATA, "spec": spec})
    assert read.key == NamespacedName("team-a", "shop")


def test_fields_of_a_newer_schema_pass_by() -> None:
    newer = {**SPEC, "cascade": {"deep": [1]}, "deletionPolicy": "Archive"}
    shop = Kustomization.from_json(kustomization(spec=newer, extra=1))
    assert shop.spec.deletion_policy == "Archive"


def test_a_chart_whose_tests_never_ran_differs_from_one_without_tests() -> None:
    required = dict.fromkeys(
        ["digest", "name", "namespace", "status", "chartName", "chartVersion", "configDigest"], "x"
    ) | {"version": 1, "firstDeployed": "2026-01-01T00:00:00Z", "lastDeployed": "2026-01-01"}
    history = [{**required}, {**required, "testHooks": {}}]
    release = HelmRelease.from_object(
        {"metadata": METADATA, "spec": {"interval": "1m"}, "status": {"history": history}}
    )
    assert [snapshot.test_hooks for snapshot in release.status.history] == [None, {}]


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        (msgspec.json.encode({"metadata": METADATA}), "team-a/shop.*`spec`"),
        (kustomization(spec={**SPEC, "interval": 60}), "team-a/shop.*interval"),
        (kustomization(spec={**SPEC, "prune": None}), "team-a/shop.*`prune`"),
        (kustomization(spec=[]), "team-a/shop.*spec"),
        (kustomization(metadata=None), "`metadata`"),
        (kustomization(metadata={"name": 1}), "name"),
        (b"[]", "Expected `object`"),
        (b"null", "Expected `object`"),
        (b'{"metadata', "truncated"),
        (b"\xff\xfe", "Kustomization"),
        (b'{"metadata": {"name": "\xff"}}', "utf-8"),
        (b'{"metadata": {"name": "shop", "generation": ' + b"9" * 5000 + b"}}", "out of range"),
        (b"[" * 100_000, "recursion"),
    ],
)
def test_a_damaged_object_is_refused_by_name(document: bytes, complaint: str) -> None:
    with pytest.raises(UndecodableError, match=complaint):
        Kustomization.from_json(document)


def test_a_refused_object_still_says_who_it_is() -> None:
    with pytest.raises(UndecodableError) as refusal:
        Kustomization.from_json(kustomization(spec={}))
    assert refusal.value.metadata is not None
    assert refusal.value.metadata.uid == "u-1"


def test_bottomless_values_are_refused() -> None:
    with pytest.raises(UndecodableError):
        HelmRelease.from_json(DEEP)


def test_five_thousand_conditions_are_read() -> None:
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "Succeeded",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    shop = Kustomization.from_json(kustomization(status={"conditions": [condition] * 5000}))
    assert len(shop.status.conditions) == 5000


def test_what_is_absent_is_not_written() -> None:
    shop = Kustomization.from_json(kustomization())
    assert msgspec.to_builtins(shop.spec) == SPEC


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_a_reference_leads_to_the_model(kind: type[AnyResource]) -> None:
    group = kind.api_version.partition("/")[0]
    assert kind_of(kind.kind) is kind
    assert kind_of(kind.kind, kind.api_version) is kind
    assert kind_of(kind.kind, f"{group}/v1beta9") is kind
    assert kind_of(kind.kind, "example.com/v1") is None
    assert kind_of("Deployment", "apps/v1") is None
