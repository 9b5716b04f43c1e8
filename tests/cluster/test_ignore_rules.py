"""Ignored fields are left to whoever changes them in the cluster; everything else stays ours."""

from collections.abc import Callable
from typing import Any

from shared.cluster.ignoring import rules_of
from shared.cluster.objects import Manifest, ref_of
from shared.resources.transforms import IgnoreRule, Selector
from tests.cluster.conftest import Keeper
from tests.support.eventually import eventually

Build = Callable[..., Manifest]


def ignoring(*paths: str, **target: str) -> Any:
    return rules_of((IgnoreRule(paths=paths, target=Selector(**target) if target else None),))


REPLICAS = ignoring("/spec/replicas", kind="Deploy.*")


async def scale(keeper: Keeper, web: Manifest, replicas: int, manager: str = "scaler") -> None:
    patch = {"spec": {"replicas": replicas}}
    await keeper.cluster.merge_patch(ref_of(web), patch, manager=manager)


async def spec(keeper: Keeper, manifest: Manifest) -> Any:
    found = await keeper.read(manifest)
    assert found is not None
    return found["spec"]


async def test_a_field_that_another_changes_stays_as_he_wants_it(
    keeper: Keeper, deployment: Build
) -> None:
    web = deployment("web", replicas=1)
    await keeper.apply(web, ignoring=REPLICAS)
    await scale(keeper, web, 5)
    await eventually(lambda: keeper.drifts)

    corrected = await keeper.apply(web, ignoring=REPLICAS)
    keeper.drifts.clear()
    await scale(keeper, web, 7)
    await keeper.apply(deployment("web", image="web:2"), ignoring=REPLICAS)

    assert corrected.different == []
    assert keeper.drifts == []  # it is his alone now
    now = await spec(keeper, web)
    assert now["replicas"] == 7
    assert now["template"]["spec"]["containers"][0]["image"] == "web:2"


async def test_a_field_that_nobody_else_owns_keeps_its_live_value(
    keeper: Keeper, deployment: Build
) -> None:
    await keeper.apply(deployment("web", replicas=2), ignoring=REPLICAS)

    await keeper.apply(deployment("web", replicas=9), ignoring=REPLICAS)

    assert (await spec(keeper, deployment("web")))["replicas"] == 2


async def test_without_the_rule_it_is_put_right_again(keeper: Keeper, deployment: Build) -> None:
    web = deployment("web", replicas=1)
    await keeper.apply(web, ignoring=REPLICAS)
    await scale(keeper, web, 5)
    await keeper.apply(web, ignoring=REPLICAS)

    await keeper.apply(web)

    assert (await spec(keeper, web))["replicas"] == 1


async def test_what_kubectl_set_is_left_too(keeper: Keeper, deployment: Build) -> None:
    web = deployment("web", replicas=1)
    bare = deployment("bare")
    del bare["spec"]["replicas"]
    for each in (web, bare):
        await keeper.apply(each, ignoring=REPLICAS)
        await scale(keeper, each, 5, manager="kubectl-edit")

    await keeper.apply(deployment("web", image="web:2"), ignoring=REPLICAS)
    bare["spec"]["minReadySeconds"] = 3
    await keeper.apply(bare, ignoring=REPLICAS)

    assert (await spec(keeper, web))["replicas"] == 5
    assert (await spec(keeper, bare))["replicas"] == 5


async def test_an_element_is_found_by_its_key_where_another_was_put_before_it(
    keeper: Keeper, deployment: Build
) -> None:
    image = ignoring("/spec/template/spec/containers/0/image")
    web = deployment("web", image="web:1")
    await keeper.apply(web, ignoring=image)
    containers = "/spec/template/spec/containers"
    sidecar = {"name": "sidecar", "image": "proxy:1"}
    injected: list[Manifest] = [
        {"op": "add", "path": f"{containers}/0", "value": sidecar},
        {"op": "replace", "path": f"{containers}/1/image", "value": "web:9"},
    ]
    await keeper.cluster.json_patch(ref_of(web), injected, manager="injector")

    await keeper.apply(deployment("web", image="web:2", replicas=2), ignoring=image)

    now = (await spec(keeper, web))["template"]["spec"]["containers"]
    assert {each["name"]: each["image"] for each in now} == {"sidecar": "proxy:1", "web": "web:9"}


async def test_an_element_of_ours_keeps_its_own_live_value(
    keeper: Keeper, deployment: Build
) -> None:
    image = ignoring("/spec/template/spec/containers/0/image")
    web = deployment("web", image="web:1")
    await keeper.apply(web, ignoring=image)
    sidecar = {"name": "sidecar", "image": "proxy:1"}
    place = "/spec/template/spec/containers/0"
    injected: list[Manifest] = [{"op": "add", "path": place, "value": sidecar}]
    await keeper.cluster.json_patch(ref_of(web), injected, manager="injector")

    await keeper.apply(deployment("web", image="web:2"), ignoring=image)

    now = (await spec(keeper, web))["template"]["spec"]["containers"]
    assert {each["name"]: each["image"] for each in now} == {"sidecar": "proxy:1", "web": "web:1"}


async def test_a_whole_object_is_made_and_then_left(keeper: Keeper, config_map: Build) -> None:
    whole = ignoring("")
    first = await keeper.apply(config_map("a", key="1"), ignoring=whole)

    second = await keeper.apply(config_map("a", key="2"), ignoring=whole)

    assert [each.action for each in (*first, *second)] == ["created", "unchanged"]
    found = await keeper.read(config_map("a"))
    assert found is not None
    assert found["data"] == {"key": "1"}


async def test_a_map_of_several_owners_is_left_piece_by_piece(
    keeper: Keeper, config_map: Build
) -> None:
    ours = config_map("a", mine="1", shared="1")
    await keeper.apply(ours, ignoring=ignoring("/data"))
    patch = {"data": {"shared": "2", "theirs": "2"}}
    await keeper.cluster.merge_patch(ref_of(ours), patch, manager="somebody")

    await keeper.apply(
        config_map("a", mine="3", shared="3", annotations={"note": "3"}), ignoring=ignoring("/data")
    )

    found = await keeper.read(ours)
    assert found is not None
    assert found["data"] == {"mine": "1", "shared": "2", "theirs": "2"}
    assert found["metadata"]["annotations"] == {"note": "3"}


async def test_ignored_labels_do_not_make_an_object_nobodys(
    keeper: Keeper, config_map: Build
) -> None:
    labels = ignoring("/metadata/labels")
    await keeper.apply(config_map("a", key="1"), ignoring=labels)
    owner = "kustomize.toolkit.fluxcd.io/name"
    patch = {"metadata": {"labels": {"team": "x", owner: "somebodys"}}}
    await keeper.cluster.merge_patch(ref_of(config_map("a")), patch, manager="somebody")

    await keeper.apply(config_map("a", key="2"), ignoring=labels)

    found = await keeper.read(config_map("a"))
    assert found is not None
    assert found["metadata"]["labels"]["team"] == "x"
    assert found["metadata"]["labels"][owner] == keeper.owner.name
    assert found["data"] == {"key": "2"}
