"""`spec.healthCheckExprs`: users say when objects of a kind are healthy."""

import time
from typing import Any

import pytest

from shared.cluster.objects import ObjectRef
from shared.engine import Engine
from tests.kustomize.conftest import World, config_map, deployment, serving, tidy
from tests.kustomize.test_wait import never_ready
from tests.support.eventually import eventually
from tests.support.holding import held

CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap"}
BY_STATE = {
    **CONFIG_MAP,
    "inProgress": "data.state == 'working'",
    "failed": "data.state == 'broken'",
    "current": "data.state == 'done'",
}


async def publish(world: World, state: str = "new") -> str:
    """A ConfigMap whose state another controller owns."""
    return await world.publish({"a.yaml": config_map("a", owner="git"), "b.yaml": config_map("b")})


async def waiting(world: World, *expressions: dict[str, Any], **spec: Any) -> None:
    named = {"apiVersion": "v1", "kind": "ConfigMap", "name": "a"}
    await world.create(
        "apps",
        targetNamespace=world.namespace,
        healthChecks=[named],
        healthCheckExprs=list(expressions),
        **spec,
    )
    await eventually(world.names_of, lambda names: names == {"a", "b"})


async def say(world: World, state: str) -> None:
    ref = ObjectRef("v1", "ConfigMap", world.namespace, "a")
    await world.cluster.merge_patch(ref, {"data": {"state": state}}, manager="somebody")


async def test_the_users_expression_decides_and_not_our_rule(world: World) -> None:
    revision = await publish(world)
    await waiting(world, BY_STATE, timeout="1m")
    await say(world, "working")
    assert "lastAppliedRevision" not in await world.status("apps")

    await say(world, "done")

    await world.applied("apps", revision)


async def test_an_object_that_failed_ends_the_wait_early(world: World) -> None:
    await publish(world)
    await waiting(world, BY_STATE, timeout="1m", retryInterval="1h")

    await say(world, "broken")

    ready = await world.ready_is("apps", "HealthCheckFailed")
    expected = f"failed early due to stalled resources: [ConfigMap/{world.namespace}/a"
    assert expected in ready["message"]


async def test_what_has_no_value_yet_is_in_progress_and_said(world: World) -> None:
    await publish(world)
    await waiting(world, BY_STATE, timeout="1s", retryInterval="1h")

    ready = await world.ready_is("apps", "HealthCheckFailed")

    assert "status: 'InProgress'" in ready["message"]
    assert "its expression current has no value: no such key: state" in ready["message"]


async def test_an_entry_without_a_kind_is_for_all_of_its_version(world: World) -> None:
    revision = await publish(world)
    everything = {"apiVersion": "v1", "current": "has(data.state)"}
    await waiting(world, everything, timeout="1m")
    assert "lastAppliedRevision" not in await world.status("apps")

    await say(world, "any")

    await world.applied("apps", revision)


async def test_wait_asks_the_expressions_too(world: World) -> None:
    await publish(world)
    await world.create(
        "apps",
        targetNamespace=world.namespace,
        wait=True,
        timeout="1s",
        retryInterval="1h",
        healthCheckExprs=[{**CONFIG_MAP, "current": "metadata.name == 'b' || has(data.state)"}],
    )

    ready = await world.ready_is("apps", "HealthCheckFailed")

    unready = f"timeout waiting for: [ConfigMap/{world.namespace}/a status: 'InProgress']"
    assert unready in ready["message"]


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([{**CONFIG_MAP, "current": "data.state =="}], "[0].current: ERROR"),
        ([{**CONFIG_MAP, "current": "true", "failed": "("}], "[0].failed: ERROR"),
        (
            [{**CONFIG_MAP, "current": "true"}, {**CONFIG_MAP, "current": "false"}],
            "[1]: another entry is for ConfigMap of v1 too",
        ),
    ],
    ids=["current", "failed", "twice"],
)
async def test_what_can_never_be_evaluated_stalls_before_anything_is_applied(
    world: World, entries: list[dict[str, Any]], said: str
) -> None:
    await publish(world)
    await world.create("apps", targetNamespace=world.namespace, healthCheckExprs=entries)

    stalled = await eventually(lambda: world.condition("apps", "Stalled"))

    assert stalled["reason"] == "InvalidCELExpression"
    start = "Reconciliation failed terminally due to configuration error: spec.healthCheckExprs"
    assert stalled["message"].startswith(f"{start}{said}")
    assert await world.names_of() == set()


async def test_a_bomb_costs_its_owner_the_wait_and_nobody_else(world: World) -> None:
    revision = await publish(world)
    loop = ".all(x, [1,2,3,4,5,6,7,8,9]"
    nested = f"[1,2,3,4,5,6,7,8,9]{loop * 8}.all(x, true){')' * 8}"
    await world.create(
        "bomb",
        targetNamespace=world.namespace,
        nameSuffix="-bomb",
        wait=True,
        timeout="3s",
        retryInterval="1h",
        healthCheckExprs=[{**CONFIG_MAP, "current": nested}],
    )
    await eventually(world.names_of, lambda names: names == {"a-bomb", "b-bomb"})
    started = time.monotonic()

    await world.create("apps", targetNamespace=world.namespace, wait=True)
    await world.applied("apps", revision)
    took = time.monotonic() - started
    ready = await world.ready_is("bomb", "HealthCheckFailed")

    assert took < 5.0
    assert "it costs more than the limit of an evaluation" in ready["message"]


async def test_without_haste_what_failed_may_recover(idle_world: World, engine: Engine) -> None:
    world = idle_world
    files = {"a.yaml": config_map("a"), "b.yaml": config_map("b")}
    files |= {"claim.yaml": never_ready("data"), "web.yaml": deployment("web")}
    await world.publish(files)
    async with held(serving(world, engine, fail_fast=False)):
        await waiting(world, BY_STATE, wait=True, timeout="6s", retryInterval="1h")
        await say(world, "broken")
        ready = await world.ready_is("apps", "HealthCheckFailed")
        await tidy(world)

    assert "timeout waiting for" in ready["message"]
    assert f"ConfigMap/{world.namespace}/a status: 'Failed'" in ready["message"]


async def test_without_haste_the_wait_ends_when_nothing_is_in_progress(
    idle_world: World, engine: Engine
) -> None:
    world = idle_world
    await publish(world)
    async with held(serving(world, engine, fail_fast=False)):
        await waiting(world, BY_STATE, timeout="10m", retryInterval="1h")
        await say(world, "broken")
        ready = await world.ready_is("apps", "HealthCheckFailed")
        await tidy(world)

    assert "failed early due to stalled resources" in ready["message"]
