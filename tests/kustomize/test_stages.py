"""What others are defined by, or live in, is in place before them."""

import yaml

from shared.cluster.objects import Gvk, Manifest, ObjectRef
from tests.kustomize.conftest import World, config_map


def definition(group: str) -> Manifest:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"baskets.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": "Basket", "plural": "baskets", "singular": "basket"},
            "versions": [version],
        },
    }


async def test_a_definition_and_its_object_come_in_one_commit(world: World) -> None:
    group = f"{world.namespace}.example"
    basket = {
        "apiVersion": f"{group}/v1",
        "kind": "Basket",
        "metadata": {"name": "full"},
        "spec": {"apples": 3},
    }
    files = {"a-basket.yaml": yaml.safe_dump(basket), "crd.yaml": yaml.safe_dump(definition(group))}
    revision = await world.publish(files)

    await world.create("apps", targetNamespace=world.namespace, wait=True)
    await world.applied("apps", revision)

    applied = await world.read("full", "Basket", f"{group}/v1")
    assert applied["spec"] == {"apples": 3}
    assert world.recorder.of("apps", "ReconciliationFailed") == []


async def test_a_definition_that_is_gone_takes_its_objects_from_the_inventory(
    world: World,
) -> None:
    group = f"{world.namespace}.example"
    basket = {"apiVersion": f"{group}/v1", "kind": "Basket", "metadata": {"name": "full"}}
    crd = {"crd.yaml": yaml.safe_dump(definition(group)), "map.yaml": config_map("a")}
    first = await world.publish(crd | {"basket.yaml": yaml.safe_dump(basket)})
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", first)

    second = await world.publish({"map.yaml": config_map("a")})
    status = await world.applied("apps", second)

    assert [entry["id"] for entry in status["inventory"]["entries"]] == [
        f"{world.namespace}_a__ConfigMap"
    ]


async def test_a_namespace_comes_before_what_lives_in_it(world: World) -> None:
    name = f"{world.namespace}-made"
    lives = yaml.safe_load(config_map("a"))
    lives["metadata"]["namespace"] = name
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    revision = await world.publish({"a.yaml": yaml.safe_dump_all([lives, made])})

    await world.create("apps")
    await world.applied("apps", revision)

    assert await world.cluster.read(ObjectRef("v1", "ConfigMap", name, "a"))
    maps = await world.cluster.list(Gvk("v1", "ConfigMap"), name)
    assert "a" in {each["metadata"]["name"] for each in maps}
