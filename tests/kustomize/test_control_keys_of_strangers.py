"""Control keys count on live objects that are not ours yet, applied alone or among others."""

import pytest
import yaml

from shared.cluster.objects import Manifest
from tests.kustomize.conftest import World, config_map

GROUP = "kustomize.toolkit.fluxcd.io"
OTHERS = {"alone": [], "among others": ["b", "c"]}


async def stranger(world: World, key: str, value: str, holder: str = "annotations") -> None:
    manifest: Manifest = yaml.safe_load(config_map("a", key="theirs", other="theirs"))
    manifest["metadata"] |= {"namespace": world.namespace, holder: {f"{GROUP}/{key}": value}}
    await world.cluster.apply(manifest, manager="kubectl")


async def applied(world: World, others: list[str]) -> Manifest:
    files = {f"{name}.yaml": config_map(name, key="ours") for name in ["a", *others]}
    revision = await world.publish(files)
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", revision)
    return await world.read("a")


@pytest.mark.parametrize("others", OTHERS.values(), ids=OTHERS.keys())
@pytest.mark.parametrize(
    ("key", "value"),
    [("reconcile", "Disabled"), ("ssa", "Ignore"), ("ssa", "IfNotPresent")],
)
async def test_an_object_that_forbids_it_is_not_touched(
    world: World, key: str, value: str, others: list[str]
) -> None:
    await stranger(world, key, value)

    found = await applied(world, others)

    assert found["data"] == {"key": "theirs", "other": "theirs"}
    assert await world.names_of() == set(others)


@pytest.mark.parametrize("others", OTHERS.values(), ids=OTHERS.keys())
async def test_an_object_that_asks_to_be_merged_keeps_what_it_has(
    world: World, others: list[str]
) -> None:
    await stranger(world, "ssa", "merge", "labels")

    found = await applied(world, others)

    assert found["data"] == {"key": "ours", "other": "theirs"}


async def test_a_key_that_is_taken_off_is_noticed_by_the_next_run(world: World) -> None:
    await stranger(world, "reconcile", "disabled")
    await applied(world, [])
    ref = world.ref("a")
    off = {"metadata": {"annotations": {f"{GROUP}/reconcile": None}}}
    await world.cluster.merge_patch(ref, off, manager="somebody")

    revision = await world.publish({"a.yaml": config_map("a", key="ours")})
    await world.applied("apps", revision)

    assert (await world.read("a"))["data"] == {"key": "ours"}
