"""An object that moves to another Kustomization is not deleted and made again on the way."""

from typing import Any

import pytest

from tests.kustomize.conftest import World, config_map
from tests.support.eventually import eventually

OWNER = "kustomize.toolkit.fluxcd.io/name"


async def owner(world: World, name: str) -> str:
    labels: dict[str, str] = (await world.read(name))["metadata"]["labels"]
    return labels[OWNER]


@pytest.mark.parametrize(("source", "target"), [("a", "b"), ("b", "a")])
async def test_an_object_that_moves_keeps_its_identity(
    world: World, source: str, target: str
) -> None:
    stays = {f"{name}/own.yaml": config_map(f"own-{name}") for name in ("a", "b")}
    first = await world.publish({**stays, f"{source}/moves.yaml": config_map("moves")})
    for name in ("a", "b"):
        await world.create(name, path=f"./{name}", targetNamespace=world.namespace)
        await world.applied(name, first)
    before = (await world.read("moves"))["metadata"]["uid"]

    second = await world.publish({**stays, f"{target}/moves.yaml": config_map("moves")})
    for name in ("a", "b"):
        await world.applied(name, second)

    assert (await world.read("moves"))["metadata"]["uid"] == before
    assert await owner(world, "moves") == target


async def test_the_old_owner_lets_go_of_it_in_the_end(world: World) -> None:
    stays = {f"{name}/own.yaml": config_map(f"own-{name}") for name in ("a", "b")}
    first = await world.publish({**stays, "a/moves.yaml": config_map("moves")})
    for name in ("a", "b"):
        await world.create(name, path=f"./{name}", targetNamespace=world.namespace, interval="1s")
        await world.applied(name, first)

    await world.publish({**stays, "b/moves.yaml": config_map("moves")})

    def is_one(status: dict[str, Any]) -> bool:
        return len(status["inventory"]["entries"]) == 1

    await eventually(lambda: world.status("a"), is_one)
    assert len((await world.status("b"))["inventory"]["entries"]) == 2


async def test_a_kustomization_that_gave_everything_away_may_be_empty(world: World) -> None:
    own = {"b/own.yaml": config_map("b")}
    first = await world.publish({"a/moves.yaml": config_map("moves"), **own})
    for name in ("a", "b"):
        await world.create(name, path=f"./{name}", targetNamespace=world.namespace)
        await world.applied(name, first)

    second = await world.publish(
        {
            "a/kustomization.yaml": "resources: []\n",
            "b/moves.yaml": config_map("moves"),
            **own,
        }
    )

    await world.applied("a", second)
    await world.applied("b", second)
    assert await world.names_of() == {"b", "moves"}


async def test_what_the_new_owner_drops_again_is_deleted(world: World) -> None:
    def files(place: str | None) -> dict[str, str]:
        stays = {f"{name}/own.yaml": config_map(f"own-{name}") for name in ("a", "b")}
        return stays | ({f"{place}/moves.yaml": config_map("moves")} if place else {})

    for name in ("a", "b"):
        await world.create(name, path=f"./{name}", targetNamespace=world.namespace)
    for place in ("a", "b", None):
        revision = await world.publish(files(place))
        for name in ("a", "b"):
            await world.applied(name, revision)

    assert await world.names_of() == {"own-a", "own-b"}


async def test_a_renamed_kustomization_hands_its_objects_over(world: World) -> None:
    revision = await world.publish({"a.yaml": config_map("a")})
    await world.create("old", targetNamespace=world.namespace)
    await world.applied("old", revision)
    before = (await world.read("a"))["metadata"]["uid"]

    await world.create("new", targetNamespace=world.namespace)
    await world.delete("old")
    await world.gone("old")
    await world.applied("new", revision)

    assert (await world.read("a"))["metadata"]["uid"] == before
    await eventually(lambda: owner(world, "a"), lambda name: name == "new")
