"""`dependsOn[].readyExpr`: users say when a dependency counts as ready."""

import pytest

from shared.engine import Engine
from tests.kustomize.conftest import World, config_map, serving, tidy
from tests.kustomize.test_wait import never_ready
from tests.support.eventually import eventually
from tests.support.holding import held

LABELLED = "has(dep.metadata.labels) && dep.metadata.labels[?'stage'].orValue('') == 'done'"


async def label(world: World, name: str, **labels: str) -> None:
    ref = world.ref(name, "Kustomization", "kustomize.toolkit.fluxcd.io/v1")
    await world.cluster.merge_patch(ref, {"metadata": {"labels": labels}}, manager="tests")


async def two(world: World, expression: str, *, base_is_ready: bool = True) -> str:
    """`apps` depends on `base` by an expression."""
    files = {"apps/a.yaml": config_map("apps"), "base/b.yaml": config_map("base")}
    if not base_is_ready:
        files["base/claim.yaml"] = never_ready("data")
    revision = await world.publish(files)
    await world.create(
        "base", path="./base", targetNamespace=world.namespace, wait=True, timeout="10m"
    )
    await world.create(
        "apps",
        path="./apps",
        targetNamespace=world.namespace,
        dependsOn=[{"name": "base", "readyExpr": expression}],
    )
    return revision


async def test_an_expression_stands_in_for_the_check_of_what_is_ready(world: World) -> None:
    revision = await two(world, "dep.spec.interval == self.spec.interval", base_is_ready=False)

    await world.applied("apps", revision)

    assert "lastAppliedRevision" not in await world.status("base")


async def test_what_waits_is_woken_when_its_expression_gets_true(world: World) -> None:
    revision = await two(world, LABELLED)
    await world.applied("base", revision)
    ready = await world.ready_is("apps", "DependencyNotReady")
    assert ready["message"] == (
        f"dependency '{world.namespace}/base' is not ready: its expression is not true"
    )

    await label(world, "base", stage="done")

    await world.applied("apps", revision)


async def test_the_gate_asks_for_both(idle_world: World, engine: Engine) -> None:
    async with held(serving(idle_world, engine, additive_ready_expr=True)):
        await two(idle_world, "true", base_is_ready=False)
        ready = await idle_world.ready_is("apps", "DependencyNotReady")
        await tidy(idle_world)

    assert ready["message"] == f"dependency '{idle_world.namespace}/base' is not ready"


async def test_what_has_no_value_yet_is_waited_for_and_said(world: World) -> None:
    await two(world, "dep.status.nothing == 'yes'")

    ready = await world.ready_is("apps", "DependencyNotReady")

    assert "its expression has no value: no such key: nothing" in ready["message"]


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("dep.status ==", "Syntax error"),
        ("other.status", "undeclared reference"),
        ("1", "is a int"),
    ],
)
async def test_an_expression_that_can_never_be_evaluated_stalls(
    world: World, expression: str, said: str
) -> None:
    await two(world, expression)

    stalled = await eventually(lambda: world.condition("apps", "Stalled"))

    assert stalled["reason"] == "InvalidCELExpression"
    assert "configuration error: spec.dependsOn[0].readyExpr: " in stalled["message"]
    assert said in stalled["message"]


async def test_a_settled_dependent_reads_nothing_when_it_is_looked_at_again(world: World) -> None:
    revision = await two(world, "dep.status.lastAppliedRevision != ''")
    await world.applied("base", revision)
    await world.applied("apps", revision)
    ref = world.ref("apps", "Kustomization", "kustomize.toolkit.fluxcd.io/v1")

    async def looked_at_again(stamp: str) -> list[str]:
        asked = {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": stamp}}}
        await world.cluster.merge_patch(ref, asked, manager="tests")

        def is_handled(status: dict[str, object]) -> bool:
            return status.get("lastHandledReconcileAt") == stamp

        await eventually(lambda: world.status("apps"), is_handled)
        return [
            each for each in world.gate.seen if "GET" in each and "/kustomizations/base" in each
        ]

    before = len(await looked_at_again("1"))
    after = len(await looked_at_again("2"))

    assert after - before <= 1
