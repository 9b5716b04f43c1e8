"""A prune that takes too much waits for somebody who says that it is meant."""

import re
from typing import Any

import pytest
import yaml

from shared.engine import Engine
from shared.threshold import Threshold
from tests.kustomize.conftest import KUSTOMIZE, World, config_map, serving, tidy
from tests.support.eventually import eventually

LIMIT = "penstock.dev/prune-limit"
CONFIRMED = "penstock.dev/prune-confirmed"
ALL = "penstock.dev/prune-all"
EMPTY = {"apps/kustomization.yaml": "resources: []\n"}


def holding(*names: str, **others: str) -> dict[str, str]:
    return {f"apps/{name}.yaml": config_map(name) for name in names} | others


async def annotate(world: World, **annotations: str | None) -> None:
    await world.cluster.merge_patch(
        world.ref("apps", "Kustomization", KUSTOMIZE),
        {"metadata": {"annotations": annotations}},
        manager="tests",
    )


async def at_work(world: World, *names: str, **annotations: str) -> None:
    """A Kustomization that has applied these."""
    revision = await world.publish(holding(*names))
    await world.create("apps", targetNamespace=world.namespace, path="./apps", retryInterval="1h")
    await annotate(world, **annotations)
    await world.applied("apps", revision)


def asked_for(ready: dict[str, Any]) -> str:
    found = re.search(rf"{CONFIRMED}=(\w+)", ready["message"])
    assert found is not None
    return found[1]


async def test_an_empty_build_does_not_empty_the_cluster(world: World) -> None:
    await at_work(world, "a", "b")

    await world.publish(EMPTY)
    ready = await world.ready_is("apps", "PruneHeld")

    assert f"ConfigMap/{world.namespace}/a, ConfigMap/{world.namespace}/b" in ready["message"]
    assert await world.names_of() == {"a", "b"}
    status = await world.status("apps")
    assert len(status["inventory"]["entries"]) == 2
    assert "Stalled" not in {each["type"] for each in status["conditions"]}
    assert len(world.recorder.of("apps", "PruneHeld")) == 1


async def test_it_prunes_as_soon_as_this_loss_is_confirmed(world: World) -> None:
    await at_work(world, "a", "b")
    revision = await world.publish(EMPTY)
    ready = await world.ready_is("apps", "PruneHeld")

    await annotate(world, **{CONFIRMED: asked_for(ready)})
    await world.applied("apps", revision)

    assert await world.names_of() == set()


@pytest.mark.parametrize("length", [None, 10])
async def test_the_revision_confirms_too_whole_or_short(world: World, length: int | None) -> None:
    await at_work(world, "a")
    revision = await world.publish(EMPTY)
    await world.ready_is("apps", "PruneHeld")

    confirmed = revision if length is None else revision.rpartition(":")[2][:-1]
    await annotate(world, **{CONFIRMED: confirmed})
    await world.applied("apps", revision)

    assert await world.names_of() == set()


async def test_a_confirmation_that_is_committed_later_is_of_the_same_loss(world: World) -> None:
    await at_work(world, "a")
    await world.publish(EMPTY)
    confirmed = asked_for(await world.ready_is("apps", "PruneHeld"))

    revision = await world.publish(EMPTY | {"clusters/apps.yaml": f"# {confirmed}\n"})
    await annotate(world, **{CONFIRMED: confirmed})
    await world.applied("apps", revision)

    assert await world.names_of() == set()


async def test_an_old_confirmation_confirms_no_new_loss(world: World) -> None:
    await at_work(world, "a")
    revision = await world.publish(EMPTY)
    await annotate(world, **{CONFIRMED: asked_for(await world.ready_is("apps", "PruneHeld"))})
    await world.applied("apps", revision)
    await world.applied("apps", await world.publish(holding("b")))

    await world.publish(EMPTY)
    ready = await world.ready_is("apps", "PruneHeld")

    assert f"ConfigMap/{world.namespace}/b" in ready["message"]
    assert await world.names_of() == {"b"}


async def test_whoever_consents_once_for_all_is_not_asked(world: World) -> None:
    await at_work(world, "a", **{ALL: "enabled"})

    await world.applied("apps", await world.publish(EMPTY))

    await eventually(world.names_of, lambda names: names == set())


@pytest.mark.parametrize("limit", ["1", "40%"])
async def test_more_than_the_limit_is_held_and_the_rest_applied(world: World, limit: str) -> None:
    await at_work(world, "a", "b", "c", **{LIMIT: limit})

    await world.publish(holding("c", "new"))
    ready = await world.ready_is("apps", "PruneHeld")

    assert f"2 of 4 objects would be deleted, and the limit is {limit}" in ready["message"]
    assert await world.names_of() == {"a", "b", "c", "new"}
    assert len((await world.status("apps"))["inventory"]["entries"]) == 4


@pytest.mark.parametrize("limit", ["2", "50%"])
async def test_up_to_the_limit_is_pruned(world: World, limit: str) -> None:
    await at_work(world, "a", "b", "c", **{LIMIT: limit})

    await world.applied("apps", await world.publish(holding("c", "new")))

    assert await world.names_of() == {"c", "new"}


async def test_another_limit_is_heard_at_once(world: World) -> None:
    await at_work(world, "a", "b", **{LIMIT: "0"})
    revision = await world.publish(holding("b"))
    await world.ready_is("apps", "PruneHeld")

    await annotate(world, **{LIMIT: "1"})
    await world.applied("apps", revision)

    assert await world.names_of() == {"b"}


async def test_the_operator_sets_a_limit_for_all(idle_world: World, engine: Engine) -> None:
    async with serving(idle_world, engine, prune_limit=Threshold(1)):
        await at_work(idle_world, "a", "b", "c")

        await idle_world.publish(holding("c"))
        await idle_world.ready_is("apps", "PruneHeld")

        assert await idle_world.names_of() == {"a", "b", "c"}
        await tidy(idle_world)


async def test_a_child_counts_with_all_that_it_would_delete(world: World) -> None:
    child = {
        "apiVersion": KUSTOMIZE,
        "kind": "Kustomization",
        "metadata": {"name": "child"},
        "spec": {
            "interval": "1h",
            "prune": True,
            "path": "./child",
            "targetNamespace": world.namespace,
            "sourceRef": {"kind": "GitRepository", "name": "shop"},
        },
    }
    inside = {f"child/{name}.yaml": config_map(name) for name in ("x", "y", "z")}
    first = await world.publish(holding("a", **inside, **{"apps/child.yaml": yaml.dump(child)}))
    await world.create("apps", targetNamespace=world.namespace, path="./apps", retryInterval="1h")
    await annotate(world, **{LIMIT: "3"})
    await world.applied("apps", first)
    await world.applied("child", first)

    await world.publish(holding("a", **inside))
    ready = await world.ready_is("apps", "PruneHeld")

    assert "4 of 5 objects would be deleted" in ready["message"]
    assert await world.names_of() == {"a", "x", "y", "z"}


async def test_a_limit_that_nobody_can_read_is_refused_before_anything_is_done(
    world: World,
) -> None:
    await at_work(world, "a")

    await annotate(world, **{LIMIT: "a few"})
    ready = await world.ready_is("apps", "InvalidSpec")

    assert ready["message"].startswith(f"metadata.annotations: {LIMIT}='a few': write a number")
    await annotate(world, **{LIMIT: None})
    await world.ready_is("apps", "ReconciliationSucceeded", "True")


async def test_a_confirmed_prune_that_is_cut_short_needs_no_second_word(world: World) -> None:
    await at_work(world, "a", "b")
    await world.publish(EMPTY)
    confirmed = asked_for(await world.ready_is("apps", "PruneHeld"))
    await world.change("apps", retryInterval="1s")
    world.gate.refuse(
        f"DELETE /api/v1/namespaces/{world.namespace}/configmaps/b", 403, times=1, headers={}
    )

    await annotate(world, **{CONFIRMED: confirmed})

    await eventually(world.names_of, lambda names: names == set())
    assert world.recorder.of("apps", "PruneFailed")
    assert len(world.recorder.of("apps", "PruneHeld")) == 1
