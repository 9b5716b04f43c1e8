"""A watch cache says what the API server holds, whatever happens to its connection."""

import asyncio
from functools import partial
from operator import eq
from typing import Any

import pytest
from aiohttp import web

from shared.cluster import watch_cache
from shared.cluster.client import Cluster
from shared.cluster.objects import Gvk, Manifest, ObjectRef
from shared.cluster.watch_cache import Selection, WatchCache, watch_kind, watch_manifests
from shared.resources.kustomize import Kustomization
from shared.resources.meta import NamespacedName, UndecodableError
from tests.support.eventually import eventually
from tests.support.gate import Gate
from tests.support.holding import held

CONFIG_MAP = Gvk("v1", "ConfigMap")
HOUR = 3600.0


def config_map(namespace: str, name: str, **data: str) -> Manifest:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def ref(namespace: str, name: str) -> ObjectRef:
    return ObjectRef("v1", "ConfigMap", namespace, name)


async def config_maps(cluster: Cluster, namespace: str) -> WatchCache[Manifest]:
    kind = await cluster.resource_of(CONFIG_MAP)
    selected = Selection(namespace=namespace, fields="metadata.name!=kube-root-ca.crt")
    return watch_manifests(cluster, kind, selected)


def names(cache: WatchCache[Manifest]) -> set[str]:
    return {key.name for key, _ in cache.items()}


async def test_what_is_there_and_what_comes_later_is_seen(cluster: Cluster, namespace: str) -> None:
    await cluster.create(config_map(namespace, "before"))

    async with held((await config_maps(cluster, namespace)).running()) as cache:
        await cache.synced()
        await cluster.create(config_map(namespace, "after"))
        await eventually(lambda: names(cache), lambda seen: seen == {"before", "after"})
        await cluster.delete(ref(namespace, "before"))

        await eventually(lambda: names(cache), lambda seen: seen == {"after"})


async def test_listeners_hear_each_change_once(cluster: Cluster, namespace: str) -> None:
    heard: list[tuple[str | None, str | None]] = []

    def value(manifest: Manifest | None) -> str | None:
        return None if manifest is None else manifest["data"]["k"]

    cache = await config_maps(cluster, namespace)
    cache.on_change(lambda before, after: heard.append((value(before), value(after))))
    async with held(cache.running()):
        await cache.synced()
        await cluster.create(config_map(namespace, "c", k="1"))
        changed = await cluster.merge_patch(ref(namespace, "c"), {"data": {"k": "2"}})
        cache.observe(changed)
        await eventually(lambda: len(heard) >= 2)
        await cluster.delete(ref(namespace, "c"))
        await eventually(lambda: len(heard) >= 3)

    assert heard in ([(None, "1"), ("1", "2"), ("2", None)], [(None, "2"), ("2", None)])


async def test_a_deleted_object_does_not_come_back_by_an_old_answer(
    cluster: Cluster, namespace: str
) -> None:
    async with held((await config_maps(cluster, namespace)).running()) as cache:
        created = await cluster.create(config_map(namespace, "c"))
        await eventually(lambda: names(cache) == {"c"})
        await cluster.delete(ref(namespace, "c"))
        await eventually(lambda: names(cache) == set())

        cache.observe(created)

        assert names(cache) == set()


async def test_a_cut_watch_is_resumed_without_listing_again(
    gate: Gate, gated: Cluster, namespace: str
) -> None:
    async with held((await config_maps(gated, namespace)).running()) as cache:
        await cache.synced()
        await eventually(lambda: gate.open_streams == 1)
        lists = gate.count(f"GET /api/v1/namespaces/{namespace}/configmaps?fieldSelector")

        gate.cut_streams()
        await gated.create(config_map(namespace, "during"))

        await eventually(lambda: names(cache) == {"during"})
        again = gate.count(f"GET /api/v1/namespaces/{namespace}/configmaps?fieldSelector")
        assert again - lists <= 2  # watches only: their queries start alike
        assert sum("limit=" in line for line in gate.seen) == 1


async def test_a_watch_that_ends_early_after_an_outage_does_not_wait_as_long_as_the_outage_taught(
    gate: Gate, gated: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_cache, "_growing_delays", lambda: iter([0.0] * 4 + [HOUR]))
    async with held((await config_maps(gated, namespace)).running()) as cache:
        await cache.synced()
        await eventually(lambda: gate.open_streams == 1)
        gate.refuse(f"GET /api/v1/namespaces/{namespace}/configmaps?", 503, times=3, headers={})
        gate.cut_streams()
        await eventually(lambda: asked(gate, namespace) == 5 and gate.open_streams == 1)

        gate.end_streams()
        await gated.create(config_map(namespace, "during"))

        await eventually(lambda: names(cache) == {"during"})


async def test_a_watch_that_stood_forgets_what_an_outage_taught(
    gate: Gate, gated: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_cache, "_growing_delays", lambda: iter([0.0, HOUR]))
    monkeypatch.setattr(watch_cache, "STEADY", 0.0)
    async with held((await config_maps(gated, namespace)).running()) as cache:
        for number in range(1, 6):
            await gated.create(config_map(namespace, f"after-{number}"))
            await eventually(lambda: len(cache), partial(eq, number))
            gate.cut_streams()


async def test_a_watch_that_never_stood_is_asked_for_ever_more_rarely(
    gate: Gate, gated: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the server took to refuse it."""
    monkeypatch.setattr(watch_cache, "_growing_delays", lambda: iter([0.0, 0.0, HOUR]))
    monkeypatch.setattr(watch_cache, "STEADY", 0.0)
    cache = await config_maps(gated, namespace)
    gate.rules.append(
        lambda request: web.Response(status=503) if "watch=1" in request.path_qs else None
    )
    async with held(cache.running()):
        await eventually(lambda: asked(gate, namespace) == 3)
        await asyncio.sleep(0.2)  # the fact waited for is a silence

        assert asked(gate, namespace) == 3


def asked(gate: Gate, namespace: str) -> int:
    """How often a watch was."""
    path = f"GET /api/v1/namespaces/{namespace}/configmaps?"
    return sum(line.startswith(path) and "watch=1" in line for line in gate.seen)


async def test_what_vanished_while_the_server_forgot_us_is_told_as_deleted(
    gate: Gate, gated: Cluster, cluster: Cluster, namespace: str
) -> None:
    gone: list[str] = []
    await cluster.create(config_map(namespace, "old"))
    cache = await config_maps(gated, namespace)
    cache.on_change(
        lambda before, after: (
            gone.append(before["metadata"]["name"]) if before and not after else None
        )
    )
    async with held(cache.running()):
        await cache.synced()
        await eventually(lambda: gate.open_streams == 1)

        gate.refuse(f"GET /api/v1/namespaces/{namespace}/configmaps?", 410, times=1, headers={})
        await cluster.delete(ref(namespace, "old"))
        gate.cut_streams()

        await eventually(lambda: gone == ["old"])


async def test_a_silent_watch_is_taken_for_dead(
    gate: Gate, gated: Cluster, cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_cache, "SILENCE_LIMIT", 0.5)
    async with held((await config_maps(gated, namespace)).running()) as cache:
        await cache.synced()
        await eventually(lambda: gate.open_streams == 1)
        gate.silence_streams()
        await cluster.create(config_map(namespace, "unheard"))
        gate.speak_again()

        await eventually(lambda: names(cache) == {"unheard"})


async def test_one_broken_object_holds_no_other_up(cluster: Cluster, namespace: str) -> None:
    broken: list[UndecodableError] = []
    cache = watch_kind(cluster, Kustomization, namespace)
    cache.on_undecodable(broken.append)
    good = a_kustomization(namespace, "good")
    bad: dict[str, Any] = {
        **a_kustomization(namespace, "bad"),
        "apiVersion": Kustomization.api_version,
    }

    async with held(cache.running()):
        await cluster.create(good)
        await cluster.create(bad)
        await eventually(lambda: cache.get(NamespacedName(namespace, "good")))

    stored = {**bad, "spec": {"interval": 5}}
    with pytest.raises(UndecodableError, match=f"{namespace}/bad"):
        Kustomization.from_object(stored)


def a_kustomization(namespace: str, name: str) -> Manifest:
    return {
        "apiVersion": Kustomization.api_version,
        "kind": "Kustomization",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "interval": "10m",
            "prune": True,
            "sourceRef": {"kind": "GitRepository", "name": "shop"},
        },
    }
