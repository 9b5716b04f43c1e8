"""Objects that move keep their identity however many work on the same commit."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.engine import Engine
from tests.kustomize.conftest import World, config_map, serving, tidy
from tests.support.eventually import eventually

PEERS = 30


@pytest.fixture
async def busy(idle_world: World, engine: Engine) -> AsyncIterator[World]:
    """A service that has one run at a time: while one prunes, no other can plan."""
    async with serving(idle_world, engine, concurrent=1):
        yield idle_world
        await tidy(idle_world)


def name(place: int) -> str:
    return f"p{place % PEERS:02}"


def files(moved_by: int) -> dict[str, str]:
    """Each has one of its own, and one that moves to a neighbour."""
    own = {f"{name(each)}/own.yaml": config_map(f"own-{each}") for each in range(PEERS)}
    moving = {
        f"{name(each + moved_by)}/moves.yaml": config_map(f"moves-{each}") for each in range(PEERS)
    }
    return own | moving


async def uids(world: World) -> dict[str, str]:
    names = [f"moves-{each}" for each in range(PEERS)]
    found = await asyncio.gather(*(world.read(each) for each in names))
    return {each["metadata"]["name"]: each["metadata"]["uid"] for each in found}


async def create_all(world: World) -> None:
    for each in range(PEERS):
        await world.create(name(each), path=f"./{name(each)}", targetNamespace=world.namespace)


async def all_applied(world: World, revision: str) -> None:
    await asyncio.gather(*(world.applied(name(each), revision) for each in range(PEERS)))


@pytest.mark.parametrize("step", [1, -1])
async def test_all_of_them_move_in_one_commit_in_either_order(busy: World, step: int) -> None:
    first = await busy.publish(files(0))
    await create_all(busy)
    await all_applied(busy, first)
    before = await uids(busy)

    await all_applied(busy, await busy.publish(files(step)))

    assert await uids(busy) == before


async def test_they_move_while_the_service_is_away(idle_world: World, engine: Engine) -> None:
    async with serving(idle_world, engine):
        first = await idle_world.publish(files(0))
        await create_all(idle_world)
        await all_applied(idle_world, first)
    before = await uids(idle_world)

    second = await idle_world.publish(files(1))
    async with serving(idle_world, engine, concurrent=1):
        await all_applied(idle_world, second)

        assert await uids(idle_world) == before
        await tidy(idle_world)


async def test_a_prune_waits_for_a_peer_that_cannot_be_built(world: World) -> None:
    stays = {f"{each}/own.yaml": config_map(f"own-{each}") for each in ("a", "b")}
    first = await world.publish({**stays, "a/moves.yaml": config_map("moves")})
    for each in ("a", "b"):
        await world.create(each, path=f"./{each}", targetNamespace=world.namespace)
        await world.applied(each, first)
    before = (await world.read("moves"))["metadata"]["uid"]

    await world.publish({**stays, "b/moves.yaml": config_map("moves"), "b/bad.yaml": "kind: ["})
    ready = await world.ready_is("a", "PrunePending")
    assert f"Kustomization {world.namespace}/b cannot be built: " in ready["message"]

    third = await world.publish({**stays, "b/moves.yaml": config_map("moves")})
    for each in ("a", "b"):
        await world.applied(each, third)
    assert (await world.read("moves"))["metadata"]["uid"] == before


async def test_a_peer_that_stays_broken_holds_a_prune_for_its_retry_interval_only(
    world: World,
) -> None:
    stays = {f"{each}/own.yaml": config_map(f"own-{each}") for each in ("a", "b")}
    first = await world.publish({**stays, "a/goes.yaml": config_map("goes")})
    for each in ("a", "b"):
        await world.create(
            each, path=f"./{each}", targetNamespace=world.namespace, retryInterval="1s"
        )
        await world.applied(each, first)

    second = await world.publish({**stays, "b/bad.yaml": "kind: ["})
    await world.applied("a", second)

    await eventually(world.names_of, lambda names: names == {"own-a", "own-b"})
